package publish

import (
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestParseIssueValue holds the syntax of RFC 8659 §4.2.
func TestParseIssueValue(t *testing.T) {
	at := time.Unix(1700000000, 0)
	for s, want := range map[string]struct {
		value issueValue
		err   string
	}{
		"ca.test":                          {value: issueValue{issuer: "ca.test"}},
		" ca.test ; ":                      {value: issueValue{issuer: "ca.test"}},
		"ca.test;accounturi=u":             {value: issueValue{issuer: "ca.test", account: "u"}},
		"ca.test;\taccounturi \t=\tu = v":  {err: `the value of "accounturi" has characters`},
		"ca.test; accounturi=u=v":          {value: issueValue{issuer: "ca.test", account: "u=v"}},
		"ca.test; PersistUntil=1700000000": {value: issueValue{issuer: "ca.test", until: &at}},
		"ca.test; persistUntil=soon":       {err: `its persistUntil "soon" is not a number`},
		"ca.test; persistUntil=":           {err: `its persistUntil "" is not a number`},
		"ca.test; policy=WILDCARD":         {value: issueValue{issuer: "ca.test", policy: "wildcard"}},
		"ca.test; policy=other; a-1=":      {value: issueValue{issuer: "ca.test"}},
		"":                                 {err: "it names no issuer"},
		"; accounturi=u":                   {err: "it names no issuer"},
		"ca.test; accounturi=u;":           {err: `"" is no parameter`},
		"ca.test; accounturi":              {err: `"accounturi" is no parameter`},
		"ca.test; -a=b":                    {err: `"-a=b" is no parameter`},
		"ca.test; a b=c":                   {err: `"a b=c" is no parameter`},
		"ca.test; a=é":                     {err: `the value of "a" has characters`},
		"ca.test; a=b; A=c":                {err: `it has the parameter "a" twice`},
	} {
		got, err := parseIssueValue(s)
		switch {
		case want.err != "":
			if err == nil || !strings.HasPrefix(err.Error(), want.err) {
				t.Errorf("%q: got %v, want %q", s, err, want.err)
			}
		case err != nil:
			t.Errorf("%q: %v", s, err)
		case got.until != nil && want.value.until != nil && got.until.Equal(*want.value.until):
			got.until = want.value.until
			fallthrough
		default:
			if got != want.value {
				t.Errorf("%q: got %+v, want %+v", s, got, want.value)
			}
		}
	}
}

// FuzzSatisfies feeds what strangers write into their zones. What is not exactly
// our record counts only if it names our issuer and account.
func FuzzSatisfies(f *testing.F) {
	f.Add("ca.test; accounturi=https://ca.test/acct/1", false)
	f.Add(" CA.test;policy=wildcard;AccountURI=https://ca.test/acct/1;persistUntil=99999999999", true)
	f.Add("ca.test; accounturi=https://ca.test/acct/1;persistUntil=9223372036854775807", false)
	f.Add("ca.test; accounturi=https://ca.test/acct/1\x00", false)
	f.Add(";;;===", true)
	now := time.Unix(1700000000, 0)
	f.Fuzz(func(t *testing.T, s string, wildcard bool) {
		want := probe.Record{Value: "ca.test; accounturi=https://ca.test/acct/1", Standing: true}
		if wildcard {
			want.Value += "; policy=wildcard"
		}
		ok, why := satisfies(want, []string{s}, now)
		lower := strings.ToLower(s)
		if ok && (why != "" || !strings.Contains(lower, "ca.test") || !strings.Contains(s, "https://ca.test/acct/1") || wildcard && !strings.Contains(lower, "wildcard")) {
			t.Errorf("%q counts (%q)", s, why)
		}
		if len(why) > maxText*8 {
			t.Errorf("%q: %d bytes", s, len(why))
		}
		// One that counts does so beside any other.
		if ok, _ := satisfies(want, []string{s, want.Value}, now); !ok {
			t.Errorf("%q hides ours", s)
		}
	})
}
