package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// authorities are the CAs that issuance is tested against.
var authorities = []struct {
	name  string
	start func(testing.TB, parts.Ports) parts.CA
	// followUp is how the follow-up ends that deactivates the authorization.
	followUp string
}{
	// As rough as it is by default.
	{"pebble", func(tb testing.TB, p parts.Ports) parts.CA { return parts.StartPebble(tb, p).CA }, "success"},
	// It has no deactivation of authorizations.
	{"step-ca", func(tb testing.TB, p parts.Ports) parts.CA { return *parts.StartStepCA(tb, p) }, "skipped"},
}

// TestIssuance holds that one issuance is exactly the calls of the golden file,
// by the command and by /metrics.
func TestIssuance(t *testing.T) {
	t.Parallel()
	for _, authority := range authorities {
		for _, module := range []string{"issue_http", "issue_dns", "issue_alpn"} {
			t.Run(authority.name+"/"+module, func(t *testing.T) {
				t.Parallel()
				ports := parts.NewPorts(t)
				exporter := parts.NewExporter(t, ports, authority.start(t, ports))
				// The account is made here, so that issuing finds one.
				exporter.Probe("account")

				result := exporter.Probe(module)
				checkNames(t, result)
				checkSteps(t, result)
				calls := collapse(result.Calls)
				golden(t, authority.name+".golden", strings.Join(calls, "\n")+"\n")

				exporter.Serve()
				exporter.Scrape(module)
				parts.Until(t, "the follow-up is done", func() bool {
					return exporter.Metrics().Sum("acme_follow_ups_total", "outcome", authority.followUp) == 1
				})
				checkMetrics(t, exporter.Metrics(), module, calls)
				exporter.Terminate()
				exporter.Ended(parts.Timeout)
			})
		}
	}
}

// checkNames holds that the run knew what each of its calls was for.
func checkNames(t *testing.T, r *probe.Result) {
	t.Helper()
	for i, call := range r.Calls {
		if call.Name == probe.CallUnknown {
			t.Errorf("call %d is unknown: %s %s", i, call.Method, call.URL)
		}
	}
}

// checksOfPrivateCA is how many checks a certificate undergoes of a CA of which
// nothing is known.
const checksOfPrivateCA = 8

// checkSteps holds that the run went through a whole issuance, and succeeded.
func checkSteps(t *testing.T, r *probe.Result) {
	t.Helper()
	if !r.Verdict.Success() {
		t.Errorf("verdict %+v", r.Verdict)
	}
	for _, want := range []probe.StepName{
		probe.StepDirectory, probe.StepNonce, probe.StepOrder, probe.StepAuthorization,
		probe.StepValidation, probe.StepFinalization, probe.StepDownload, probe.StepCertificate,
	} {
		passed := slices.ContainsFunc(r.Steps, func(s probe.Step) bool { return s.Name == want && s.OK && s.Duration > 0 })
		if !passed {
			t.Errorf("step %s has not passed: %+v", want, r.Steps)
		}
	}
	if r.Certificate == nil {
		t.Fatal("no certificate")
	}
	for _, check := range r.Certificate.Checks {
		if !check.Passed {
			t.Errorf("the certificate's %s: %s", check.Check, check.Detail)
		}
	}
	if len(r.Certificate.Checks) != checksOfPrivateCA {
		t.Errorf("checks %+v, want %d of %v", r.Certificate.Checks, checksOfPrivateCA, probe.Checks())
	}
	if len(r.Visits) == 0 {
		t.Error("no validator was seen at the responder")
	}
}

// collapse names the calls of an issuance as if nothing had been rough: an
// object that is polled counts once, retries and the nonces that they cost do
// not, nor does an order whose authorization had to be deactivated first.
func collapse(calls []probe.Call) []string {
	var names []string
	for _, call := range calls {
		name := string(call.Name)
		switch {
		case call.Attempt > 0:
		case call.Name == probe.CallNewNonce && slices.Contains(names, name):
		case call.Name == probe.CallDeactivateAuthz:
			// Back to before the order that had it.
			if i := slices.Index(names, string(probe.CallNewOrder)); i >= 0 {
				names = names[:i]
			}
		case len(names) > 0 && names[len(names)-1] == name:
		default:
			names = append(names, name)
		}
	}
	return names
}

// checkMetrics holds that /metrics has counted the calls of module's run and no
// others, but for what follow-ups do.
func checkMetrics(t *testing.T, m parts.Metrics, module string, calls []string) {
	t.Helper()
	if got := m.Sum("acme_probes_total", "module", module, "outcome", "success"); got != 1 {
		t.Errorf("acme_probes_total of successes: %v, want 1", got)
	}
	for _, call := range probe.Calls() {
		name := string(call)
		got := m.Sum("acme_requests_total", "module", module, "call", name)
		switch {
		case slices.Contains(calls, name):
			if got < 1 {
				t.Errorf("acme_requests_total of %s: %v, want at least 1", name, got)
			}
		case call == probe.CallDeactivateAuthz:
		case got != 0:
			t.Errorf("acme_requests_total of %s: %v, want 0", name, got)
		}
	}
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%swant\n%s", file, got, want)
	}
}

// TestCollapse holds what the golden files rest on.
func TestCollapse(t *testing.T) {
	call := func(name probe.CallName, attempt int) probe.Call { return probe.Call{Name: name, Attempt: attempt} }
	got := collapse([]probe.Call{
		call(probe.CallDirectory, 0), call(probe.CallNewNonce, 0),
		// An order whose authorization is valid already, drained.
		call(probe.CallNewOrder, 0), call(probe.CallAuthz, 0), call(probe.CallDeactivateAuthz, 0),
		// A retry, and the nonce that it cost.
		call(probe.CallNewOrder, 0), call(probe.CallNewNonce, 0), call(probe.CallNewOrder, 1),
		call(probe.CallAuthz, 0), call(probe.CallChallenge, 0),
		// Polls.
		call(probe.CallAuthz, 0), call(probe.CallAuthz, 0),
		call(probe.CallFinalize, 0), call(probe.CallCertificate, 0),
	})
	want := []string{"directory", "new-nonce", "new-order", "authz", "challenge", "authz", "finalize", "certificate"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
