package probe

import (
	"testing"
	"time"
)

// The names and values are those of the drafts; the first label is of an example
// there.
func TestRecordAnswers(t *testing.T) {
	const account = "https://example.com/acme/acct/ExampleAccount"
	for typ, want := range map[ChallengeType]string{
		DNS01: "_acme-challenge.", DNSAccount01: "_ujmmovf2vn55tgye._acme-challenge.", DNSPersist01: "_validation-persist.",
		HTTP01: "", TLSALPN01: "",
	} {
		if got := typ.RecordPrefix(account); got != want {
			t.Errorf("%s: got %q, want %q", typ, got, want)
		}
		if got := typ.RecordPrefix(""); len(got) != len(want) {
			t.Errorf("%s: %q is not as long as that of another account", typ, got)
		}
	}
	for _, tt := range []struct {
		policy string
		until  time.Time
		want   string
	}{
		{"", time.Time{}, "ca.example; accounturi=" + account},
		{"wildcard", time.Time{}, "ca.example; accounturi=" + account + "; policy=wildcard"},
		{"wildcard", time.Unix(1893456000, 5), "ca.example; accounturi=" + account + "; policy=wildcard; persistUntil=1893456000"},
		{"", time.Unix(1893456000, 0), "ca.example; accounturi=" + account + "; persistUntil=1893456000"},
	} {
		if got := PersistValue("ca.example", account, tt.policy, tt.until); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
