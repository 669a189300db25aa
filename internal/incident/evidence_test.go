package incident

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// large returns a failed run of n names, whose failure is at the call failed.
func large(n, failed int) *probe.Result {
	r := result("validate", begin, caFault)
	for k := range n {
		name := fmt.Sprintf("n%03d.fra.acme-probe.example", k)
		r.Calls = append(r.Calls, probe.Call{
			Name: probe.CallAuthz, Step: probe.StepValidation, Method: "POST", Status: 200, Start: time.Duration(k),
			URL:        fmt.Sprintf("https://ca.example/acme/authz/%d", k),
			Connection: probe.Connection{Remote: "192.0.2.1:443", TLSVersion: "TLS 1.3"},
		})
		r.Steps = append(r.Steps, probe.Step{Name: probe.StepValidation, Identifier: name})
		r.Visits = append(r.Visits, probe.Visit{Identifier: name, Network: 1, Remote: netip.MustParseAddr("198.51.100.77")})
	}
	subproblems := []probe.Subproblem{}
	for range 100 {
		subproblems = append(subproblems, probe.Subproblem{Type: "dns", Detail: strings.Repeat("query timed out ", 30)})
	}
	r.Failure = &probe.Failure{
		Step: probe.StepValidation, Kind: probe.FailureObject, Call: failed, Identifier: fmt.Sprintf("n%03d.fra.acme-probe.example", failed),
		Problem: &probe.Problem{Type: "serverInternal", Subproblems: subproblems},
	}
	r.FollowUps = []probe.FollowUp{{ID: "f", Records: []probe.Record{{Name: "_acme-challenge.example", Value: "digest-of-a-token"}}}}
	return r
}

// TestEvidence holds what is kept of a run, and that the run itself stays as it is.
func TestEvidence(t *testing.T) {
	for _, failed := range []int{0, 57, 399} {
		r := large(400, failed)
		before, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		kept := keepRun(r)
		b, err := json.Marshal(kept.Result)
		if err != nil || len(b) > runSize {
			t.Errorf("the evidence has %d bytes: %v", len(b), err)
		}
		if after, err := json.Marshal(r); err != nil || string(after) != string(before) || !r.Visits[0].Remote.IsValid() {
			t.Error("the run was changed")
		}
		k := kept.Result
		want := fmt.Sprintf("https://ca.example/acme/authz/%d", failed)
		if k.Failure.Call < 0 || k.Failure.Call >= len(k.Calls) || k.Calls[k.Failure.Call].URL != want {
			t.Errorf("the failed call %d is none of %d, or another one", k.Failure.Call, len(k.Calls))
		}
		named := false
		for _, s := range k.Steps {
			named = named || s.Identifier == k.Failure.Identifier
		}
		if !named {
			t.Errorf("the failed step is not among the %d that are kept", len(k.Steps))
		}
		left := 3*400 + 100 - len(k.Calls) - len(k.Steps) - len(k.Visits) - len(k.Failure.Problem.Subproblems)
		if kept.Dropped != left || left == 0 {
			t.Errorf("%d were dropped, and it says %d", left, kept.Dropped)
		}
		if k.Verdict != r.Verdict || k.ID != r.ID {
			t.Errorf("the verdict is %+v", k.Verdict)
		}
	}
}

// TestEvidenceIsRedacted holds that neither follow-ups nor validators' addresses
// are kept, in the stored form or in memory.
func TestEvidenceIsRedacted(t *testing.T) {
	kept := keepRun(large(2, 1))
	for _, v := range kept.Result.Visits {
		if v.Remote.IsValid() {
			t.Errorf("the address %v is kept", v.Remote)
		}
	}
	store := newDisk()
	tr := tracker(store, pair("validate"))
	for k := range 3 {
		r := large(3, 1)
		r.ID, r.Start = fmt.Sprint(k), at(time.Duration(k)*time.Minute)
		tr.Observe(r)
	}
	i := tr.Incidents(Filter{Kind: probe.IncidentPair})[0]
	if i.Evidence == nil || i.Evidence.First.Result.ID != "0" || i.Evidence.Last.Result.ID != "2" || len(i.Evidence.First.Result.Calls) != 3 {
		t.Fatalf("the evidence is %+v", i.Evidence)
	}
	for _, bucket := range store.content {
		for key, value := range bucket {
			for _, secret := range []string{"198.51.100", "digest-of-a-token", "follow_ups"} {
				if strings.Contains(string(value), secret) {
					t.Errorf("%s has %q: %s", key, secret, value)
				}
			}
		}
	}
}

// TestEvidenceBeyondAllBounds holds that what no prober makes is kept at least as a
// verdict.
func TestEvidenceBeyondAllBounds(t *testing.T) {
	r := large(1, 0)
	r.Failure.Detail = strings.Repeat("x", 2*runSize)
	kept := keepRun(r)
	if b, err := json.Marshal(kept.Result); err != nil || len(b) > runSize || kept.Result.Verdict != r.Verdict || kept.Dropped == 0 {
		t.Errorf("%d bytes, %d dropped: %v", len(b), kept.Dropped, err)
	}
	r.Failure = nil
	if kept := keepRun(r); len(kept.Result.Calls) != 1 {
		t.Errorf("without a failure %d calls are kept", len(kept.Result.Calls))
	}
}
