package prober

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Networks are counted where a number is expected, by those who got the answer, and
// not where their addresses say nothing.
func TestPerspectives(t *testing.T) {
	t.Parallel()
	visit := func(from string, network int, ok bool) probe.Visit {
		return probe.Visit{Remote: netip.MustParseAddr(from), Network: network, OK: ok, Asked: "GET"}
	}
	for name, tt := range map[string]struct {
		minimum int
		visits  []probe.Visit
		want    *probe.Perspectives // without the name
	}{
		"nothing expected":   {0, []probe.Visit{visit("9.9.9.9", 1, true)}, nil},
		"enough":             {2, []probe.Visit{visit("9.9.9.9", 1, true), visit("2620:fe::fe", 2, true)}, &probe.Perspectives{Networks: 2, Minimum: 2}},
		"one network twice":  {2, []probe.Visit{visit("9.9.9.9", 1, true), visit("9.9.9.10", 1, true)}, &probe.Perspectives{Networks: 1, Minimum: 2}},
		"one got nothing":    {2, []probe.Visit{visit("9.9.9.9", 1, true), visit("1.1.1.1", 2, false)}, &probe.Perspectives{Networks: 1, Minimum: 2}},
		"nobody came":        {2, nil, &probe.Perspectives{Minimum: 2}},
		"a private one":      {2, []probe.Visit{visit("9.9.9.9", 1, true), visit("10.0.0.1", 2, true)}, nil},
		"from this host":     {1, []probe.Visit{visit("127.0.0.1", 1, true)}, nil},
		"behind a carrier's": {1, []probe.Visit{visit("100.64.0.1", 1, true)}, nil},
		"a private stranger": {1, []probe.Visit{visit("9.9.9.9", 1, true), visit("192.168.0.1", 2, false)}, &probe.Perspectives{Networks: 1, Minimum: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{SyncValidation: true}).known()
			req := b.request(probe.ProberValidate)
			req.Pair.Module.Validate.MinimumNetworks = tt.minimum
			var solved string
			req.Solver = &watching{events: b.events, visits: tt.visits, of: &solved}
			facts := runFor(t, time.Minute, req)
			wantSuccess(t, facts)
			if tt.want != nil {
				tt.want.Identifier = solved
			}
			if diff := cmp.Diff(tt.want, facts.Perspectives); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A validation that fails says nothing of perspectives.
func TestPerspectivesOfFailures(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	b.ca.Fault(probe.CallChallenge, fakeca.Fault{Invalid: &fakeca.Problem{Type: "dns"}}, 0)
	req := b.request(probe.ProberValidate)
	req.Pair.Module.Validate.MinimumNetworks = 3
	if facts := runFor(t, time.Minute, req); facts.Failure == nil || facts.Perspectives != nil {
		t.Errorf("failure %+v, %+v", facts.Failure, facts.Perspectives)
	}
}
