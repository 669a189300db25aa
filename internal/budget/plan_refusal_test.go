package budget

import (
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What a CA has to refuse takes no certificate, fails a validation of each new name
// for certain, and sees nothing of how the CA signs.
func TestPlanOfRefusals(t *testing.T) {
	p := plannedProduction().issue("refused", time.Hour, config.Names{Mode: config.NamesRandom, Zone: "probe.example", Count: 1})
	expect := &config.Expect{Problem: probe.ProblemUnauthorized}
	p.Modules["refused"].Issue.Expect = expect
	// What fails only if something is broken is no tighter.
	p.probe("another", probe.ProberValidate, time.Hour, config.Names{Mode: config.NamesRandom, Zone: "probe.example", Count: 1})
	limits := func() (list []string) {
		for _, l := range NewPlan(p.Config).Targets[0].Limits {
			list = append(list, string(l.Limit)+" "+l.Key+" "+l.spent()+" "+l.Modules[0])
		}
		return list
	}
	accounts := []string{"new_accounts_per_ip our address 1 once another", "new_accounts_per_network our network 1 once another"}
	want := append([]string{
		"new_orders the account 48 another",
		"failed_validations each new name 1 once refused", "consecutive_failures each new name 1 once refused",
	}, accounts...)
	if got := limits(); !slices.Equal(got, want) {
		t.Errorf("unauthorized:\n got %q\nwant %q", got, want)
	}
	for _, d := range NewPlan(p.Config).Targets[0].Detection {
		if (d.Fault == FaultSigning) != (d.Module == "") {
			t.Errorf("%+v", d)
		}
	}
	// By policy it is refused before anything is validated.
	expect.Problem = probe.ProblemRejectedIdentifier
	delete(p.target.Probes, "another")
	want = []string{"new_orders the account 24 refused", "new_accounts_per_ip our address 1 once refused", "new_accounts_per_network our network 1 once refused"}
	if got := limits(); !slices.Equal(got, want) {
		t.Errorf("rejectedIdentifier:\n got %q\nwant %q", got, want)
	}
	for _, d := range NewPlan(p.Config).Targets[0].Detection {
		if seen := d.Fault == FaultEdge || d.Fault == FaultDatabase; seen != (d.Module != "") {
			t.Errorf("%+v", d)
		}
	}
}
