package prober

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// watching is a Solver that tells what it was asked to present.
type watching struct {
	*events
	visits []probe.Visit
	ahead  []probe.Visit // before there is a challenge to answer
	of     *string       // where not nil: is set to the name that is validated, which all visits are of
}

func (w *watching) Present(_ context.Context, c probe.Challenge) (func() []probe.Visit, error) {
	what := "present"
	if c.Ahead {
		what = "ahead"
	}
	w.add(what+" %s, withheld %v, forbidden %v", c.Type, c.Withheld, c.Forbidden)
	visits := slices.Clone(w.visits)
	if c.Ahead {
		// What the challenge is visited by is a visit of the name as well.
		visits = append(slices.Clone(w.ahead), visits...)
	}
	if w.of != nil {
		*w.of = c.Identifier
		for i := range visits {
			visits[i].Identifier = c.Identifier
		}
	}
	return func() []probe.Visit {
		w.add("withdraw")
		return visits
	}, nil
}

// refusing returns the request of a run that the CA has to refuse with the problem.
func (b *bench) refusing(problem string, visits ...probe.Visit) Request {
	b.t.Helper()
	req := b.request(probe.ProberIssue)
	req.Pair.Module.Issue.Expect = &config.Expect{Problem: problem}
	if problem == probe.ProblemRejectedIdentifier {
		req.Pair.Module.Issue.Challenge = ""
	}
	req.Solver = &watching{events: b.events, visits: visits}
	return req
}

// The visits of validators who are told that there is no answer, who get one, and who
// look for CAA.
var (
	toldNothing = probe.Visit{Challenge: probe.HTTP01, Asked: "GET", Answered: "404"}
	toldAnswer  = probe.Visit{Challenge: probe.HTTP01, Asked: "GET", Answered: "200", OK: true}
	sawCAA      = probe.Visit{Challenge: probe.HTTP01, Asked: "CAA", Answered: "1 value"}
	askedCAA    = probe.Visit{Challenge: probe.HTTP01, Asked: "CAA", Answered: "dropped"}
	sawAddress  = probe.Visit{Challenge: probe.HTTP01, Asked: "A", Answered: "1 value"}
)

// withoutPersist are the challenges of a CA that takes no records that stay.
var withoutPersist = []probe.ChallengeType{probe.HTTP01, probe.DNS01}

// A CA that refuses as it has to makes the run a success, whose last step has ended as
// it had to, and that leaves nothing behind.
func TestExpectedRefusal(t *testing.T) {
	t.Parallel()
	invalid := func(kind string) fakeca.Options {
		return fakeca.Options{Polls: 1, Validate: func(context.Context, probe.Challenge) error {
			return &fakeca.Problem{Type: kind, Status: 403, Detail: "in words"}
		}}
	}
	withheld := []string{"add revoke", "add deactivate_authz", "present http-01, withheld true, forbidden false", "validate", "drop", "withdraw", "drop"}
	const ahead = "ahead http-01, withheld false, forbidden true"
	answered := []string{ahead, "add revoke", "add deactivate_authz", "present http-01, withheld false, forbidden true", "validate", "drop", "withdraw", "drop", "withdraw"}
	atOnce := fakeca.Fault{Problem: &fakeca.Problem{Type: "rejectedIdentifier", Status: 400, Detail: "forbidden by policy"}}
	late := fakeca.Fault{Problem: &fakeca.Problem{Type: "caa", Status: 403, Detail: "in words"}}
	for _, tt := range []struct {
		name, expected, got string
		options             fakeca.Options
		faults              map[probe.CallName]fakeca.Fault
		step                probe.StepName
		events              []string
	}{
		{"nobody answers", "unauthorized", "unauthorized", invalid("unauthorized"), nil, probe.StepValidation, withheld},
		{"nobody answers, in other words", "unauthorized", "incorrectResponse", invalid("incorrectResponse"), nil, probe.StepValidation, withheld},
		{"CAA forbids", "caa", "caa", invalid("caa"), nil, probe.StepValidation, answered},
		{"CAA forbids, and is asked when it is finalized", "caa", "caa", fakeca.Options{}, map[probe.CallName]fakeca.Fault{probe.CallFinalize: late}, probe.StepFinalization,
			[]string{ahead, "add revoke", "add deactivate_authz", answered[3], "validate", "add revoke", "withdraw", "drop", "withdraw"}},
		{"CAA forbids, and is asked when it is ordered", "caa", "caa", fakeca.Options{}, map[probe.CallName]fakeca.Fault{probe.CallNewOrder: late}, probe.StepOrder, []string{ahead, "withdraw"}},
		{"by policy", "rejectedIdentifier", "rejectedIdentifier", fakeca.Options{}, map[probe.CallName]fakeca.Fault{probe.CallNewOrder: atOnce}, probe.StepOrder, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tt.options).known()
			for call, fault := range tt.faults {
				b.ca.Fault(call, fault, 0)
			}
			req := b.refusing(tt.expected)
			req.Lookup = func(context.Context, probe.Challenge) []probe.Lookup {
				t.Error("resolvers were asked")
				return nil
			}
			facts := runFor(t, time.Minute, req)
			wantSuccess(t, facts)
			r := facts.Refusal
			if !r.Refused() || r.Expected != tt.expected || r.Step != tt.step || r.Problem.Type != tt.got || !strings.Contains(r.Problem.Detail, "words") && tt.step != probe.StepOrder {
				t.Errorf("refusal %+v", r)
			}
			if last := facts.Steps[len(facts.Steps)-1]; !last.OK || last.Name != tt.step {
				t.Errorf("steps %v", steps(facts))
			}
			// Validators come at their own time.
			if list := b.list(); !sameEvents(list, tt.events) {
				t.Errorf("events:\n got %v\nwant %v", list, tt.events)
			}
			if left := len(facts.FollowUps); left != 0 && tt.step != probe.StepFinalization || left > 1 {
				t.Errorf("left behind: %+v", facts.FollowUps)
			}
		})
	}
}

// sameEvents compares events but for when validators came.
func sameEvents(got, want []string) bool {
	without := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(e string) bool { return e == "validate" })
	}
	return slices.Equal(without(got), without(want))
}

// A CA that goes on where it has to refuse is accused of it only with proof.
func TestNotRefused(t *testing.T) {
	t.Parallel()
	found := []probe.Lookup{{Type: "TXT", Answer: "NODATA"}, {Type: "TXT", Found: true}}
	missing := []probe.Lookup{{Type: "TXT", Silent: true}, {Type: "TXT", Answer: "NODATA"}}
	silent := []probe.Lookup{{Type: "TXT", Silent: true}}
	internal := fakeca.Fault{Problem: &fakeca.Problem{Type: "serverInternal", Status: 500, Detail: "in words"}}
	plain := fakeca.Options{Challenges: withoutPersist}
	const after = ", and nobody got the challenge's answer from us"
	for _, tt := range []struct {
		name, expected string
		options        fakeca.Options
		faults         map[probe.CallName]fakeca.Fault
		visits         []probe.Visit
		lookups        []probe.Lookup // nil: there are no resolvers
		kind           probe.RefusalKind
		step           probe.StepName
		detail         string
		issued         bool // there is a certificate, as evidence
	}{
		{"issues though nobody answered", "unauthorized", plain, nil, []probe.Visit{toldNothing}, nil, probe.RefusalMisissued, probe.StepFinalization, "issued a certificate" + after, true},
		{"issues though nobody came", "unauthorized", plain, nil, nil, nil, probe.RefusalMisissued, probe.StepFinalization, "issued a certificate" + after, true},
		{"validates within the POST", "unauthorized", fakeca.Options{Challenges: withoutPersist, SyncValidation: true, AsyncFinalize: true}, nil, nil, nil, probe.RefusalMisissued, probe.StepFinalization, "issued a certificate", true},
		{"somebody got the answer", "unauthorized", plain, nil, []probe.Visit{toldNothing, toldAnswer}, nil, probe.RefusalUnproven, probe.StepFinalization, "; but somebody got an answer from a responder of ours", true},
		{"takes records that stay, and there is none", "unauthorized", fakeca.Options{}, nil, nil, missing, probe.RefusalMisissued, probe.StepFinalization, "issued a certificate", true},
		{"takes records that stay, and there is one", "unauthorized", fakeca.Options{}, nil, nil, found, probe.RefusalUnproven, probe.StepFinalization, "; but there is a record at _validation-persist.", true},
		{"takes records that stay, and nobody knows", "unauthorized", fakeca.Options{}, nil, nil, silent, probe.RefusalUnproven, probe.StepFinalization, "and no resolver says whether there is one at _validation-persist.", true},
		{"takes records that stay, and nobody can be asked", "unauthorized", fakeca.Options{}, nil, nil, nil, probe.RefusalUnproven, probe.StepFinalization, "there is no resolver to be asked", true},
		{"authorized from the start", "unauthorized", fakeca.Options{Authorized: true}, nil, nil, missing, probe.RefusalUnproven, probe.StepAuthorization, "before a challenge was accepted", false},
		{"authorized from the start, CAA", "caa", fakeca.Options{Authorized: true}, nil, nil, missing, probe.RefusalUnproven, probe.StepAuthorization, "before a challenge was accepted", false},
		{"authorizes, and fails to issue", "unauthorized", plain, map[probe.CallName]fakeca.Fault{probe.CallFinalize: internal}, nil, nil, probe.RefusalMisauthorized, probe.StepValidation, "made the authorization valid" + after + "; then: finalize answered HTTP 500 serverInternal", false},
		{"authorizes, and refuses to issue", "unauthorized", plain, map[probe.CallName]fakeca.Fault{probe.CallFinalize: {Problem: &fakeca.Problem{Type: "unauthorized", Status: 403}}}, nil, nil, probe.RefusalMisauthorized, probe.StepValidation, "; then: finalize answered HTTP 403 unauthorized", false},
		{"issues, and loses it", "unauthorized", plain, map[probe.CallName]fakeca.Fault{probe.CallCertificate: {Status: 404}}, nil, nil, probe.RefusalMisissued, probe.StepFinalization, "; then: certificate answered HTTP 404", false},
		{"issues against CAA", "caa", plain, nil, []probe.Visit{sawCAA, toldAnswer}, nil, probe.RefusalMisissued, probe.StepFinalization, "our name server forbids it by a CAA record", true},
		{"issues without a look at CAA", "caa", plain, nil, []probe.Visit{sawAddress, toldAnswer}, nil, probe.RefusalMisissued, probe.StepFinalization, "forbids it", true},
		{"CAA that nobody was told of", "caa", plain, nil, []probe.Visit{askedCAA, sawAddress}, nil, probe.RefusalUnproven, probe.StepFinalization, "; but our name server has not answered", true},
		{"CAA of a zone that is elsewhere", "caa", plain, nil, []probe.Visit{toldAnswer}, nil, probe.RefusalUnproven, probe.StepFinalization, "; but nobody has asked our name server", true},
		{"takes the order against its policy", "rejectedIdentifier", plain, nil, nil, nil, probe.RefusalMissing, probe.StepOrder, "the CA has taken the order", false},
		{"issues against what is said of its policy", "rejectedIdentifier", fakeca.Options{Authorized: true}, nil, nil, nil, probe.RefusalUnproven, probe.StepFinalization, "; but that the CA's policy has to refuse the name is the configuration's word only", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tt.options).known()
			for call, fault := range tt.faults {
				b.ca.Fault(call, fault, 0)
			}
			req := b.refusing(tt.expected, tt.visits...)
			var asked []string
			if tt.lookups != nil {
				req.Lookup = func(_ context.Context, c probe.Challenge) []probe.Lookup {
					asked = append(asked, c.Record.Name)
					return tt.lookups
				}
			}
			keeps := &keeping{}
			req.Issued = keeps
			facts := runFor(t, time.Minute, req)
			f := facts.Failure
			if f == nil || f.Kind != probe.FailureRefusal || f.Refusal != tt.kind || f.Step != tt.step || !strings.Contains(f.Detail, tt.detail) {
				t.Fatalf("failure %+v", f)
			}
			if f.Identifier == "" || (facts.Misissued() == probe.MisissuedCertificate) != (tt.kind == probe.RefusalMisissued) || facts.Refusal.Refused() {
				t.Errorf("failure %+v, refusal %+v", f, facts.Refusal)
			}
			checkEvidence(t, facts, tt.issued)
			if len(keeps.kept) > 0 {
				t.Error("others look at a certificate that is to be revoked")
			}
			b.checkUndone(facts, tt.kind == probe.RefusalMissing)
			if len(asked) > 0 && (!strings.HasPrefix(asked[0], "_validation-persist.") || strings.Count(asked[0], ".") != 3) {
				t.Errorf("asked %q", asked)
			}
			if tt.kind == probe.RefusalMisissued && tt.lookups != nil && !slices.Contains(asked, "_validation-persist.probe.example") {
				t.Errorf("asked %q: not for the domains above", asked)
			}
		})
	}
}

// checkEvidence holds that the certificate is kept as it is, or that there is none.
func checkEvidence(t *testing.T, facts probe.Facts, issued bool) {
	t.Helper()
	c := facts.Certificate
	if !issued {
		if c != nil {
			t.Errorf("certificate %+v", c)
		}
		return
	}
	block, rest := pem.Decode([]byte(c.PEM))
	if block == nil || !strings.Contains(string(rest), "BEGIN CERTIFICATE") {
		t.Fatalf("evidence %q", c.PEM)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || serialOf(leaf) != c.Serial || len(c.Checks) == 0 {
		t.Errorf("evidence of %v, %v, want %s", leaf, err, c.Serial)
	}
}

// checkUndone holds that an authorization that the CA takes for valid is to be
// deactivated, and that it was stored before finalize that its certificate is to be
// revoked.
func (b *bench) checkUndone(facts probe.Facts, nothing bool) {
	b.t.Helper()
	list := b.list()
	if nothing != !slices.Contains(list, "add deactivate_authz") {
		b.t.Errorf("events %v", list)
	}
	// What revokes comes first: what is to become of the order is not known any more
	// when its authorization is gone.
	if revokes := slices.Index(list, "add revoke"); revokes > slices.Index(list, "add deactivate_authz") || revokes < 0 && slices.Contains(names(facts.Calls), probe.CallFinalize) {
		b.t.Errorf("events %v", list)
	}
	var revoke []probe.FollowUp
	for _, f := range facts.FollowUps {
		if f.Kind == probe.FollowUpRevoke {
			revoke = append(revoke, f)
		}
	}
	switch downloaded := facts.Certificate != nil; {
	case downloaded && (len(revoke) != 1 || len(revoke[0].Revocation.Chain) == 0 || revoke[0].URL != ""):
		b.t.Errorf("the certificate is not revoked: %+v", revoke)
	case !downloaded && facts.Misissued() == probe.MisissuedCertificate && (len(revoke) != 1 || revoke[0].URL == "" || !revoke[0].Forbidden.Finalized):
		b.t.Errorf("what became of the order is not revoked: %+v", revoke)
	}
}

// Other problems than the one that was expected are what they always are.
func TestRefusedOtherwise(t *testing.T) {
	t.Parallel()
	says := func(kind string, status int) fakeca.Options {
		return fakeca.Options{Validate: func(context.Context, probe.Challenge) error {
			return &fakeca.Problem{Type: kind, Status: status}
		}}
	}
	order := func(kind string, status int) map[probe.CallName]fakeca.Fault {
		return map[probe.CallName]fakeca.Fault{probe.CallNewOrder: {Problem: &fakeca.Problem{Type: kind, Status: status}}}
	}
	for _, tt := range []struct {
		name, expected string
		options        fakeca.Options
		faults         map[probe.CallName]fakeca.Fault
		step           probe.StepName
		kind           probe.FailureKind
		object         string
	}{
		{"validators are down", "unauthorized", says("serverInternal", 500), nil, probe.StepValidation, probe.FailureObject, "challenge"},
		{"validators find no name", "unauthorized", says("dns", 400), nil, probe.StepValidation, probe.FailureObject, "challenge"},
		{"CAA", "unauthorized", says("caa", 403), nil, probe.StepValidation, probe.FailureObject, "challenge"},
		{"no answer where one was given", "caa", says("unauthorized", 403), nil, probe.StepValidation, probe.FailureObject, "challenge"},
		{"an error that calls itself so", "unauthorized", says("unauthorized", 500), nil, probe.StepValidation, probe.FailureObject, "challenge"},
		{"the account may not order", "unauthorized", fakeca.Options{}, order("unauthorized", 403), probe.StepOrder, probe.FailureCall, ""},
		{"a policy that is broken", "rejectedIdentifier", fakeca.Options{}, order("rejectedIdentifier", 500), probe.StepOrder, probe.FailureCall, ""},
		{"malformed", "rejectedIdentifier", fakeca.Options{}, order("malformed", 400), probe.StepOrder, probe.FailureCall, ""},
		{"CAA that cannot be issued against either", "caa", fakeca.Options{}, map[probe.CallName]fakeca.Fault{probe.CallFinalize: {Problem: &fakeca.Problem{Type: "serverInternal", Status: 500}}}, probe.StepFinalization, probe.FailureCall, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tt.options).known()
			for call, fault := range tt.faults {
				b.ca.Fault(call, fault, 0)
			}
			facts := runFor(t, time.Minute, b.refusing(tt.expected, toldNothing))
			wantFailure(t, facts, tt.step, tt.kind, tt.object, "")
			if facts.Refusal.Refused() || facts.Misissued() != "" {
				t.Errorf("refusal %+v", facts.Refusal)
			}
		})
	}
}

// A certificate is only asked for as proof, and where the budget has one. The failed
// validation is spent.
func TestRefusalSpends(t *testing.T) {
	t.Parallel()
	const order, validation, certificate = "reserve 2", "reserve 6", "reserve 8"
	refuses := fakeca.Options{Validate: func(context.Context, probe.Challenge) error {
		return &fakeca.Problem{Type: "unauthorized", Status: 403}
	}}
	for _, tt := range []struct {
		name, expected string
		options        fakeca.Options
		denied         []*probe.RateLimit
		reserves       []string
		failed         bool // the validation counts as failed
		kind           probe.RefusalKind
	}{
		{"refused", "unauthorized", refuses, nil, []string{validation}, true, ""},
		{"misissued", "unauthorized", fakeca.Options{Challenges: withoutPersist}, nil, []string{validation, certificate}, false, probe.RefusalMisissued},
		{"no certificate left", "unauthorized", fakeca.Options{Challenges: withoutPersist}, []*probe.RateLimit{nil, {Detail: "all are spent"}}, []string{validation, certificate}, false, probe.RefusalMisauthorized},
		{"by policy", "rejectedIdentifier", fakeca.Options{}, nil, []string{order}, false, probe.RefusalMissing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tt.options).known()
			p := &purse{b: b, denied: tt.denied}
			req := b.refusing(tt.expected)
			req.Budget = p
			facts := runFor(t, time.Minute, req)
			if f := facts.Failure; (f == nil) != (tt.kind == "") || f != nil && (f.Refusal != tt.kind || tt.denied != nil && !strings.Contains(f.Detail, "; then: all are spent")) {
				t.Errorf("failure %+v", f)
			}
			var reserves []string
			for _, e := range b.list() {
				if strings.HasPrefix(e, "reserve") {
					reserves = append(reserves, e)
				}
			}
			wantList(t, "reserves", reserves, tt.reserves)
			spent := p.spent[0]
			if (len(spent.Valid)+len(spent.Untried) == 0) != tt.failed || spent.Issued != (tt.kind == probe.RefusalMisissued) || spent.NoCertificate == spent.Issued {
				t.Errorf("spent %+v", spent)
			}
		})
	}
}

// Our name server forbids the name before the CA hears of it, and until the end. Who
// comes before there is a challenge is a visit, and who comes later is one once.
func TestForbiddenAhead(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{Challenges: withoutPersist}).known()
	req := b.refusing(probe.ProblemCAA, probe.Visit{At: 2, Challenge: probe.HTTP01, Asked: "GET", OK: true})
	solver := req.Solver.(*watching)
	solver.ahead = []probe.Visit{{At: 1, Challenge: probe.HTTP01, Asked: "CAA", Answered: "dropped"}}
	facts := runFor(t, time.Minute, req)
	var seen []string
	for _, v := range facts.Visits {
		seen = append(seen, v.Asked)
	}
	wantList(t, "visits", seen, []string{"CAA", "GET"})
	// It came when it was ordered, and got no answer: it cannot have known.
	if f := facts.Failure; f == nil || f.Refusal != probe.RefusalUnproven || !strings.Contains(f.Detail, "has not answered those who asked") {
		t.Errorf("failure %+v", f)
	}
	list := b.list()
	// After the end it is stored what the run has proved.
	if list[0] != "ahead http-01, withheld false, forbidden true" || !slices.Equal(list[len(list)-2:], []string{"withdraw", "add revoke"}) {
		t.Errorf("events %v", list)
	}

	b = newBench(t, fakeca.Options{Challenges: withoutPersist}).known()
	req = b.refusing(probe.ProblemCAA)
	req.Solver = unable{}
	facts = runFor(t, time.Minute, req)
	wantFailure(t, facts, probe.StepSetup, probe.FailureLocal, "challenge", "cannot publish the CAA record")
	if slices.Contains(names(facts.Calls), probe.CallNewOrder) {
		t.Error("it was ordered without the record")
	}
}

// unable is a Solver that publishes nothing.
type unable struct{}

func (unable) Present(context.Context, probe.Challenge) (func() []probe.Visit, error) {
	return nil, errors.New("no responder")
}

// A policy is proved of names that are nobody's, and of CAs that everybody knows.
func TestAgainstPolicy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		zone, preset string
		own          bool
		want         probe.RefusalKind
	}{
		{"example.org", "", false, probe.RefusalMisissued},
		{"example.org", "", true, probe.RefusalMisissued},
		{"probe.example", "letsencrypt", false, probe.RefusalMisissued},
		{"probe.example", "letsencrypt", true, probe.RefusalUnproven},
		{"badexample.org", "", false, probe.RefusalUnproven},
	} {
		b := newBench(t, fakeca.Options{Authorized: true}).known()
		b.target.Preset, b.target.OwnCA = tt.preset, tt.own
		req := b.refusing(probe.ProblemRejectedIdentifier)
		req.Pair.Module.Issue.Names.Zone = tt.zone
		if f := runFor(t, time.Minute, req).Failure; f == nil || f.Refusal != tt.want {
			t.Errorf("%+v: %+v", tt, f)
		}
	}
}

// A CA to which the account is bound may know a name without coming, and not what it
// came for in vain.
func TestBoundAccount(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		visits []probe.Visit
		want   probe.RefusalKind
	}{
		{"nobody came", nil, probe.RefusalUnproven},
		{"somebody came", []probe.Visit{toldNothing}, probe.RefusalMisissued},
	} {
		b := newBench(t, fakeca.Options{Challenges: withoutPersist}).known()
		b.target.Account.ExternalAccountBinding = &config.ExternalAccountBinding{KeyID: "ours"}
		f := runFor(t, time.Minute, b.refusing(probe.ProblemUnauthorized, tt.visits...)).Failure
		if f == nil || f.Refusal != tt.want || (tt.want == probe.RefusalUnproven) != strings.Contains(f.Detail, "may know the name without coming") {
			t.Errorf("%s: %+v", tt.name, f)
		}
	}
}
