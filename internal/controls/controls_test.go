package controls_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/controls"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestName holds what the resolvers have to say for a name to be alive.
func TestName(t *testing.T) {
	t.Parallel()
	found, gone := nameServer(t, says(dns.RcodeSuccess)), nameServer(t, says(dns.RcodeNameError))
	fails, refuses := nameServer(t, says(dns.RcodeServerFailure)), nameServer(t, says(dns.RcodeRefused))
	mute, nobody := nameServer(t, silent), closed(t)
	for _, test := range []struct {
		name      string
		resolvers []string
		alive     bool
		cause     probe.Cause // empty: no error
	}{
		{"found", []string{found}, true, ""},
		{"NXDOMAIN", []string{gone}, true, ""},
		{"SERVFAIL", []string{fails}, false, probe.CauseOther},
		{"REFUSED", []string{refuses}, false, probe.CauseOther},
		{"silence", []string{mute}, false, probe.CauseTimeout},
		{"nobody there", []string{nobody}, false, probe.CauseRefused},
		{"one of several", []string{mute, fails, nobody, found}, true, ""},
		{"none of several", []string{nobody, fails, mute}, false, probe.CauseRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := one(t, controls.Options{Config: load(t, "controls: {names: [example.org]}", "resolvers: ['"+strings.Join(test.resolvers, "', '")+"']")})
			phase := probe.PhaseDNS
			if test.cause == "" {
				phase = ""
			}
			check(t, got, test.alive, phase, test.cause)
			if got.Kind != probe.ControlName || got.Target != "example.org" {
				t.Errorf("%s %q", got.Kind, got.Target)
			}
			if test.alive && got.Duration >= controls.Timeout {
				t.Errorf("alive after %s", got.Duration)
			}
			for _, r := range test.resolvers {
				if got.Error != nil && !strings.Contains(got.Error.Message, r) {
					t.Errorf("nothing of %s in: %s", r, got.Error.Message)
				}
			}
			if test.name == "SERVFAIL" && !strings.Contains(got.Error.Message, "SERVFAIL") {
				t.Error(got.Error.Message)
			}
		})
	}
}

// TestAsk holds which controls a target has, in which order, and that none waits for
// another.
func TestAsk(t *testing.T) {
	// Each answers only when both have been asked.
	var asked atomic.Int32
	both := make(chan struct{})
	meet := func(_ http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 2 {
			close(both)
		}
		select {
		case <-both:
		case <-r.Context().Done():
		}
	}
	first, _ := web(t, meet)
	_, second := web(t, meet)
	c := load(t, "  other: {directory_url: '"+second+"', probes: {directory: 1m}}",
		"controls: {urls: ['"+first+"'], names: [example.org]}", "resolvers: ['"+nameServer(t, says(dns.RcodeSuccess))+"']")
	asker := controls.New(controls.Options{Config: c})
	var got []string
	for _, answer := range asker.Ask(t.Context(), "corp") {
		if !answer.Alive {
			t.Errorf("%s: %v", answer.Target, answer.Error)
		}
		got = append(got, answer.Target)
	}
	if diff := cmp.Diff([]string{first, "example.org", second}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestExcept holds that a CA is no control of itself, and that targets share the
// answers of the controls that they share.
func TestExcept(t *testing.T) {
	var asked atomic.Int32
	plain, secure := web(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	_, port, _ := strings.Cut(secure, "127.0.0.1:")
	c := load(t, "  other: {directory_url: 'https://localhost:"+port+"/', probes: {directory: 1m}}",
		"controls: {urls: ['"+plain+"', 'http://localhost:1/']}")
	asker := controls.New(controls.Options{Config: c})
	for target, want := range map[string][]string{
		"corp":  {plain, "http://localhost:1/", "https://localhost:" + port + "/"},
		"other": {plain, "https://ca.corp.example/"},
	} {
		var got []string
		for _, answer := range asker.Ask(t.Context(), target) {
			got = append(got, answer.Target)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", target, diff)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the two web servers were asked %d times", n)
	}
}

// TestNone holds that without a control nothing is said.
func TestNone(t *testing.T) {
	asker := controls.New(controls.Options{Config: load(t)})
	if asker.Configured("corp") || asker.Configured("other") {
		t.Error("a control is configured")
	}
	if got := asker.Ask(t.Context(), "corp"); got != nil {
		t.Errorf("answers: %+v", got)
	}
}

// TestGivenUp holds that who cannot wait knows nothing, rather than that all are dead.
func TestGivenUp(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	slow, _ := web(t, func(http.ResponseWriter, *http.Request) { close(arrived); <-release })
	defer close(release)
	asker := controls.New(controls.Options{Config: load(t, urls("http://"+closed(t), slow))})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := asker.Ask(ctx, "corp"); got != nil {
		t.Errorf("answers: %+v", got)
	}
	ctx, cancel = context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if got := asker.Ask(ctx, "corp"); got != nil {
		t.Errorf("answers: %+v", got)
	}
}
