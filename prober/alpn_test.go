package prober

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/challenge"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Our responder solves tls-alpn-01, for names and addresses, at a CA that
// looks at every byte of its certificates.
func TestTLSALPN(t *testing.T) {
	responders := challenge.NewSet(slog.New(slog.DiscardHandler))
	change, err := responders.Prepare(config.Responders{TLSALPN: &config.TLSALPNResponder{ListenAddress: "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	t.Cleanup(func() {
		if err := responders.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	b := newBench(t, fakeca.Options{
		Validate: fakeca.ValidateTLSALPN(func() string { return responders.Addresses()["tls_alpn"].String() }),
	}).known()

	for _, p := range []probe.Prober{probe.ProberValidate, probe.ProberIssue} {
		for name, names := range map[string]config.Names{
			"random": {Zone: "probe.example", Count: 2, Mode: config.NamesRandom},
			"fixed":  {List: []string{"a.probe.example", "192.0.2.7", "2001:db8::7"}, Mode: config.NamesFixed},
		} {
			t.Run(string(p)+"/"+name, func(t *testing.T) {
				req := b.request(p)
				req.Solver = responders
				m := req.Pair.Module
				m.Validate.Challenge, m.Issue.Challenge = probe.TLSALPN01, probe.TLSALPN01
				m.Validate.Names, m.Issue.Names = names, names
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				facts := Run(ctx, req)
				wantSuccess(t, facts)
				want := max(names.Count, len(names.List))
				visited := make(map[string]bool)
				for _, v := range facts.Visits {
					visited[v.Identifier] = true
					if !v.OK || v.Asked != "acme-tls/1" || v.Challenge != probe.TLSALPN01 || v.Remote != netip.MustParseAddr("127.0.0.1") {
						t.Errorf("visit %+v", v)
					}
				}
				if len(visited) != want || len(facts.Visits) != want {
					t.Errorf("%d visits of %v, want one of each of %d names", len(facts.Visits), visited, want)
				}
			})
		}
	}
}

// inOrder is a Solver that remembers in which order it was asked.
type inOrder struct {
	mu    sync.Mutex // guards names
	names []string
}

func (s *inOrder) Present(_ context.Context, c probe.Challenge) (func() []probe.Visit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, c.Identifier)
	return func() []probe.Visit { return nil }, nil
}

// Runs of two targets for the same names may have to wait for each other's
// challenges: they do not for ever if both take the names in one order, whatever
// the order in which their CAs list them.
func TestTLSALPNInOrder(t *testing.T) {
	solver := new(inOrder)
	req := newBench(t, fakeca.Options{}).request(probe.ProberValidate)
	req.Solver = solver
	r := newRun(req)
	r.sign(accountKey(), "https://ca.example/account/1")
	var tasks []*task
	for c := 'z'; c >= 'a'; c-- {
		name := string(c) + ".probe.example"
		tasks = append(tasks, &task{
			name:   name,
			authz:  &acme.Authorization{Identifier: acme.AuthzID{Type: "dns", Value: name}},
			answer: probe.Challenge{Type: probe.TLSALPN01, Identifier: name},
		})
	}
	if err := r.presentAll(t.Context(), tasks); err != nil {
		t.Fatal(err)
	}
	if len(solver.names) != len(tasks) || !slices.IsSorted(solver.names) {
		t.Errorf("presented %q", solver.names)
	}

	err := r.presentAll(t.Context(), append(tasks, &task{
		name: tasks[0].name, authz: tasks[0].authz, answer: tasks[0].answer,
	}))
	if f, ok := errors.AsType[*failure](err); !ok || f.Kind != probe.FailureProtocol || f.Identifier != tasks[0].name {
		t.Errorf("two authorizations for one name: %v", err)
	}
}
