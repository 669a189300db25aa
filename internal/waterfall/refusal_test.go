package waterfall

import (
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What was to be refused, and from how few networks validators came, is said of a run.
func TestRefusalFacts(t *testing.T) {
	all := func(r *probe.Result) string {
		var s strings.Builder
		for _, f := range facts(r) {
			s.WriteString(f.Label + "=" + f.Value)
			if f.Bad {
				s.WriteString("!")
			}
			s.WriteString("\n")
		}
		return s.String()
	}
	r := &probe.Result{}
	r.Refusal = &probe.Refusal{Expected: "unauthorized", Step: probe.StepValidation, Problem: &probe.Problem{Type: "unauthorized", Detail: "no TXT record"}}
	if got, want := all(r), "refusal=unauthorized at validation, as it has to: no TXT record\n"; got != want {
		t.Errorf("refused: %q, want %q", got, want)
	}
	r.Refusal.Problem, r.Refusal.Step = nil, ""
	r.Certificate = &probe.Certificate{Serial: "0a", PEM: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}
	if got := all(r); !strings.Contains(got, "refusal=expected was unauthorized!") || !strings.Contains(got, "evidence=") {
		t.Errorf("not refused: %q", got)
	}
	r = &probe.Result{}
	r.Perspectives = &probe.Perspectives{Networks: 1, Identifier: "a.example", Minimum: 3}
	if got, want := all(r), "perspectives=1 network for a.example, fewer than the 3 expected!\n"; got != want {
		t.Errorf("few: %q, want %q", got, want)
	}
	r.Perspectives.Networks = 4
	if got, want := all(r), "perspectives=4 networks, at least 3 expected\n"; got != want {
		t.Errorf("enough: %q, want %q", got, want)
	}
}
