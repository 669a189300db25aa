package incident

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What is proved to be given though it had to be refused needs no second one, and what
// is not proved needs as much as everything else.
func TestMisissuance(t *testing.T) {
	misissued := func(kind probe.RefusalKind, v probe.Verdict) *probe.Result {
		r := result("refused", at(2*time.Minute), v)
		r.Failure = &probe.Failure{Step: v.Stage, Kind: probe.FailureRefusal, Refusal: kind}
		r.Certificate = &probe.Certificate{Serial: "0a", PEM: "-----BEGIN CERTIFICATE-----"}
		return r
	}
	after := func(r *probe.Result) *probe.Result {
		r.FollowUp = probe.FollowUpRevoke
		return r
	}
	gravest := caFault
	gravest.Reason = "misissued"
	for _, test := range []struct {
		name   string
		before string
		run    *probe.Result
		want   string
	}{
		{"proved", "..", misissued(probe.RefusalMisissued, gravest), "refused down 2-open ca failed=1 flaps=0 uncertainty=1m0s"},
		{"proved, after another failure", ".U", misissued(probe.RefusalMisissued, gravest), "refused down 1-open ca failed=2 flaps=0 uncertainty=1m0s"},
		{"not proved", "..", misissued(probe.RefusalUnproven, doubt), ""},
		{"proved of an authorization", "..", misissued(probe.RefusalMisauthorized, gravest), "refused down 2-open ca failed=1 flaps=0 uncertainty=1m0s"},
		{"proved after the run", "..", after(misissued(probe.RefusalMisissued, gravest)), "refused down 2-open ca failed=1 flaps=0 uncertainty=1m0s"},
		{"not proved after the run", "..", after(misissued(probe.RefusalUnproven, doubt)), ""},
		{"not refused", "..", misissued(probe.RefusalMissing, doubt), ""},
	} {
		tr := New(Options{})
		tr.Apply(begin, []Pair{pair("refused", uncritical)})
		play(tr, "refused", 0, test.before)
		confirm := tr.Observe(test.run)
		if diff := cmp.Diff(test.want, brief(tr, Filter{Kind: probe.IncidentPair})); diff != "" {
			t.Errorf("%s:\n%s", test.name, diff)
		}
		if test.want == "" {
			continue
		}
		if confirm {
			t.Errorf("%s: it is to be confirmed", test.name)
		}
		i := tr.Incidents(Filter{Kind: probe.IncidentPair})[0]
		kept := i.Evidence.First.Result
		if i.Evidence.Last != nil {
			kept = i.Evidence.Last.Result
		}
		if i.Reason != "misissued" || kept.Certificate == nil || kept.Certificate.PEM == "" {
			if test.before == ".." {
				t.Errorf("%s: %+v", test.name, i)
			}
		}
	}
}

// TestPair plays the runs of one pair, a minute apart, and holds what becomes of
// them. Letters: . success, C the CA's fault, X unreachable, U inconclusive, L
// local, K the client's, S skipped.
func TestPair(t *testing.T) {
	for _, test := range []struct {
		name, runs string
		rules      Rules
		want       string
	}{
		{name: "all well", runs: "....."},
		{name: "one failure is none", runs: "..C.."},
		{name: "confirmed", runs: "..CC", want: "validate down 2-open ca failed=2 flaps=0 uncertainty=1m0s"},
		{name: "unreachable confirms", runs: "..XC", want: "validate down 2-open unreachable failed=2 flaps=0 uncertainty=1m0s"},
		{name: "two successes close it", runs: "..CC..", want: "validate down 2-4 ca failed=2 flaps=0 uncertainty=1m0s"},
		{name: "one does not", runs: "..CC.", want: "validate down 2-open ca failed=2 flaps=0 uncertainty=1m0s"},
		{name: "a flap", runs: "..CC.C..", want: "validate down 2-6 ca failed=3 flaps=1 uncertainty=1m0s"},
		{name: "an inconclusive flap", runs: "..CC.U..", want: "validate down 2-6 ca failed=3 flaps=1 uncertainty=1m0s"},
		{name: "nothing counts between the successes", runs: "..CC.LKS.", want: "validate down 2-4 ca failed=2 flaps=0 uncertainty=1m0s"},
		{name: "nothing counts between failure and confirmation", runs: "..CLC", want: "validate down 2-open ca failed=2 flaps=0 uncertainty=1m0s"},
		{name: "a success between them", runs: "..C.C.C.C."},
		{name: "inconclusive", runs: "..UUU", want: "validate down 2-open unknown failed=3 flaps=0 uncertainty=1m0s"},
		{name: "two inconclusive ones are none", runs: "..UU..."},
		{name: "three of five", runs: ".U.U.U", want: "validate down 1-open unknown failed=3 flaps=2 uncertainty=1m0s"},
		{name: "three of six are none", runs: ".U..U.U"},
		{name: "the inconclusive first one belongs to it", runs: "..UCC", want: "validate down 2-open ca failed=3 flaps=0 uncertainty=1m0s"},
		{name: "a conclusive one does not confirm itself", runs: "..CUU"},
		{name: "whose fault it is may be learnt late", runs: "..UUUC", want: "validate down 2-open ca failed=4 flaps=0 uncertainty=1m0s"},
		{name: "local, client, skipped are no evidence", runs: "..LLLLKKKKSSSS"},
		{name: "never seen up", runs: "CC", want: "validate down 0-open ca failed=2 flaps=0"},
		{name: "too far apart", runs: "..C    C"},
		{name: "and near enough", runs: "..C  C", want: "validate down 2-open ca failed=2 flaps=0 uncertainty=1m0s"},
		{name: "twice", runs: "..CC..CC..", want: "validate down 2-4 ca failed=2 flaps=0 uncertainty=1m0s\nvalidate down 6-8 ca failed=2 flaps=0 uncertainty=1m0s"},
		{name: "what closed it is not held against it", runs: "UUU..U.U.", want: "validate down 0-3 unknown failed=3 flaps=0"},
		{name: "no confirmation", runs: ".C", rules: Rules{Confirmations: -1}, want: "validate down 1-open ca failed=1 flaps=0 uncertainty=1m0s"},
		{name: "two confirmations", runs: ".CC.CCC", rules: Rules{Confirmations: 2}, want: "validate down 4-open ca failed=3 flaps=0 uncertainty=1m0s"},
		{name: "three successes", runs: ".CC..", rules: Rules{Successes: 3}, want: "validate down 1-open ca failed=2 flaps=0 uncertainty=1m0s"},
		{name: "one success", runs: ".CC.", rules: Rules{Successes: 1}, want: "validate down 1-3 ca failed=2 flaps=0 uncertainty=1m0s"},
		{name: "two of two", runs: ".U.UU", rules: Rules{Inconclusive: 2, InconclusiveOf: 2}, want: "validate down 3-open unknown failed=2 flaps=0 uncertainty=1m0s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tr := New(Options{Rules: test.rules})
			tr.Apply(begin, []Pair{pair("validate")})
			play(tr, "validate", 0, test.runs)
			if diff := cmp.Diff(test.want, brief(tr, Filter{Kind: probe.IncidentPair})); diff != "" {
				t.Errorf("%s:\n%s", test.runs, diff)
			}
		})
	}
}

// TestConfirm holds after which runs another one is wanted at once.
func TestConfirm(t *testing.T) {
	for runs, want := range map[string]bool{
		".": false, ".C": true, ".X": true, ".U": false, ".L": false, ".K": false, ".S": false,
		".CU": false, ".CUC": false, ".CC": false, ".CC.C": false, ".CC..C": true, ".UC": true,
	} {
		if got := play(tracker(nil, pair("validate")), "validate", 0, runs); got != want {
			t.Errorf("after %s: %v, want %v", runs, got, want)
		}
	}
	tr := New(Options{Rules: Rules{Confirmations: 2}})
	tr.Apply(begin, []Pair{pair("validate")})
	if !play(tr, "validate", 0, ".CC") || play(tr, "validate", 3*time.Minute, "C") {
		t.Error("of two confirmations the second is not wanted, or a third is")
	}
	tr.SetRules(Rules{Confirmations: -1})
	if play(tr, "validate", 4*time.Minute, "..C") || len(tr.Incidents(Filter{Kind: probe.IncidentPair})) != 2 {
		t.Error("a failure is to be confirmed where none has to be")
	}
}

// TestNotObserved holds what does not count: follow-ups, pairs that there are not,
// and the same run again.
func TestNotObserved(t *testing.T) {
	tr := tracker(nil, pair("validate"))
	play(tr, "validate", 0, "..")
	before := shown(t, tr, at(time.Minute))
	followUp := result("validate", at(2*time.Minute), caFault)
	followUp.FollowUp = probe.FollowUpDeactivateAuthz
	for _, r := range []*probe.Result{followUp, result("other", at(3*time.Minute), caFault), result("validate", at(time.Minute), caFault)} {
		if tr.Observe(r) {
			t.Errorf("%s is to be confirmed", r.ID)
		}
	}
	if diff := cmp.Diff(before, shown(t, tr, at(time.Minute))); diff != "" {
		t.Error(diff)
	}
}

// TestClock holds that times of a pair do not go back when the clock does.
func TestClock(t *testing.T) {
	tr := tracker(nil, pair("validate"))
	play(tr, "validate", 30*time.Minute, "..CC..")
	before := tr.State(at(36 * time.Minute))[0].Pairs[0]
	play(tr, "validate", 0, "CCC..CC..")
	if after := tr.State(at(36 * time.Minute))[0].Pairs[0]; after.LastEvidence.Before(before.LastEvidence) || after.LastSuccess.Before(before.LastSuccess) {
		t.Errorf("the pair had its last evidence at %v and has it at %v", before.LastEvidence, after.LastEvidence)
	}
	list := tr.Incidents(Filter{Kind: probe.IncidentPair})
	if n := len(list); n != 3 {
		t.Fatalf("%d incidents, want 3", n)
	}
	slices.Reverse(list)
	var end time.Time
	for k, i := range list {
		if i.Start.Before(end) || i.End.Before(i.Start) {
			t.Errorf("incident %d is from %v to %v, the one before ended at %v", k, i.Start, i.End, end)
		}
		end = i.End
	}
	if first := list[0]; minutes(first.Start) != "32" || minutes(first.End) != "34" {
		t.Errorf("the first is from %v to %v", first.Start, first.End)
	}
}

// TestEvidenceTime holds which runs are evidence.
func TestEvidenceTime(t *testing.T) {
	for letter, want := range map[string]bool{".": true, "C": true, "X": true, "U": false, "L": false, "K": false, "S": false} {
		tr := tracker(nil, pair("validate"))
		play(tr, "validate", 0, ".")
		play(tr, "validate", time.Minute, letter)
		s := tr.State(at(time.Minute))[0]
		if got := s.LastEvidence.Equal(at(61 * time.Second)); got != want || !s.LastEvidence.Equal(s.Pairs[0].LastEvidence) {
			t.Errorf("after %s the last evidence is of %v", letter, s.LastEvidence)
		}
	}
}
