package budget

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestDetection holds which module sees what, and when at worst.
func TestDetection(t *testing.T) {
	const timeout = 90 * time.Second
	for _, test := range []struct {
		name string
		planned
		want []Detection
	}{
		{"free ones", plannedProduction().probe("directory", probe.ProberDirectory, 30*time.Second, config.Names{}).probe("account", probe.ProberAccount, time.Minute, config.Names{}), []Detection{
			{Fault: FaultEdge, Module: "directory", Within: 30*time.Second + timeout},
			{Fault: FaultDatabase, Module: "account", Within: time.Minute + timeout},
			{Fault: FaultValidation}, {Fault: FaultSigning},
		}},
		{"one that is only asked for", plannedProduction().issue("issue", 0, randomNames()), []Detection{
			{Fault: FaultEdge}, {Fault: FaultDatabase}, {Fault: FaultValidation}, {Fault: FaultSigning},
		}},
		{"validation and issuance", plannedProduction().probe("validate", probe.ProberValidate, 5*time.Minute, randomNames()).issue("issue", 8*time.Hour, randomNames()), []Detection{
			{Fault: FaultEdge, Module: "validate", Within: 5*time.Minute + timeout},
			{Fault: FaultDatabase, Module: "validate", Within: 5*time.Minute + timeout},
			{Fault: FaultValidation, Module: "validate", Within: 5*time.Minute + timeout},
			{Fault: FaultSigning, Module: "issue", Within: 8*time.Hour + timeout},
		}},
		{"a pool that is filled, and another probe meanwhile", plannedProduction().probe("order", probe.ProberOrder, time.Hour, randomNames()).issue("issue", 5*time.Minute, poolOf(404)), []Detection{
			{Fault: FaultEdge, Module: "issue", Within: 5*time.Minute + timeout, UntilFilled: time.Hour + timeout},
			{Fault: FaultDatabase, Module: "issue", Within: 5*time.Minute + timeout, UntilFilled: time.Hour + timeout},
			{Fault: FaultValidation, Module: "issue", Within: 5*time.Minute + timeout, UntilFilled: 403*time.Minute + 12*time.Second + timeout},
			{Fault: FaultSigning, Module: "issue", Within: 5*time.Minute + timeout, UntilFilled: 403*time.Minute + 12*time.Second + timeout},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.plan(t).Detection
			for i := range got {
				got[i].UntilFilled = got[i].UntilFilled.Round(time.Second)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	reuse := plannedProduction().issue("issue", time.Hour, fixedNames("a.probe.example"))
	reuse.Modules["issue"].Issue.Authorization = config.AuthorizationReuse
	if d := reuse.plan(t).Detection[2]; d.Module != "" {
		t.Errorf("an authorization that is reused sees validation: %+v", d)
	}
}
