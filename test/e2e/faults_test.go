package e2e_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/fault"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// faulty is a configuration with a module for each kind of run, to be made when asked.
// Those whose names end in _cut have little time, for what never ends. A control is
// alive, and the resolver knows what our own responder has.
const faulty = `
targets:
  ca:
    directory_url: %[1]s
    environment: staging
    tls_config: {ca_file: %[2]s}
    rate_limits: none
    account: {agree_to_terms: true}
    probes: {directory: 0s, directory_cut: 0s, nonce: 0s, order: 0s, order_cut: 0s, validate: 0s, validate_cut: 0s, issue: 0s, issue_cut: 0s}
responders:
  dns:
    listen_address: "127.0.0.1:%[3]d"
    zones: [acme-probe.example]
    nameserver: ns.acme-probe.example
    addresses: [127.0.0.1]
resolvers: ["127.0.0.1:%[3]d"]
controls: {urls: [%[4]q]}
modules:
  directory: {timeout: 60s, min_interval: 100ms}
  directory_cut: {prober: directory, timeout: 3s, min_interval: 100ms}
  nonce: {timeout: 60s, min_interval: 100ms}
  order: {timeout: 60s, min_interval: 100ms}
  order_cut: {prober: order, timeout: 4s, min_interval: 100ms}
  validate: {timeout: 60s, min_interval: 100ms, validate: {challenge: dns-01}}
  validate_cut: {prober: validate, timeout: 4s, min_interval: 100ms, validate: {challenge: dns-01}}
  issue: {timeout: 60s, min_interval: 100ms, issue: {challenge: dns-01}}
  issue_cut: {prober: issue, timeout: 5s, min_interval: 100ms, issue: {challenge: dns-01}}
`

// faultCase is what is wrong with the CA, and the verdict of a run that meets it.
type faultCase struct {
	name   string
	outage string // empty: off
	faults []fault.Fault
	defect string // of the signing back end; empty: none
	module string
	worked bool // a run succeeds before
	runs   int  // that meet it, of which the last one is meant; 0: 1
	want   judgement
	or     probe.Reason // as right as the one that is wanted; empty: none is
}

// judgement is a verdict without its words.
type judgement struct {
	outcome probe.Outcome
	stage   probe.StepName
	reason  probe.Reason
	fault   probe.Fault
}

// The paths of Pebble's calls.
const (
	pathDirectory = "/dir"
	pathNonce     = "/nonce-plz"
	pathNewOrder  = "/order-plz"
	pathOrder     = "/my-order/"
)

// at is a fault of the calls below a path.
func at(path string, f fault.Fault) []fault.Fault {
	f.Path = path
	return []fault.Fault{f}
}

// faultCases is the table.
func faultCases() []faultCase {
	passed := judgement{outcome: probe.OutcomeSuccess}
	failed := func(stage probe.StepName, reason probe.Reason, by probe.Fault) judgement {
		return judgement{probe.OutcomeFailure, stage, reason, by}
	}
	const (
		directory, nonce, order, authorization = probe.StepDirectory, probe.StepNonce, probe.StepOrder, probe.StepAuthorization
		validation, finalization, download     = probe.StepValidation, probe.StepFinalization, probe.StepDownload
		certificate                            = probe.StepCertificate
		ca, unreachable, client, unknown       = probe.FaultCA, probe.FaultUnreachable, probe.FaultClient, probe.FaultUnknown
	)
	served := func(name, outage, module string, want judgement) faultCase {
		return faultCase{name: name, outage: outage, module: module, want: want}
	}
	met := func(name, module string, faults []fault.Fault, want judgement) faultCase {
		return faultCase{name: name, module: module, faults: faults, want: want}
	}
	html := func(status int) fault.Fault { return fault.Fault{HTML: true, Status: status} }
	said := func(kind string, status int) fault.Fault { return fault.Fault{Problem: kind, Status: status} }
	set := func(name string, value any) fault.Fault { return fault.Fault{Set: map[string]any{name: value}} }
	cases := []faultCase{
		// Parts of the CA are down.
		served("nothing", "", "issue", passed),
		served("database", "db-down", "order", failed(order, "server_internal", ca)),
		served("database, and the directory", "db-down", "directory", passed),
		served("validation authority", "va-down", "validate", failed(validation, "server_internal", ca)),
		served("resolver", "resolver-down", "validate", failed(validation, "validation_dns", ca)),
		served("signer", "signing-down", "issue", failed(finalization, "server_internal", ca)),
		served("signer that signs at once", "signing-down-sync", "issue", failed(finalization, "server_internal", ca)),
		served("edge", "cdn-error", "nonce", failed(directory, "edge_5xx", ca)),
		// The reset comes while the client still connects, or after that.
		{name: "everything", outage: "down", module: "directory", want: failed(directory, "tls_failed", unreachable), or: "connect_failed"},
		served("slow", "slow", "order", passed),

		// Whoever stands before it answers for it.
		met("HTML with 403", "order", at(pathNewOrder, html(403)), failed(order, "edge_4xx", ca)),
		met("HTML with 502", "order", at(pathNewOrder, html(502)), failed(order, "edge_5xx", ca)),
		met("HTML with 503", "issue", at(parts.PebbleFinalize, html(503)), failed(finalization, "edge_5xx", ca)),
		met("HTML with 520", "issue", at(parts.PebbleCert, html(520)), failed(download, "edge_5xx", ca)),
		met("HTML with 502 to HEAD", "nonce", at(pathNonce, html(502)), failed(nonce, "http_5xx", ca)),
		met("HTML with 200", "directory", at(pathDirectory, html(200)), failed(directory, "protocol", ca)),
		met("503 with Retry-After", "directory", at(pathDirectory, fault.Fault{HTML: true, Status: 503, RetryAfter: "120"}), failed(directory, "edge_5xx", ca)),
		met("redirect", "directory", at(pathDirectory, fault.Fault{Redirect: "https://127.0.0.1:1/"}), failed(directory, "edge_3xx", ca)),

		// Connections end, or nothing comes over them. A control is alive.
		met("reset", "directory", at(pathDirectory, fault.Fault{Reset: true}), failed(directory, "no_answer_closed", unreachable)),
		met("reset in mid-run", "order", at(pathNewOrder, fault.Fault{Reset: true}), failed(order, "no_answer_closed", ca)),
		met("blackhole", "directory_cut", at(pathDirectory, fault.Fault{Hang: true}), failed(directory, "no_answer_timeout", unreachable)),
		met("blackhole in mid-run", "order_cut", at(pathNewOrder, fault.Fault{Hang: true}), failed(order, "no_answer_timeout", ca)),
		met("slow body", "directory_cut", at(pathDirectory, fault.Fault{Stall: true}), failed(directory, "body_timeout", unreachable)),
		met("truncated body", "directory", at(pathDirectory, fault.Fault{Truncate: true}), failed(directory, "body_closed", unreachable)),
		met("truncated certificate", "issue", at(parts.PebbleCert, fault.Fault{Truncate: true}), failed(download, "body_closed", ca)),
		met("oversized body", "directory", at(pathDirectory, fault.Fault{Pad: 2 << 20}), failed(directory, "too_large", ca)),

		// Nonces.
		met("badNonce once", "order", at(pathNewOrder, fault.Fault{BadNonce: true, Times: 1}), passed),
		met("badNonce three times", "order", at(pathNewOrder, fault.Fault{BadNonce: true, Times: 3}), passed),
		met("badNonce always", "order", at(pathNewOrder, fault.Fault{BadNonce: true}), failed(order, "bad_nonce", ca)),
		met("no nonce", "nonce", at(pathNonce, fault.Fault{DropNonce: true}), failed(nonce, "protocol", ca)),
		met("no nonce with an order", "order", at(pathNewOrder, fault.Fault{DropNonce: true}), passed),

		// The protocol is broken.
		met("204 instead of the directory", "directory", at(pathDirectory, fault.Fault{Status: 204}), failed(directory, "unexpected_status", ca)),
		met("200 to a new order", "order", at(pathNewOrder, fault.Fault{Status: 200}), failed(order, "unexpected_status", ca)),
		met("directory without newOrder", "directory", at(pathDirectory, set("newOrder", "")), failed(directory, "protocol", ca)),
		met("order of an unknown status", "order", at(pathNewOrder, set("status", "happy")), failed(order, "protocol", ca)),
		met("http in an order", "order", at(pathNewOrder, set("finalize", "http://ca.example/f")), failed(order, "url_refused", ca)),
		met("the metadata service in the directory", "directory", at(pathDirectory, set("newNonce", "https://169.254.169.254/n")), failed(directory, "url_refused", ca)),

		// It comes to no end, or to a bad one.
		met("order stuck in processing", "issue_cut", append(at(parts.PebbleFinalize, set("status", "processing")), at(pathOrder, set("status", "processing"))...), failed(finalization, "finalization_timeout", ca)),
		met("authorization stuck in pending", "validate_cut", at(parts.PebbleAuthz, set("status", "pending")), failed(validation, "validation_timeout", ca)),
		met("authorization that has expired", "order", at(parts.PebbleAuthz, set("status", "expired")), failed(authorization, "invalid", unknown)),

		// The CA says whose it is.
		met("503 serverInternal with Retry-After", "order", at(pathNewOrder, fault.Fault{Problem: "serverInternal", Status: 503, RetryAfter: "60"}), failed(order, "server_internal", ca)),
		met("userActionRequired", "order", at(pathNewOrder, said("userActionRequired", 403)), failed(order, "user_action_required", client)),
		met("rejectedIdentifier", "order", at(pathNewOrder, said("rejectedIdentifier", 400)), failed(order, "rejected_identifier", client)),
		{name: "malformed where it worked, twice", worked: true, runs: 2, module: "order", faults: at(pathNewOrder, said("malformed", 400)), want: failed(order, "rejected_malformed", ca)},
		{name: "badCSR where it worked, twice", worked: true, runs: 2, module: "issue", faults: at(parts.PebbleFinalize, said("badCSR", 400)), want: failed(finalization, "rejected_bad_csr", ca)},
	}
	for defect, reason := range map[string]probe.Reason{
		"leaf-key": "certificate_key", "leaf-name-added": "certificate_names", "leaf-expired": "certificate_validity",
		"chain-order": "certificate_order", "leaf-signature": "certificate_signatures",
	} {
		cases = append(cases, faultCase{name: "certificate: " + defect, defect: defect, module: "issue", want: failed(certificate, reason, ca)})
	}
	// What the CA asks for by these is obeyed: they come last.
	return append(cases,
		met("503 rateLimited", "order", at(pathNewOrder, fault.Fault{Problem: "rateLimited", Status: 503, RetryAfter: "1"}), failed(order, "throttled", unknown)),
		met("429", "issue", at(parts.PebbleFinalize, fault.Fault{Problem: "rateLimited", Status: 429, RetryAfter: "1"}), judgement{probe.OutcomeSkipped, finalization, "rate_limited", ""}),
	)
}

// TestFaults holds what an exporter says about a CA in which something is broken, or
// before it: the table of faults that internal/app plays with a fake CA, as far as
// Pebble can be made to have them.
func TestFaults(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	_, flags := parts.Signing(t)
	pebble := parts.StartPebble(t, ports, append(flags, smooth...)...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	control, err := url.Parse(pebble.ControlURL())
	must(t, err)
	control.Host = "localhost:" + control.Port() // any other host than the CA's
	exporter.Configure(fmt.Sprintf(faulty, pebble.DirectoryURL, pebble.RootFile, ports.DNS, control))
	exporter.Serve()
	for _, c := range faultCases() {
		t.Run(c.name, func(t *testing.T) {
			heal := func() {
				pebble.Outage("off")
				pebble.Faults()
				pebble.Defects()
			}
			defer heal()
			if c.worked {
				if r := exporter.RunNow(c.module); !r.Verdict.Success() {
					t.Fatalf("before: %+v", r.Verdict)
				}
			}
			pebble.Faults(c.faults...)
			if c.outage != "" {
				pebble.Outage(c.outage)
			}
			if c.defect != "" {
				pebble.Defects(c.defect)
			}
			armed := time.Now()
			var last *probe.Result
			for met := 0; met < max(c.runs, 1); {
				// One that confirms a failure of the case before may have begun earlier.
				if last = exporter.RunNow(c.module); !last.Start.Before(armed) {
					met++
				}
			}
			v := last.Verdict
			if v.Reason == c.or && c.or != "" {
				v.Reason = c.want.reason
			}
			if got := (judgement{v.Outcome, v.Stage, v.Reason, v.Fault}); got != c.want {
				t.Errorf("got %+v, want %+v: %s", got, c.want, v.Summary)
			}
		})
	}
}
