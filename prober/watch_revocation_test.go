package prober

import (
	"context"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
)

// watched is the follow-up that watches the revocation of a certificate of p's, which
// was revoked that long ago.
func (p *publisher) watched(via probe.RevocationVia, ago time.Duration, change func(*x509.Certificate)) probe.FollowUp {
	p.t.Helper()
	leaf, _ := p.leaf(change)
	what := revocationOf([]*x509.Certificate{leaf, p.issuer}, probe.ReasonSuperseded)
	what.At, what.Via, what.Absent = time.Now().Add(-ago), via, time.Now().Add(-time.Minute)
	return probe.FollowUp{
		ID: "1-" + string(via), Kind: probe.FollowUpWatchRevocation, Created: what.At, NotBefore: time.Now(), Revocation: what,
	}
}

func (p *publisher) watch(f probe.FollowUp) probe.Facts {
	p.t.Helper()
	return p.bench.following(f, p.bench.request(probe.ProberIssue))
}

func TestWatchRevocation(t *testing.T) {
	const stale = -time.Minute
	wrongKey := func(p *publisher) []byte {
		list := p.list(nil, 7)
		list[len(list)-1] ^= 1
		return list
	}
	for _, tt := range []struct {
		name    string
		via     probe.RevocationVia
		publish func(p *publisher)
		ago     time.Duration
		kind    probe.FailureKind // empty: it shows
		flaw    probe.FlawKind
		givenUp bool
	}{
		{"listed", "crl", func(p *publisher) { p.publish("/1.crl", "application/pkix-crl", p.list(nil, 6, 7)) }, time.Hour, "", "", false},
		{"listed after a day", "crl", func(p *publisher) { p.publish("/1.crl", "application/pkix-crl", p.list(nil, 7)) }, 25 * time.Hour, "", "", false},
		{"listed, content type", "crl", func(p *publisher) { p.publish("/1.crl", "text/plain", p.list(nil, 7)) }, time.Hour, "", "", false},
		{"not listed", "crl", func(p *publisher) {}, time.Hour, probe.FailurePending, "", false},
		{"not listed for 24 h", "crl", func(p *publisher) {}, 24 * time.Hour, probe.FailureFlaw, probe.FlawRevocationMissing, true},
		{"wrong signature", "crl", func(p *publisher) { p.publish("/1.crl", "application/pkix-crl", wrongKey(p)) }, time.Hour, probe.FailureFlaw, probe.FlawCRLSignature, false},
		{"wrong signature for 24 h", "crl", func(p *publisher) { p.publish("/1.crl", "application/pkix-crl", wrongKey(p)) }, 24 * time.Hour, probe.FailureFlaw, probe.FlawCRLSignature, true},
		{"stale", "crl", func(p *publisher) {
			p.publish("/1.crl", "application/pkix-crl", p.list(func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(stale) }, 7))
		}, time.Hour, probe.FailureFlaw, probe.FlawCRLStale, false},
		{"another's list", "crl", func(p *publisher) {
			p.publish("/1.crl", "application/pkix-crl", p.list(forURL("http://ca.example/2.crl"), 7))
		}, time.Hour, probe.FailureFlaw, probe.FlawCRLIDP, false},
		{"unreadable", "crl", func(p *publisher) { p.publish("/1.crl", "application/pkix-crl", []byte("<html>")) }, time.Hour, probe.FailureFlaw, probe.FlawCRLUnreadable, false},
		{"no answer", "crl", func(p *publisher) { p.pages["/1.crl"] = page{status: 503} }, 47 * time.Hour, probe.FailureCall, "", false},
		{"no answer for 48 h", "crl", func(p *publisher) { p.pages["/1.crl"] = page{status: 503} }, 48 * time.Hour, probe.FailureCall, "", true},
		{"too often for 48 h", "ocsp", func(p *publisher) { p.pages["/ocsp"] = page{status: 429} }, 48 * time.Hour, probe.FailureCall, "", true},
		{"revoked", "ocsp", func(p *publisher) { p.answer(ocsp.Response{Status: ocsp.Revoked, RevokedAt: time.Now()}) }, time.Hour, "", "", false},
		{"good", "ocsp", func(p *publisher) {}, time.Hour, probe.FailurePending, "", false},
		{"good for 24 h", "ocsp", func(p *publisher) {}, 24 * time.Hour, probe.FailureFlaw, probe.FlawRevocationMissing, true},
		{"revoked, by a stranger", "ocsp", func(p *publisher) {
			issuer := p.issuer
			p.issuer, p.key = p.authority("issuer")
			p.answer(ocsp.Response{Status: ocsp.Revoked, RevokedAt: time.Now()})
			p.issuer = issuer
		}, time.Hour, probe.FailureFlaw, probe.FlawOCSPCertificate, false},
		{"revoked, long ago", "ocsp", func(p *publisher) {
			p.answer(ocsp.Response{Status: ocsp.Revoked, RevokedAt: time.Now(), NextUpdate: time.Now().Add(stale)})
		}, time.Hour, probe.FailureFlaw, probe.FlawOCSPStale, false},
		{"unknown", "ocsp", func(p *publisher) { p.answer(ocsp.Response{Status: ocsp.Unknown}) }, time.Hour, probe.FailureFlaw, probe.FlawOCSPStatus, false},
	} {
		t.Run(string(tt.via)+", "+tt.name, func(t *testing.T) {
			p := newPublisher(t)
			f := p.watched(tt.via, tt.ago, nil)
			tt.publish(p)
			facts := p.watch(f)
			v := facts.Revocation
			if v == nil || v.Serial != "07" || v.Via != tt.via || v.Chain != nil || v.GivenUp != tt.givenUp || v.Shown.IsZero() != (tt.kind != "") {
				t.Fatalf("revocation %+v, failure %+v", v, facts.Failure)
			}
			if dropped := slices.Contains(p.bench.list(), "drop"); dropped != tt.givenUp {
				t.Errorf("dropped %v, want %v", dropped, tt.givenUp)
			}
			if got := (&probe.Result{FollowUp: f.Kind, Facts: facts, Verdict: verdict.Judge(&facts, verdict.Context{FollowUp: f.Kind})}).MissingRevocation(); (got == tt.via) != tt.givenUp {
				t.Errorf("missing by %q", got)
			}
			if tt.kind == "" {
				wantSuccess(t, facts)
				if v.Propagation == nil || *v.Propagation < tt.ago || *v.Propagation > tt.ago+time.Minute {
					t.Errorf("propagation %v", v.Propagation)
				}
				return
			}
			if f := facts.Failure; f == nil || f.Kind != tt.kind || f.Flaw != tt.flaw || string(f.Step) != string(tt.via) || f.Detail == "" {
				t.Errorf("failure %+v, want %s %s", f, tt.kind, tt.flaw)
			}
			if v.Propagation != nil {
				t.Errorf("propagation %s of what does not show", *v.Propagation)
			}
		})
	}
}

// TestWatchRevocationEverywhere holds that a revocation shows when all lists have it.
func TestWatchRevocationEverywhere(t *testing.T) {
	p := newPublisher(t)
	f := p.watched(probe.ViaCRL, time.Hour, func(c *x509.Certificate) {
		c.CRLDistributionPoints = append(c.CRLDistributionPoints, p.srv.URL+"/2.crl")
	})
	p.publish("/1.crl", "application/pkix-crl", p.list(nil, 7))
	p.publish("/2.crl", "application/pkix-crl", p.list(nil))
	facts := p.watch(f)
	wantFailure(t, facts, probe.StepCRL, probe.FailurePending, "crl", "/2.crl does not list")
	p.publish("/2.crl", "application/pkix-crl", p.list(nil, 7))
	wantSuccess(t, p.watch(f))
}

// TestWatchRevocationAsksByGet holds that caches are asked, and the API is not: but for
// the directory, since what the certificate names is in a private network.
func TestWatchRevocationAsksByGet(t *testing.T) {
	p := newPublisher(t)
	facts := p.watch(p.watched(probe.ViaOCSP, time.Hour, nil))
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"ocsp", "directory", "ocsp"})
	wantList(t, "asked", p.asked, []string{http.MethodGet + " /ocsp"})
}

// TestWatchRevocationLate holds that nothing is measured where nobody has looked for
// long, and that a certificate that has expired is not waited for.
func TestWatchRevocationLate(t *testing.T) {
	p := newPublisher(t)
	f := p.watched(probe.ViaCRL, 5*time.Hour, nil)
	p.publish("/1.crl", "application/pkix-crl", p.list(nil, 7))
	// However lately it was tried to look.
	for _, v := range []probe.Revocation{{Absent: time.Now().Add(-21 * time.Minute)}, {}, {Absent: time.Now(), Undated: true}} {
		f.Revocation.Absent, f.Revocation.Undated = v.Absent, v.Undated
		facts := p.watch(f)
		wantSuccess(t, facts)
		if facts.Revocation.Shown.IsZero() || facts.Revocation.Propagation != nil {
			t.Errorf("revocation %+v", facts.Revocation)
		}
	}

	// Only a look that tells is one.
	p.pages["/1.crl"] = page{status: 503}
	if facts := p.watch(f); facts.Failure == nil {
		t.Error("a list that cannot be had is no failure")
	}
	if len(p.bench.noted) != 0 {
		t.Errorf("a failed look is noted: %+v", p.bench.noted)
	}
	before := time.Now()
	p.publish("/1.crl", "application/pkix-crl", p.list(nil))
	p.watch(f)
	if n := p.bench.noted; len(n) != 1 || n[0].Absent.Before(before) || len(n[0].Chain) == 0 {
		t.Errorf("noted %+v", n)
	}

	p.publish("/1.crl", "application/pkix-crl", p.list(nil))
	facts := p.watch(p.watched(probe.ViaCRL, 5*time.Hour, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }))
	wantFailure(t, facts, probe.StepCRL, probe.FailureNotApplicable, "crl", "has expired")
	if !facts.Revocation.GivenUp || !slices.Contains(p.bench.list(), "drop") {
		t.Errorf("revocation %+v, events %v", facts.Revocation, p.bench.list())
	}
}

// TestWatchRevocationCut holds that a last look that is cut off tells nothing.
func TestWatchRevocationCut(t *testing.T) {
	p := newPublisher(t)
	f := p.watched(probe.ViaCRL, 49*time.Hour, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req := p.bench.request(probe.ProberIssue)
	req.FollowUp = &f
	if facts := Run(ctx, req); facts.Failure == nil || facts.Revocation.GivenUp || slices.Contains(p.bench.list(), "drop") {
		t.Errorf("failure %+v, revocation %+v", facts.Failure, facts.Revocation)
	}
}

// TestRevokeLeavesWatches holds that a revocation is watched in each way that its
// certificate names, by follow-ups that a second try does not leave again.
func TestRevokeLeavesWatches(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*x509.Certificate)
		issuer bool
		want   []string
	}{
		{"both", nil, true, []string{"f-crl crl", "f-ocsp ocsp"}},
		{"no OCSP", func(c *x509.Certificate) { c.OCSPServer = nil }, true, []string{"f-crl crl"}},
		{"LDAP", func(c *x509.Certificate) {
			c.OCSPServer, c.CRLDistributionPoints = nil, []string{"ldap://ca.example/cn=1"}
		}, true, nil},
		{"without its issuer", nil, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPublisher(t)
			p.bench.ca.Fault(probe.CallRevokeCert, fakeca.Fault{Problem: &fakeca.Problem{Type: "alreadyRevoked"}}, 0)
			leaf, _ := p.leaf(tt.change)
			chain := []*x509.Certificate{leaf, p.issuer}
			if !tt.issuer {
				chain = chain[:1]
			}
			p.bench.known()
			f := probe.FollowUp{ID: "f", Kind: probe.FollowUpRevoke, Created: time.Now().Add(-time.Hour), Revocation: revocationOf(chain, probe.ReasonSuperseded)}
			f.Revocation.Asked = time.Now().Add(-time.Minute)
			for range 2 {
				facts := p.bench.follow(f)
				wantSuccess(t, facts)
				var got []string
				for _, next := range facts.FollowUps {
					v := next.Revocation
					got = append(got, next.ID+" "+string(v.Via))
					if next.Kind != probe.FollowUpWatchRevocation || !v.At.Equal(f.Revocation.Asked) || !v.Absent.Equal(v.At) || len(v.Chain) != 2 || next.Expires.Sub(next.Created) != watchKept {
						t.Errorf("follow-up %+v", next)
					}
				}
				wantList(t, "follow-ups", got, tt.want)
			}
		})
	}
}

// TestWatchOfNothing holds that a follow-up that was stored damaged ends.
func TestWatchOfNothing(t *testing.T) {
	b := newBench(t, fakeca.Options{})
	for _, what := range []*probe.Revocation{nil, {}, {Chain: [][]byte{{1}}}} {
		facts := b.follow(probe.FollowUp{ID: "1", Kind: probe.FollowUpWatchRevocation, Revocation: what})
		wantFailure(t, facts, probe.StepSetup, probe.FailureLocal, "revocation", "whose revocation")
	}
	if got := strings.Join(b.list(), " "); got != "drop drop drop" {
		t.Errorf("events %s", got)
	}
}
