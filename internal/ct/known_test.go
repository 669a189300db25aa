package ct

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// readChain reads a leaf and its issuer.
func readChain(t testing.TB, name string) (chain []*x509.Certificate) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, cert)
	}
	if len(chain) != 2 {
		t.Fatalf("%d certificates", len(chain))
	}
	return chain
}

// TestKnown verifies what others have signed: certificates of two public CAs with
// the SCTs of public logs (as they are in the tests of Go's crypto/x509; the logs'
// keys are from Chrome's list 3.52 of 2021), and the test vector of
// certificate-transparency-go.
func TestKnown(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/logs.json")
	if err != nil {
		t.Fatal(err)
	}
	logs := logsFrom(t, data)
	checked := logs.list.Timestamp.Add(day)
	for _, tt := range []struct {
		file   string
		at     time.Time // when it is looked at
		logs   []string
		detail string
	}{
		// The list is from before the SCTs were made, and would be stale by then.
		{"google.pem", time.Date(2021, 12, 1, 0, 0, 0, 0, time.UTC), []string{"Cloudflare 'Nimbus2023' Log", "Google 'Argon2023' log"}, "which is yet to come"},
		{"google.pem", time.Date(2023, 1, 3, 0, 0, 0, 0, time.UTC), []string{"Cloudflare 'Nimbus2023' Log", "Google 'Argon2023' log"}, ""},
		// For more than 180 days, with a log that was retired afterwards.
		{"tm.cn.pem", checked, []string{"Google 'Rocketeer' log", "DigiCert Log Server 2"}, "Chrome's policy is not met: SCTs of 2 logs count, and 3 are needed for more than 180 days"},
		{"vector.pem", checked, []string{"of the test vector"}, "Chrome's policy is not met: SCTs of 1 logs count, and 3 are needed for more than 180 days"},
	} {
		chain := readChain(t, tt.file)
		seen, result := logs.Check(public, chain, tt.at)
		var names []string
		for _, s := range seen.SCTs {
			names = append(names, s.Log)
			want := probe.SCTVerified
			if s.Timestamp.After(tt.at) {
				want = probe.SCTFuture
			}
			if s.Status != want {
				t.Errorf("%s: %s is %s, want %s", tt.file, s.Log, s.Status, want)
			}
		}
		if !slices.Equal(names, tt.logs) {
			t.Errorf("%s: logs %q, want %q", tt.file, names, tt.logs)
		}
		switch {
		case tt.detail == "":
			if result != nil || seen.Policy != probe.PolicyUnknown {
				t.Errorf("%s: result %+v, policy %s", tt.file, result, seen.Policy)
			}
		case result == nil || result.Passed || len(result.Detail) < len(tt.detail) || result.Detail[len(result.Detail)-len(tt.detail):] != tt.detail:
			t.Errorf("%s: result %+v, want %q", tt.file, result, tt.detail)
		}
		// With another issuer than the one that the logs saw, nothing is right.
		wrong := *chain[1]
		wrong.RawSubjectPublicKeyInfo = chain[0].RawSubjectPublicKeyInfo
		seen, _ = logs.Check(public, []*x509.Certificate{chain[0], &wrong}, tt.at)
		for _, s := range seen.SCTs {
			if s.Status != probe.SCTInvalid {
				t.Errorf("%s with a wrong issuer: %s is %s", tt.file, s.Log, s.Status)
			}
		}
	}
}

// TestShipped holds that the list that is shipped can be read, and has the logs that
// a public CA's certificates of these months are in.
func TestShipped(t *testing.T) {
	t.Parallel()
	list := logsFrom(t, shipped).list
	if want := time.Date(2026, 10, 5, 13, 39, 47, 0, time.UTC); !list.Timestamp.Equal(want) {
		t.Errorf("of %s, want %s: change the comments that say so, and docs/configuration.md", list.Timestamp, want)
	}
	usable, operators := 0, map[string]bool{}
	for _, l := range list.logs {
		if l.description == "" || l.operator == "" || l.state == "" || l.state == probe.LogRetired && l.since.IsZero() {
			t.Errorf("%+v", l)
		}
		if l.state == probe.LogUsable {
			usable++
			operators[l.operator] = true
		}
	}
	if len(list.logs) != 69 || usable != 66 || len(operators) != 10 {
		t.Errorf("%d logs, %d of them usable, of %d operators", len(list.logs), usable, len(operators))
	}
}
