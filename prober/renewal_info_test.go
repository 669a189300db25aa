package prober

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// lastIssued implements Issued.
type lastIssued struct {
	chain []*x509.Certificate
	err   error
}

func (*lastIssued) Keep([]*x509.Certificate)             {}
func (i *lastIssued) Last() ([]*x509.Certificate, error) { return i.chain, i.err }

// The example of RFC 9773 §4.1; and what its DER would be with other serial numbers.
func TestCertificateID(t *testing.T) {
	aki := []byte{0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4}
	for serial, want := range map[int64]string{
		0x87654321: "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE",
		0x7f:       "aYhba4dGQEHhs3uEe6CuLN4ByNQ.fw",
		0x0100:     "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AQA",
		0:          "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AA",
	} {
		if got := certificateID(&x509.Certificate{AuthorityKeyId: aki, SerialNumber: big.NewInt(serial)}); got != want {
			t.Errorf("%#x: %s, want %s", serial, got, want)
		}
	}
}

// certified makes n certificates of one issuer, as files and as values; the issuer
// has no authority key identifier.
func certified(t *testing.T, n int) (issuer *x509.Certificate, leaves []*x509.Certificate, dir string) {
	t.Helper()
	p := &publisher{t: t, dir: t.TempDir()}
	issuer, key := p.authority("issuer")
	for i := range n {
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(0x80 + i)), NotAfter: time.Now().Add(time.Hour)}
		leaf := p.sign(template, issuer, key.Public(), key)
		leaves = append(leaves, leaf)
		p.file(fmt.Sprintf("%d.pem", i), leaf)
	}
	return issuer, leaves, p.dir
}

func (b *bench) renewals(issued Issued, patterns ...string) probe.Facts {
	b.t.Helper()
	req := b.request(probe.ProberRenewalInfo)
	req.Issued = issued
	req.Pair.Module.RenewalInfo = &config.RenewalInfo{Certificates: patterns}
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	return Run(ctx, req)
}

// wantCalls checks what the run has called.
func wantCalls(t *testing.T, facts probe.Facts, want ...probe.CallName) {
	t.Helper()
	var got []probe.CallName
	for _, c := range facts.Calls {
		got = append(got, c.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls %v, want %v", got, want)
	}
}

// TestRenewalInfo holds that each certificate is asked about by a plain GET, and that
// a window that has begun is told and is no failure.
func TestRenewalInfo(t *testing.T) {
	issuer, leaves, dir := certified(t, 2)
	b := newBench(t, fakeca.Options{RenewalInfo: true})
	now := time.Now()
	b.ca.Renew(certificateID(leaves[0]), now.Add(time.Hour), now.Add(2*time.Hour))
	b.ca.Renew(certificateID(leaves[1]), now.Add(-2*time.Hour), now.Add(-time.Hour))
	page := "https://ca.example/why?token=abc"
	b.ca.Fault(probe.CallRenewalInfo, fakeca.Fault{Edit: fakeca.Set("explanationURL", page), Header: http.Header{"Retry-After": {"5"}}}, 1)
	b.ca.Fault(probe.CallRenewalInfo, fakeca.Fault{Edit: fakeca.Set("explanationURL", "http://ca.example/why"), Header: http.Header{"Retry-After": {"604800"}}}, 1)

	facts := b.renewals(nil, filepath.Join(dir, "*.pem"))
	if facts.Failure != nil || len(facts.Renewals) != 2 {
		t.Fatalf("failure %+v, renewals %+v", facts.Failure, facts.Renewals)
	}
	first, second := facts.Renewals[0], facts.Renewals[1]
	if first.File != "0.pem" || first.Serial != "80" || first.Due || !first.Start.Equal(now.Add(time.Hour).Truncate(time.Second)) ||
		!first.End.Equal(first.Start.Add(time.Hour)) || first.RetryAfter != time.Minute || first.ExplanationURL != "https://ca.example/why" {
		t.Errorf("first: %+v", first)
	}
	if second.File != "1.pem" || second.Serial != "81" || !second.Due || second.RetryAfter != 24*time.Hour || second.ExplanationURL != "" {
		t.Errorf("second: %+v", second)
	}
	wantCalls(t, facts, probe.CallDirectory, probe.CallRenewalInfo, probe.CallRenewalInfo)
	for _, r := range b.ca.Requests() {
		if r.Method != http.MethodGet || r.Payload != nil {
			t.Errorf("%s %s, payload %q", r.Method, r.Path, r.Payload)
		}
	}

	facts = b.renewals(&lastIssued{chain: []*x509.Certificate{leaves[1], issuer}})
	if facts.Failure != nil || len(facts.Renewals) != 1 || facts.Renewals[0].File != "" || facts.Renewals[0].Serial != "81" || facts.Renewals[0].RetryAfter != 6*time.Hour {
		t.Errorf("of what was issued: failure %+v, renewals %+v", facts.Failure, facts.Renewals)
	}
}

// TestRenewalInfoWrong holds what is said of each wrong answer.
func TestRenewalInfoWrong(t *testing.T) {
	_, leaves, dir := certified(t, 1)
	window := func(start, end string) fakeca.Fault {
		return fakeca.Fault{Edit: fakeca.Set("suggestedWindow", map[string]any{"start": start, "end": end})}
	}
	for name, tt := range map[string]struct {
		fault fakeca.Fault
		kind  probe.FailureKind
		want  string
	}{
		"no JSON":       {fakeca.Fault{HTML: true}, probe.FailureProtocol, "0.pem: the renewal information cannot be read"},
		"no window":     {fakeca.Fault{Edit: fakeca.Without("suggestedWindow")}, probe.FailureProtocol, "has no suggestedWindow with start and end"},
		"no end":        {fakeca.Fault{Edit: fakeca.Set("suggestedWindow", map[string]any{"start": "2026-01-02T00:00:00Z"})}, probe.FailureProtocol, "has no suggestedWindow"},
		"no time":       {window("tomorrow", "2026-01-02T00:00:00Z"), probe.FailureProtocol, "cannot be read"},
		"backwards":     {window("2026-01-02T00:00:01Z", "2026-01-02T01:00:00+01:00"), probe.FailureProtocol, "starts at 2026-01-02T00:00:01Z, and ends at 2026-01-02T00:00:00Z"},
		"empty":         {window("2026-01-02T00:00:00Z", "2026-01-02T01:00:00+01:00"), probe.FailureProtocol, "starts at"},
		"never again":   {fakeca.Fault{Header: http.Header{"Retry-After": nil}}, probe.FailureProtocol, "no Retry-After"},
		"again someday": {fakeca.Fault{Header: http.Header{"Retry-After": {"soon"}}}, probe.FailureProtocol, "no Retry-After"},
		"status":        {fakeca.Fault{Status: http.StatusNoContent}, probe.FailureCall, "0.pem: renewal-info answered HTTP 204, which is not its status for a success"},
		"broken":        {fakeca.Fault{Problem: &fakeca.Problem{Type: "serverInternal", Status: 500}}, probe.FailureCall, "0.pem: renewal-info answered HTTP 500 serverInternal"},
		"too long":      {fakeca.Fault{Oversize: 2 << 20}, probe.FailureCall, "renewal-info"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fakeca.Options{RenewalInfo: true})
			b.ca.Renew(certificateID(leaves[0]), time.Now(), time.Now().Add(time.Hour))
			b.ca.Fault(probe.CallRenewalInfo, tt.fault, 0)
			facts := b.renewals(nil, filepath.Join(dir, "0.pem"))
			object := ""
			if tt.kind == probe.FailureProtocol && tt.fault.Status == 0 {
				object = "renewal information"
			}
			wantFailure(t, facts, probe.StepRenewalInfo, tt.kind, object, tt.want)
			if len(facts.Renewals) != 0 {
				t.Errorf("renewals %+v", facts.Renewals)
			}
		})
	}
}

// TestRenewalInfoSome holds that what can be asked is asked, whatever became of the
// others.
func TestRenewalInfoSome(t *testing.T) {
	_, leaves, dir := certified(t, 3)
	b := newBench(t, fakeca.Options{RenewalInfo: true})
	for _, leaf := range []*x509.Certificate{leaves[0], leaves[2]} {
		b.ca.Renew(certificateID(leaf), time.Now(), time.Now().Add(time.Hour))
	}
	facts := b.renewals(nil, filepath.Join(dir, "*.pem"))
	wantFailure(t, facts, probe.StepRenewalInfo, probe.FailureCall, "", "1.pem: renewal-info answered HTTP 404 malformed")
	if len(facts.Renewals) != 2 || facts.Failure.Advice != "make sure that this CA has issued the certificate" {
		t.Errorf("failure %+v, renewals %+v", facts.Failure, facts.Renewals)
	}

	if err := os.WriteFile(filepath.Join(dir, "1.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"}), 0o600); err != nil {
		t.Fatal(err)
	}
	facts = b.renewals(nil, filepath.Join(dir, "*.pem"), filepath.Join(dir, "*.crt"))
	wantFailure(t, facts, probe.StepSetup, probe.FailureClient, "", "there is no such file, and 1 more")
	if len(facts.Renewals) != 2 {
		t.Errorf("renewals %+v", facts.Renewals)
	}
	facts = b.renewals(nil, filepath.Join(dir, "*.crt"))
	wantFailure(t, facts, probe.StepSetup, probe.FailureClient, "", "there is no such file")
	wantCalls(t, facts)
}

// TestRenewalInfoNothing holds when there is nothing to be asked, or nobody.
func TestRenewalInfoNothing(t *testing.T) {
	issuer, leaves, dir := certified(t, 1)
	b := newBench(t, fakeca.Options{})
	facts := b.renewals(nil, filepath.Join(dir, "*.pem"))
	wantFailure(t, facts, probe.StepDirectory, probe.FailureUnsupported, "directory", "has no renewalInfo")
	b.ca.Fault(probe.CallDirectory, fakeca.Fault{Edit: fakeca.Set("renewalInfo", "http://ca.example/x")}, 1)
	facts = b.renewals(nil, filepath.Join(dir, "*.pem"))
	wantFailure(t, facts, probe.StepDirectory, probe.FailureProtocol, "url", "renewalInfo is not https, but http")
	b.ca.Fault(probe.CallDirectory, fakeca.Fault{Edit: fakeca.Set("renewalInfo", "https://169.254.169.254/x")}, 1)
	facts = b.renewals(nil, filepath.Join(dir, "*.pem"))
	wantFailure(t, facts, probe.StepDirectory, probe.FailureProtocol, "url", "renewalInfo")

	for want, issued := range map[string]Issued{
		"has issued nothing to us yet": &lastIssued{}, "somebody else": &lastIssued{err: errors.New("somebody else knows")},
		"no authority key identifier": &lastIssued{chain: []*x509.Certificate{issuer, leaves[0]}},
	} {
		facts = b.renewals(issued)
		wantFailure(t, facts, probe.StepSetup, probe.FailureNotApplicable, "", want)
	}
}

// TestRenewalInfoEvil holds that little of a hostile answer is kept.
func TestRenewalInfoEvil(t *testing.T) {
	_, leaves, dir := certified(t, 1)
	b := newBench(t, fakeca.Options{RenewalInfo: true})
	b.ca.Renew(certificateID(leaves[0]), time.Now(), time.Now().Add(time.Hour))
	b.ca.Fault(probe.CallRenewalInfo, fakeca.Fault{Edit: fakeca.Set("explanationURL", "https://me:secret@ca.example/\n"+strings.Repeat("x y", 1000))}, 1)
	b.ca.Fault(probe.CallRenewalInfo, fakeca.Fault{Edit: fakeca.Set("explanationURL", "https://me:secret@ca.example/"+strings.Repeat("x/", 1000))}, 1)
	for range 2 {
		facts := b.renewals(nil, filepath.Join(dir, "*.pem"))
		if facts.Failure != nil || len(facts.Renewals) != 1 {
			t.Fatalf("failure %+v, renewals %+v", facts.Failure, facts.Renewals)
		}
		if u := facts.Renewals[0].ExplanationURL; len(u) > maxQuoted || strings.ContainsAny(u, "\n") || strings.Contains(u, "secret") {
			t.Errorf("kept %q", u)
		}
	}
}
