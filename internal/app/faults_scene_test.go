package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/challenge"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/runner"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// How long a run may take: much, where it is to come to an end by itself on any
// machine, and as little as lets the others get as far as they are to get.
const (
	enoughTime = time.Minute
	waitTime   = 6 * time.Second
)

// scene is where a case plays: a CA, and all of the exporter that runs and judges.
type scene struct {
	*faultCase
	t          *testing.T
	ca         *fakeca.CA
	responders *challenge.Set
	runner     *runner.Runner
	state      string // the directory
	last       string // the ID of the last run
}

// newScene starts it, with that much time for a run that is to wait. It ends with the
// test.
func newScene(t *testing.T, c *faultCase, wait time.Duration) *scene {
	t.Helper()
	discard := slog.New(slog.DiscardHandler)
	s := &scene{faultCase: c, t: t, responders: challenge.NewSet(discard), state: t.TempDir()}
	if c.prober == "" {
		c.prober = probe.ProberDirectory
	}
	if c.challenge == "" {
		c.challenge = probe.HTTP01
	}
	options := c.ca
	if c.validator != nil {
		options.Validate = c.validator(s)
	}
	s.ca = fakeca.New(t, options)
	cfg, _, err := loadFile(s.configuration(wait))
	if err != nil {
		t.Fatal(err)
	}
	kept := new(store)
	book := budget.NewBook(kept)
	if err := book.Load(time.Now()); err != nil {
		t.Fatal(err)
	}
	exec := &executor{accounts: state.NewAccounts(s.state), responders: s.responders, book: book}
	made, err := exec.prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	change, err := s.responders.Prepare(cfg.Responders)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	exec.swap(made)
	s.runner = runner.New(runner.Options{
		Logger: discard, Execute: exec.execute, Controls: exec.askControls, Store: kept, GracePeriod: -1,
	})
	s.runner.Apply(cfg.Pairs())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.runner.Run(ctx) }()
	t.Cleanup(func() {
		s.ca.Heal() // or the last follow-ups meet it too
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		exec.swap(inForce{})
		closing, cut := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cut()
		if err := s.responders.Close(closing); err != nil {
			t.Error(err)
		}
	})
	return s
}

// configuration writes the file that a user would, and returns its name.
func (s *scene) configuration(wait time.Duration) string {
	t := s.t
	dir := t.TempDir()
	url, root := s.ca.URL(), s.ca.RootPEM()
	if s.site != nil {
		site, by := s.site(t)
		if url = site; by != nil {
			root = by
		}
	}
	var b strings.Builder
	account := "account: {agree_to_terms: true}"
	for _, line := range s.target {
		if strings.HasPrefix(line, "account:") {
			account = ""
		}
	}
	fmt.Fprint(&b, "targets:\n")
	target := func(name, url string, root []byte, lines ...string) {
		file := filepath.Join(dir, name+".pem")
		if err := os.WriteFile(file, root, 0o600); err != nil {
			t.Fatal(err)
		}
		if s.expect != "" {
			lines = append(lines, "own_ca: true") // an hour is too long for a test
		}
		lines = append(lines, fmt.Sprintf("directory_url: %q", url), "environment: staging",
			fmt.Sprintf("tls_config: {ca_file: %q}", file), fmt.Sprintf("probes: {%s: 0s}", s.prober))
		fmt.Fprintf(&b, "  %s:\n    %s\n", name, strings.Join(lines, "\n    "))
	}
	target("ca", url, root, append(s.target, account)...)
	if s.served {
		other := fakeca.New(t, fakeca.Options{Host: "localhost"})
		target("other", other.URL(), other.RootPEM(), "account: {agree_to_terms: true}")
	}
	timeout := enoughTime
	if s.waits {
		timeout = wait
	}
	fmt.Fprintf(&b, "modules: {%s: {timeout: %s, min_interval: 100ms%s}}\n", s.prober, timeout, s.settings())
	responders := responderOf[s.challenge]
	if s.expect == probe.ProblemCAA && s.challenge != probe.DNS01 {
		responders += ", " + responderOf[probe.DNS01]
	}
	fmt.Fprintf(&b, "responders: {%s}\n", responders)
	s.writeResolvers(&b)
	s.writeControls(&b)
	return write(t, b.String())
}

// settings are those of the module that only its prober has.
func (s *scene) settings() string {
	names := fmt.Sprintf("names: {zone: probe.test, count: %d}", max(s.names, 1))
	switch s.expect {
	case "":
	case probe.ProblemRejectedIdentifier:
		return fmt.Sprintf(", issue: {expect: {problem: %s}}", s.expect)
	default:
		names += fmt.Sprintf(", expect: {problem: %s}", s.expect)
	}
	switch s.prober {
	case probe.ProberOrder:
		return fmt.Sprintf(", order: {%s}", names)
	case probe.ProberValidate, probe.ProberIssue:
		return fmt.Sprintf(", %s: {challenge: %s, %s}", s.prober, s.challenge, names)
	}
	return ""
}

// responderOf is the responder for each type of challenge, at a port that is free.
var responderOf = map[probe.ChallengeType]string{
	probe.HTTP01:    "http: {listen_address: '127.0.0.1:0'}",
	probe.TLSALPN01: "tls_alpn: {listen_address: '127.0.0.1:0'}",
	probe.DNS01:     "dns: {listen_address: '127.0.0.1:0', zones: [probe.test], nameserver: ns.probe.test, addresses: [127.0.0.1]}",
}

// writeResolvers writes those that are asked what the world sees.
func (s *scene) writeResolvers(b *strings.Builder) {
	kinds := s.resolvers
	if len(kinds) == 0 {
		kinds = []string{"refuses"}
	}
	list := make([]string, len(kinds))
	for i, kind := range kinds {
		list[i] = "'" + nameServer(s.t, s.resolve(kind)) + "'"
	}
	fmt.Fprintf(b, "resolvers: [%s]\n", strings.Join(list, ", "))
}

// writeControls writes controls that are not at the CA's host.
func (s *scene) writeControls(b *strings.Builder) {
	var urls, names []string
	for _, kind := range s.controls {
		switch kind {
		case "alive":
			urls = append(urls, fmt.Sprintf("'http://localhost:%d/'", answering(s.t)))
		case "dead":
			urls = append(urls, fmt.Sprintf("'http://localhost:%d/'", refusing(s.t)))
		case "named":
			names = append(names, "control.test")
		}
	}
	if len(s.controls) > 0 {
		fmt.Fprintf(b, "controls: {urls: [%s], names: [%s]}\n", strings.Join(urls, ", "), strings.Join(names, ", "))
	}
}

// probe has a run of the target made. The last one may have to be put away, and the
// least interval to pass, first.
func (s *scene) probe(target string) *probe.Result {
	s.t.Helper()
	pair := probe.Pair{Target: target, Module: string(s.prober)}
	for {
		answer, err := s.runner.Trigger(s.t.Context(), pair, probe.TriggerScrape)
		if err != nil {
			s.t.Fatal(err)
		}
		if answer.Fresh && answer.Result.ID != s.last {
			s.last = answer.Result.ID
			return answer.Result
		}
		s.sleep(20 * time.Millisecond)
	}
}

// sleep waits for so long, or until the test is to end.
func (s *scene) sleep(d time.Duration) {
	s.t.Helper()
	select {
	case <-time.After(d):
	case <-s.t.Context().Done():
		s.t.Fatal("the test ends")
	}
}

// address is where a responder of ours listens: "http", "tls_alpn" or "dns".
func (s *scene) address(responder string) func() string {
	return func() string { return s.responders.Addresses()[responder].String() }
}

// sound checks what holds of every run.
func (s *scene) sound(r *probe.Result) {
	s.t.Helper()
	for _, c := range r.Calls {
		if c.Name == probe.CallUnknown {
			s.t.Errorf("call without a name: %s %s", c.Method, c.URL)
		}
	}
	if r.Verdict.Summary == "" {
		s.t.Error("the verdict has no words")
	}
	// Nobody else is asked about a CA that was reached.
	cut := strings.HasPrefix(string(s.want.Reason), "no_answer_") || strings.HasPrefix(string(s.want.Reason), "body_")
	byControls := s.want.Fault == probe.FaultUnreachable || len(s.controls) > 0 && (s.want.Fault == probe.FaultLocal || cut)
	if asked := len(r.Controls) > 0; asked != byControls {
		s.t.Errorf("controls were asked: %v, want %v", asked, byControls)
	}
	stored, err := json.Marshal(r)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, secret := range s.ca.Secrets() {
		if strings.Contains(string(stored), secret) {
			s.t.Errorf("a nonce or a token is in %s", stored)
		}
	}
}
