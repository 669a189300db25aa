package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// startTransparent starts a CA whose certificates have SCTs of two logs, and an
// exporter with the list of them.
func startTransparent(t *testing.T, more ...string) (*parts.Pebble, *parts.Exporter) {
	t.Helper()
	files, flags := parts.Signing(t)
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, slices.Concat(flags, []string{"-smooth", "-always-valid"}, more)...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	exporter.Reconfigure("\ntargets:\n", "\nlog_list_file: "+files.LogList+"\ntargets:\n")
	exporter.Reconfigure("issue_http: {prober: issue,", "issue_http: {prober: issue, min_interval: 100ms,")
	exporter.Serve()
	return pebble, exporter
}

// sctsOf is what a run has found of SCTs: their statuses, the policy, and what became
// of the check, which is empty where it could not be told.
func sctsOf(t *testing.T, r *probe.Result) (statuses string, seen *probe.Transparency, check string) {
	t.Helper()
	if r.Certificate == nil || r.Certificate.Transparency == nil {
		t.Fatalf("nothing was seen of SCTs: %+v", r.Verdict)
	}
	seen = r.Certificate.Transparency
	var list []string
	for _, s := range seen.SCTs {
		list = append(list, string(s.Status))
	}
	for _, c := range r.Certificate.Checks {
		if c.Check == probe.CheckSCTs && c.Passed {
			check = "passed"
		} else if c.Check == probe.CheckSCTs {
			check = "failed"
		}
	}
	return strings.Join(list, " "), seen, check
}

// TestTransparency holds that the exporter verifies the SCTs of what is issued to it,
// and what it makes of each defect: a run that fails, or one that says that it cannot
// tell.
func TestTransparency(t *testing.T) {
	t.Parallel()
	pebble, exporter := startTransparent(t)
	failures := 0
	for _, test := range []struct {
		defect, statuses, check, detail string
		policy                          probe.PolicyState
		operators                       int
	}{
		{"", "verified verified", "passed", "", probe.PolicyMet, 2},
		{"sct-one", "verified", "failed", "SCTs of 1 logs count, and 2 are needed", probe.PolicyMissed, 1},
		{"sct-same-operator", "verified verified", "failed", "the logs have 1 operator, and 2 are needed", probe.PolicyMissed, 1},
		{"sct-other-certificate", "verified invalid", "failed", "is not signed by it, or is for another certificate", probe.PolicyMissed, 1},
		{"sct-signature", "verified invalid", "failed", "is not signed by it, or is for another certificate", probe.PolicyMissed, 1},
		{"sct-future", "verified future", "failed", "is yet to come", probe.PolicyMissed, 1},
		{"sct-unknown-log", "verified unknown", "", "the list of logs does not know 1 of the logs", probe.PolicyUnknown, 1},
		{"", "verified verified", "passed", "", probe.PolicyMet, 2},
	} {
		var defects []string
		if test.defect != "" {
			defects = append(defects, test.defect)
		}
		pebble.Defects(defects...)
		r := exporter.RunNow("issue_http")
		statuses, seen, check := sctsOf(t, r)
		if statuses != test.statuses || check != test.check || seen.Policy != test.policy || len(seen.Operators) != test.operators || seen.Count != len(seen.SCTs) {
			t.Errorf("%q: %s, %q: %+v", test.defect, statuses, check, seen)
		}
		m := exporter.Metrics()
		if check == "failed" {
			failures++
			if r.Verdict.Reason != "certificate_scts" || r.Verdict.Fault != probe.FaultCA || !strings.Contains(r.Verdict.Summary, test.detail) {
				t.Errorf("%q: %+v", test.defect, r.Verdict)
			}
		} else if !r.Verdict.Success() || !strings.Contains(seen.Detail, test.detail) {
			t.Errorf("%q: %+v: %s", test.defect, r.Verdict, seen.Detail)
		}
		series := m.Has("acme_certificate_check_passed", "check", "scts")
		if series != (check != "") || m.Sum("acme_certificate_check_passed", "check", "scts") == 1 != (check == "passed") {
			t.Errorf("%q: acme_certificate_check_passed is not of %q", test.defect, check)
		}
		if got := m.Sum("acme_certificate_scts"); got != float64(seen.Count) {
			t.Errorf("%q: acme_certificate_scts %v", test.defect, got)
		}
		if got := m.Sum("acme_certificate_check_failures_total", "check", "scts"); got != float64(failures) {
			t.Errorf("%q: acme_certificate_check_failures_total %v, want %d", test.defect, got, failures)
		}
	}
	// Nobody asks a private CA for SCTs.
	pebble.Defects("sct-none")
	if r := exporter.RunNow("issue_http"); !r.Verdict.Success() || r.Certificate.Transparency != nil {
		t.Errorf("without SCTs: %+v, %+v", r.Verdict, r.Certificate.Transparency)
	}
	if m := exporter.Metrics(); m.Has("acme_certificate_scts") {
		t.Errorf("without SCTs: acme_certificate_scts %v", m["acme_certificate_scts"])
	}
}

// TestTransparencyStale holds that a list of logs that is too old says nothing of the
// policy, and everything of signatures.
func TestTransparencyStale(t *testing.T) {
	t.Parallel()
	pebble, exporter := startTransparent(t, "-log-list-age="+(71*24*time.Hour).String())
	r := exporter.RunNow("issue_http")
	statuses, seen, check := sctsOf(t, r)
	if !r.Verdict.Success() || statuses != "verified verified" || check != "" || seen.Policy != probe.PolicyUnknown || !strings.Contains(seen.Detail, "more than 70 days old") {
		t.Errorf("%+v: %s, %q: %+v", r.Verdict, statuses, check, seen)
	}
	pebble.Defects("sct-signature")
	if r := exporter.RunNow("issue_http"); r.Verdict.Reason != "certificate_scts" || r.Verdict.Fault != probe.FaultCA {
		t.Errorf("sct-signature: %+v", r.Verdict)
	}
	const warning = "more than 70 days ago: whether SCTs meet Chrome's policy is not known"
	if out, stderr, status := exporter.Run("check", "config", exporter.ConfigFile()); status != 0 || !strings.Contains(out+stderr, warning) {
		t.Errorf("check config: %d\n%s%s", status, out, stderr)
	}
}
