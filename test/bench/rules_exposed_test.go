package bench

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/metrics"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// step is the time between two scrapes in examples/prometheus.yml.
const step = 15 * time.Second

// exposed is what an exporter exposes, without the exporter: its metrics after runs
// that are made up. It catches up with the clock, a step for each scrape, and says
// of each sample when it is of.
type exposed struct {
	address  string
	registry *prometheus.Registry
	metrics  *metrics.Metrics
	pairs    []config.Pair
	stored   map[storedKey]*stored

	mu    sync.Mutex // guards now and steps
	now   time.Time
	steps int
}

func newExposed(b *testing.B, from time.Time) *exposed {
	b.Helper()
	e := &exposed{registry: prometheus.NewRegistry(), stored: map[storedKey]*stored{}, now: from}
	states := make(fixedStates, ruleTargets)
	for i := range states {
		target := &config.Target{DirectoryURL: "https://ca.example/dir", Environment: config.Production}
		states[i] = probe.TargetState{Target: fmt.Sprint("ca", i), Environment: string(config.Production), Condition: probe.ConditionUp, LastEvidence: from}
		for _, module := range ruleModules {
			e.pairs = append(e.pairs, pairOf(states[i].Target, module, target))
		}
	}
	var err error
	if e.metrics, err = metrics.New(e.registry, metrics.Options{Histograms: metrics.Both, Incidents: states}); err != nil {
		b.Fatal(err)
	}
	e.metrics.Apply(e.pairs)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	e.address = listener.Addr().String()
	server := &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // ends with Close
	b.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return e
}

// fixedStates are targets with which nothing ever happens.
type fixedStates []probe.TargetState

func (f fixedStates) State(time.Time) []probe.TargetState { return f }
func (f fixedStates) Latest(string) *probe.Incident       { return nil }

// ServeHTTP is /metrics, in the format that has native histograms.
func (e *exposed) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next()
	families, err := e.registry.Gather()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	w.Header().Set("Content-Type", string(format))
	encoder := expfmt.NewEncoder(w, format)
	at := e.now.UnixMilli()
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			metric.TimestampMs = &at
		}
		if encoder.Encode(family) != nil {
			return // the scraper has gone
		}
	}
}

// next goes a step on, and returns false if that would be in the future.
func (e *exposed) next() bool {
	next := e.now.Add(step)
	if next.After(time.Now()) {
		return false
	}
	e.now = next
	e.steps++
	e.advance()
	return true
}

// failing is a target of which every tenth run fails.
const failing = "ca0"

// advance has a quarter of the pairs run, so that each does every minute, in times
// that differ.
func (e *exposed) advance() {
	for i, pair := range e.pairs {
		if (i+e.steps)%4 == 0 {
			r := passed(pair, e.now, time.Duration(100+(37*i+61*e.steps)%900)*time.Millisecond)
			if pair.Pair.Target == failing && e.steps/4%10 == 0 {
				r.Verdict = probe.Verdict{Outcome: probe.OutcomeFailure, Stage: probe.StepDirectory, Reason: "http_5xx", Fault: probe.FaultCA}
			}
			e.metrics.Observe(r)
		}
		e.metrics.Schedule(pair.Pair, e.now.Add(pair.Interval), false)
	}
}

// pairOf is a pair whose module is named after its prober.
func pairOf(target, module string, t *config.Target) config.Pair {
	m := &config.Module{Prober: probe.Prober(module)}
	switch m.Prober {
	case probe.ProberIssue:
		m.Issue = &config.Issue{Challenge: probe.DNS01, Authorization: config.AuthorizationFresh}
	case probe.ProberValidate:
		m.Validate = &config.Validate{Challenge: probe.DNS01}
	}
	return config.Pair{Pair: probe.Pair{Target: target, Module: module}, Target: t, Interval: time.Minute, Hash: "1", Module: m}
}

// ruleSteps and ruleCalls are what a run of each module goes through.
var (
	ruleSteps = map[string][]probe.StepName{
		"directory": {probe.StepDirectory},
		"nonce":     {probe.StepDirectory, probe.StepNonce},
		"account":   {probe.StepDirectory, probe.StepNonce, probe.StepAccount},
		"validate":  {probe.StepDirectory, probe.StepNonce, probe.StepAccount, probe.StepOrder, probe.StepAuthorization, probe.StepValidation},
		"issue": {
			probe.StepDirectory, probe.StepNonce, probe.StepAccount, probe.StepOrder, probe.StepAuthorization,
			probe.StepValidation, probe.StepFinalization, probe.StepDownload,
		},
	}
	ruleCalls = map[string][]probe.CallName{
		"directory": {probe.CallDirectory},
		"nonce":     {probe.CallDirectory, probe.CallNewNonce},
		"account":   {probe.CallDirectory, probe.CallNewNonce, probe.CallAccount},
		"validate":  {probe.CallDirectory, probe.CallNewNonce, probe.CallNewOrder, probe.CallAuthz, probe.CallChallenge},
		"issue": {
			probe.CallDirectory, probe.CallNewNonce, probe.CallNewOrder, probe.CallAuthz, probe.CallChallenge,
			probe.CallFinalize, probe.CallOrder, probe.CallCertificate,
		},
	}
)

// passed is a run that succeeded, each step and call of which took so long.
func passed(pair config.Pair, at time.Time, took time.Duration) *probe.Result {
	r := &probe.Result{
		Version: probe.Version, ID: probe.NewID(at), Pair: pair.Pair, Prober: pair.Module.Prober, Trigger: probe.TriggerTick,
		ConfigHash: pair.Hash, Start: at.Add(-8 * took), Duration: 8 * took,
		Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess},
	}
	for _, name := range ruleSteps[pair.Pair.Module] {
		r.Steps = append(r.Steps, probe.Step{Name: name, Duration: took, OK: true})
	}
	for _, name := range ruleCalls[pair.Pair.Module] {
		// A call without Ready had no connection, and is not timed.
		r.Calls = append(r.Calls, probe.Call{Name: name, Method: http.MethodPost, Status: http.StatusOK, Ready: time.Millisecond, End: time.Millisecond + took})
	}
	if pair.Module.Issue != nil {
		r.Certificate = &probe.Certificate{NotBefore: at, NotAfter: at.Add(90 * 24 * time.Hour)}
	}
	r.API = &probe.APICertificate{NotAfter: at.Add(30 * 24 * time.Hour)}
	return r
}

// referenceFile is a file with the rule to compare with.
func referenceFile(b *testing.B) string {
	b.Helper()
	file := filepath.Join(b.TempDir(), "reference.yml")
	text := fmt.Sprintf("groups: [{name: reference, interval: 20s, rules: [{record: reference, expr: %q}]}]\n", plainRule)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return file
}
