package prober

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// dnsElsewhere is a Records: name servers elsewhere that do as they are told.
type dnsElsewhere struct {
	*events
	aliases map[string]string // where CNAME records lead, by their names
	// locate, publish and withdraw, if not nil, are what becomes of a call.
	locate            func(name string) error
	publish, withdraw func(ctx context.Context) error

	mu      sync.Mutex // guards what follows
	records []probe.Record
	until   time.Time // the deadline of the last Publish
}

func (d *dnsElsewhere) Locate(_ context.Context, name string) (string, error) {
	if d.locate != nil {
		if err := d.locate(name); err != nil {
			return "", err
		}
	}
	if to, is := d.aliases[name]; is {
		return to, nil
	}
	return name, nil
}

func (d *dnsElsewhere) Publish(ctx context.Context, records []probe.Record) error {
	d.add("publish %d", len(records))
	d.mu.Lock()
	d.records = append(d.records, records...)
	d.until, _ = ctx.Deadline()
	d.mu.Unlock()
	if d.publish != nil {
		return d.publish(ctx)
	}
	return nil
}

func (d *dnsElsewhere) Withdraw(ctx context.Context, records []probe.Record) error {
	d.add("withdraw %d", len(records))
	if d.withdraw != nil {
		return d.withdraw(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records = slices.DeleteFunc(d.records, func(r probe.Record) bool { return slices.Contains(records, r) })
	return nil
}

// has reports whether the record is there.
func (d *dnsElsewhere) has(r probe.Record) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.records, func(have probe.Record) bool { return have.Name == r.Name && have.Value == r.Value })
}

// elsewhereBench returns a bench at whose CA the records of the drafts' and RFC
// 8555's challenges have to be there, and zones of every kind.
func elsewhereBench(t *testing.T) (*bench, *dnsElsewhere, config.Responders) {
	t.Helper()
	d := &dnsElsewhere{}
	b := newBench(t, fakeca.Options{SyncValidation: true, Validate: func(_ context.Context, c probe.Challenge) error {
		if to, is := d.aliases[c.Record.Name]; is {
			c.Record.Name = to
		}
		if !d.has(c.Record) {
			return fmt.Errorf("no record %+v", c.Record)
		}
		return nil
	}}).known()
	d.events = b.events
	return b, d, config.Responders{
		DNS:        &config.DNSResponder{Zones: []string{"probe.example"}},
		DNSUpdates: []config.DNSUpdate{{Zone: "dyn.example"}},
		DNSAliases: []string{"alias.example"},
	}
}

// Records elsewhere are promised to be removed before they are written, written
// before the challenge is accepted, and removed without a word to the CA.
func TestPublication(t *testing.T) {
	t.Parallel()
	for _, typ := range []probe.ChallengeType{probe.DNS01, probe.DNSAccount01} {
		for _, p := range []probe.Prober{probe.ProberValidate, probe.ProberIssue} {
			t.Run(fmt.Sprintf("%s/%s", typ, p), func(t *testing.T) {
				b, d, responders := elsewhereBench(t)
				req := b.solving(p, typ, config.Names{Zone: "dyn.example", Count: 2, Wildcard: true})
				req.Records, req.Responders = d, responders
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				facts := Run(ctx, req)
				wantSuccess(t, facts)
				got := steps(facts)
				if i := slices.Index(got, "publication"); i < 2 || got[i-1] != "setup" || got[i+1] != "validation" {
					t.Errorf("steps %v", got)
				}
				wantList(t, "events", b.list(), []string{
					"add deactivate_authz", "add withdraw_records", "publish 4", "validate", "validate", "validate", "validate",
				})
				if len(facts.Visits) != 0 || len(facts.FollowUps) != 2 {
					t.Fatalf("visits %v, follow-ups %v", facts.Visits, facts.FollowUps)
				}
				f := facts.FollowUps[1]
				if f.Kind != probe.FollowUpWithdrawRecords || len(f.Records) != 4 || f.URL != "" || f.ID == facts.FollowUps[0].ID ||
					f.Parent != req.ID || f.Target != "fake" || f.Expires.Sub(f.Created) != 7*24*time.Hour {
					t.Errorf("follow-up %+v", f)
				}
				deadline, _ := ctx.Deadline()
				if left := deadline.Sub(d.until); left < 25*time.Second || left > 30*time.Second {
					t.Errorf("publication leaves %v of the minute to the CA, want about half", left)
				}

				before := len(b.ca.Requests())
				followed := b.following(f, req)
				wantSuccess(t, followed)
				wantList(t, "steps", steps(followed), []string{"publication"})
				if len(d.records) != 0 || len(b.ca.Requests()) != before || len(followed.Calls) != 0 {
					t.Errorf("records %v, %d requests, calls %v", d.records, len(b.ca.Requests())-before, followed.Calls)
				}
			})
		}
	}
}

// Where an alias leads decides who has the record, and under which name.
func TestAliases(t *testing.T) {
	t.Parallel()
	b, d, responders := elsewhereBench(t)
	d.aliases = map[string]string{
		"_acme-challenge.responder.alias.example": "x.probe.example",
		"_acme-challenge.update.alias.example":    "y.dyn.example",
		"_acme-challenge.dyn.example":             "z.probe.example", // also from a zone that takes updates
	}
	req := b.solving(probe.ProberValidate, probe.DNS01, fixed(
		"here.probe.example", "responder.alias.example", "update.alias.example", "there.dyn.example", "dyn.example"))
	solver := &elsewhereSolver{dnsElsewhere: d}
	req.Records, req.Responders, req.Solver = d, responders, solver
	facts := runFor(t, time.Minute, req)
	wantSuccess(t, facts)
	slices.Sort(solver.presented)
	wantList(t, "presented", solver.presented, []string{
		"_acme-challenge.here.probe.example for here.probe.example",
		"x.probe.example for responder.alias.example", "z.probe.example for dyn.example",
	})
	var written []string
	for _, r := range facts.FollowUps[1].Records {
		written = append(written, r.Name)
	}
	slices.Sort(written)
	wantList(t, "written", written, []string{"_acme-challenge.there.dyn.example", "y.dyn.example"})
	if len(facts.Visits) != 3 {
		t.Errorf("visits %v", facts.Visits)
	}

	// Where all of them are at our responder there is nothing to write.
	before := len(b.list())
	req = b.solving(probe.ProberValidate, probe.DNS01, fixed("responder.alias.example"))
	req.Records, req.Responders, req.Solver = d, responders, solver
	facts = runFor(t, time.Minute, req)
	wantSuccess(t, facts)
	wantList(t, "events", b.list()[before:], []string{"add deactivate_authz", "validate"})
	if !slices.Contains(steps(facts), "publication") {
		t.Errorf("steps %v", steps(facts))
	}
}

// elsewhereSolver is a Solver whose answers the CA finds as it does records
// elsewhere.
type elsewhereSolver struct {
	*dnsElsewhere
	presented []string // guarded by dnsElsewhere.mu
}

func (s *elsewhereSolver) Present(_ context.Context, c probe.Challenge) (func() []probe.Visit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = append(s.records, c.Record)
	s.presented = append(s.presented, c.Record.Name+" for "+c.Identifier)
	return func() []probe.Visit { return []probe.Visit{{Identifier: c.Identifier}} }, nil
}

// Records of dns-persist-01 are written where we may, and elsewhere only looked
// for: then they need not say more than the order asks for.
func TestStanding(t *testing.T) {
	t.Parallel()
	b, d, responders := elsewhereBench(t)
	d.aliases = map[string]string{"_validation-persist.led.alias.example": "led.dyn.example"}
	b.ca.Fault(probe.CallChallenge, fakeca.Fault{Invalid: &fakeca.Problem{Type: "unauthorized"}}, 0) // the records are what counts
	req := b.solving(probe.ProberValidate, probe.DNSPersist01, fixed(
		"a.example.org", "b.example.org", "*.b.example.org", "c.alias.example", "led.alias.example", "d.dyn.example"))
	req.Records, req.Responders = d, responders
	req.Pair.Module.Validate.PersistPolicy = "wildcard"
	facts := runFor(t, time.Minute, req)
	wantFailure(t, facts, probe.StepValidation, probe.FailureObject, "challenge", "")
	own := "ca.example; accounturi=" + b.accountURL()
	written := fmt.Sprintf("%s; policy=wildcard; persistUntil=%d", own, req.Start.Add(24*time.Hour).Unix())
	slices.SortFunc(d.records, func(a, b probe.Record) int { return strings.Compare(a.Name, b.Name) })
	wantList(t, "records", d.records, []probe.Record{
		{Name: "_validation-persist.a.example.org", Value: own, Standing: true},
		{Name: "_validation-persist.b.example.org", Value: own + "; policy=wildcard", Standing: true},
		{Name: "_validation-persist.c.alias.example", Value: own, Standing: true},
		{Name: "_validation-persist.d.dyn.example", Value: written},
		{Name: "led.dyn.example", Value: written},
	})
	i := slices.IndexFunc(facts.FollowUps, func(f probe.FollowUp) bool { return f.Kind == probe.FollowUpWithdrawRecords })
	if i < 0 || len(facts.FollowUps[i].Records) != 2 || facts.FollowUps[i].Records[0].Standing || facts.FollowUps[i].Records[1].Standing {
		t.Errorf("follow-ups %+v, want one for what was written", facts.FollowUps)
	}

	// With nothing to write, nothing is to be undone.
	before := len(b.list())
	req = b.solving(probe.ProberValidate, probe.DNSPersist01, fixed("a.example.org"))
	req.Records, req.Responders = d, responders
	runFor(t, time.Minute, req)
	wantList(t, "events", b.list()[before:], []string{"add deactivate_authz", "publish 1", "drop"})
}

// What goes wrong elsewhere ends the run before the CA hears of anything.
func TestPublicationFails(t *testing.T) {
	t.Parallel()
	refused := &probe.PublicationError{Kind: probe.FailureClient, Detail: "ns1 says REFUSED", Advice: "let the key update the zone"}
	fails := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	const name = "_acme-challenge.a.dyn.example"
	for _, tt := range []struct {
		name   string
		order  config.Names
		change func(*bench, *dnsElsewhere)
		kind   probe.FailureKind
		object string
		detail string
		advice string
		left   int // follow-ups
		events []string
	}{
		{
			"refused", fixed("a.dyn.example"), func(_ *bench, d *dnsElsewhere) { d.publish = fails(refused) },
			probe.FailureClient, "challenge", "ns1 says REFUSED", "let the key update the zone", 1,
			[]string{"add deactivate_authz", "add withdraw_records", "publish 1", "drop"},
		},
		{
			"refused for certain", fixed("a.dyn.example"), func(_ *bench, d *dnsElsewhere) {
				d.publish = fails(&probe.PublicationError{Kind: probe.FailureClient, Detail: "ns1 says REFUSED", Unwritten: true})
			},
			probe.FailureClient, "challenge", "ns1 says REFUSED", "", 0,
			[]string{"add deactivate_authz", "add withdraw_records", "publish 1", "drop", "drop"},
		},
		{
			"not everywhere", fixed("a.dyn.example"), func(_ *bench, d *dnsElsewhere) {
				d.publish = fails(fmt.Errorf("wrapped: %w", &probe.PublicationError{Kind: probe.FailureTimeout, Detail: "ns2 lacks it"}))
			},
			probe.FailureTimeout, "challenge", "ns2 lacks it", "", 1,
			[]string{"add deactivate_authz", "add withdraw_records", "publish 1", "drop"},
		},
		{
			"not asked", fixed("a.dyn.example"), func(_ *bench, d *dnsElsewhere) {
				d.locate = func(string) error { return &probe.PublicationError{Kind: probe.FailureLocal, Detail: "no route"} }
			},
			probe.FailureLocal, "challenge", "no route", "", 0, []string{"add deactivate_authz", "drop"},
		},
		{
			"an error of no kind", fixed("a.dyn.example"), func(_ *bench, d *dnsElsewhere) {
				d.locate = func(string) error { return errors.New("see https://x.example/?key=s3cret") }
			},
			probe.FailureLocal, "challenge", "", "", 0, []string{"add deactivate_authz", "drop"},
		},
		{
			"no disk", fixed("a.dyn.example"), func(b *bench, d *dnsElsewhere) {
				d.locate = func(string) error { b.addErr = errors.New("disk full"); return nil }
			},
			probe.FailureLocal, "", "disk full", "", 0, []string{"add deactivate_authz", "drop"},
		},
		{
			"our responder", fixed("a.dyn.example"), func(b *bench, d *dnsElsewhere) {
				d.aliases = map[string]string{name: "x.probe.example"}
				b.presentErr = errors.New("no DNS responder is open")
			},
			probe.FailureLocal, "", "no DNS responder is open", "", 0, []string{"add deactivate_authz", "drop"},
		},
		{
			"away from a zone of ours", fixed("a.dyn.example"), func(_ *bench, d *dnsElsewhere) {
				d.aliases = map[string]string{name: "x.example.net"}
			},
			probe.FailureClient, "challenge", name + ` leads to "x.example.net", in no zone that is configured`, "point its CNAME record",
			0, []string{"add deactivate_authz", "drop"},
		},
		{
			"no alias", fixed("*.a.alias.example"), func(*bench, *dnsElsewhere) {},
			probe.FailureClient, "challenge", "_acme-challenge.a.alias.example is no CNAME record",
			`create where its DNS is the record "_acme-challenge.a.alias.example. CNAME _acme-challenge.probe.example."`,
			0, []string{"add deactivate_authz", "drop"},
		},
		{
			"no alias for random names", config.Names{Zone: "x.alias.example", Count: 1}, func(*bench, *dnsElsewhere) {},
			probe.FailureClient, "challenge", ".x.alias.example is no CNAME record",
			`create where its DNS is the record "*.alias.example. CNAME _acme-challenge.probe.example."`,
			0, []string{"add deactivate_authz", "drop"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, d, responders := elsewhereBench(t)
			tt.change(b, d)
			req := b.solving(probe.ProberIssue, probe.DNS01, tt.order)
			req.Records, req.Responders = d, responders
			facts := runFor(t, time.Minute, req)
			f := wantFailure(t, facts, probe.StepPublication, tt.kind, tt.object, tt.detail)
			if tt.advice == "" && f.Advice != "" || !strings.Contains(f.Advice, tt.advice) || strings.Contains(f.Detail, "s3cret") || f.Call != -1 {
				t.Errorf("failure %+v, want the advice %q", f, tt.advice)
			}
			if tt.object != "" && f.Identifier == "" {
				t.Errorf("failure %+v of no name", f)
			}
			wantList(t, "events", b.list(), tt.events)
			if len(facts.FollowUps) != tt.left || tally(facts)["challenge"] != 0 {
				t.Errorf("follow-ups %v, calls %v", facts.FollowUps, tally(facts))
			}
		})
	}
}

// One name of several that goes astray ends the run with nothing written.
func TestOneAstray(t *testing.T) {
	t.Parallel()
	b, d, responders := elsewhereBench(t)
	req := b.solving(probe.ProberIssue, probe.DNS01, fixed("a.dyn.example", "b.alias.example", "c.dyn.example"))
	req.Records, req.Responders = d, responders
	facts := runFor(t, time.Minute, req)
	f := wantFailure(t, facts, probe.StepPublication, probe.FailureClient, "challenge", "is no CNAME record")
	if f.Identifier != "b.alias.example" {
		t.Errorf("failure of %q", f.Identifier)
	}
	wantList(t, "events", b.list(), []string{"add deactivate_authz", "drop"})
}

// The exporter stops while records are on their way: they are removed later.
func TestPublicationCanceled(t *testing.T) {
	t.Parallel()
	b, d, responders := elsewhereBench(t)
	req := b.solving(probe.ProberIssue, probe.DNS01, fixed("a.dyn.example"))
	req.Records, req.Responders = d, responders
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d.publish = func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return &probe.PublicationError{Kind: probe.FailureTimeout, Detail: "ns2 lacks it"}
	}
	facts := Run(ctx, req)
	wantFailure(t, facts, probe.StepPublication, probe.FailureCanceled, "challenge", "ns2 lacks it")
	if len(facts.FollowUps) != 1 || facts.FollowUps[0].Kind != probe.FollowUpWithdrawRecords {
		t.Errorf("follow-ups %v", facts.FollowUps)
	}
}

// A removal that fails says why, and is tried again.
func TestWithdrawFails(t *testing.T) {
	t.Parallel()
	b, d, responders := elsewhereBench(t)
	d.withdraw = func(context.Context) error {
		return &probe.PublicationError{Kind: probe.FailureLocal, Detail: "ns1 does not answer", Advice: "look at ns1"}
	}
	req := b.solving(probe.ProberValidate, probe.DNS01, fixed("a.dyn.example"))
	req.Records, req.Responders = d, responders
	facts := b.following(probe.FollowUp{
		ID: "x", Kind: probe.FollowUpWithdrawRecords, Records: []probe.Record{{Name: "_acme-challenge.a.dyn.example", Value: "v"}},
	}, req)
	f := wantFailure(t, facts, probe.StepPublication, probe.FailureLocal, "challenge", "ns1 does not answer")
	if f.Advice != "look at ns1" || f.Identifier != "" {
		t.Errorf("failure %+v", f)
	}
	wantList(t, "events", b.list(), []string{"withdraw 1"})
}
