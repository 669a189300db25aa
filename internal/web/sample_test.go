package web

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// sampleWorld is an exporter of which much is known, without a runner.
type sampleWorld struct {
	now     time.Time
	tracker *incident.Tracker
	pairs   []incident.Pair
	recent  map[probe.Pair][]*probe.Result // newest first
	runs    int
}

// newWorld returns a world with the pairs, which have seen nothing, at now.
func newWorld(now time.Time, pairs ...incident.Pair) *sampleWorld {
	w := &sampleWorld{now: now, tracker: incident.New(incident.Options{}), pairs: pairs, recent: map[probe.Pair][]*probe.Result{}}
	w.tracker.Apply(now, pairs)
	return w
}

// pairOf returns a critical pair with an interval.
func pairOf(target, module, environment string, interval time.Duration) incident.Pair {
	return incident.Pair{
		Pair: probe.Pair{Target: target, Module: module}, Environment: environment, Interval: interval, Critical: true,
	}
}

// observe adds a run.
func (w *sampleWorld) observe(r *probe.Result) {
	w.tracker.Observe(r)
	w.recent[r.Pair] = append([]*probe.Result{r}, w.recent[r.Pair]...)
	if list := w.recent[r.Pair]; len(list) > shownRuns {
		w.recent[r.Pair] = list[:shownRuns]
	}
}

// options are those of the world's exporter at now.
func (w *sampleWorld) options() Options {
	var statuses []probe.Status
	for _, p := range w.pairs {
		statuses = append(statuses, probe.Status{
			Pair: p.Pair, Prober: probe.Prober(p.Module), Environment: p.Environment, Interval: p.Interval,
			NextDue: w.now.Add(p.Interval / 3), Recent: w.recent[p.Pair],
		})
	}
	o := options(&fakeRunner{statuses: statuses})
	o.Incidents = w.tracker
	return o
}

// What runs say.
var (
	fine    = probe.Verdict{Outcome: probe.OutcomeSuccess, Summary: "It passed."}
	broken  = probe.Verdict{Outcome: probe.OutcomeFailure, Stage: probe.StepOrder, Reason: "server_internal", Fault: probe.FaultCA, Summary: "The order failed at ca.example: the CA reports an internal error."}
	silence = probe.Verdict{Outcome: probe.OutcomeFailure, Stage: probe.StepDirectory, Reason: "connect_timeout", Fault: probe.FaultUnreachable, Summary: "The directory failed at ca.example: no connection in time."}
	doubt   = probe.Verdict{Outcome: probe.OutcomeFailure, Stage: probe.StepValidation, Reason: "validation_dns", Fault: probe.FaultUnknown, Summary: "The validation failed at ca.example: the CA could not resolve the name."}
	ours    = probe.Verdict{Outcome: probe.OutcomeFailure, Stage: probe.StepDirectory, Reason: "dns_timeout", Fault: probe.FaultLocal, Summary: "The directory failed at ca.example: no answer from the resolver, and the controls are dead too."}
	denied  = probe.Verdict{Outcome: probe.OutcomeSkipped, Stage: probe.StepOrder, Reason: "rate_limited", Summary: "The order was given up: a limit of the CA."}
)

// run returns a run of a pair with its steps and calls; each time of another length.
func (w *sampleWorld) run(p probe.Pair, at time.Time, v probe.Verdict) *probe.Result {
	w.runs++
	r := &probe.Result{
		Version: probe.Version, ID: fmt.Sprintf("%s-%d", at.UTC().Format("20060102T150405Z"), w.runs), Pair: p,
		Prober: probe.Prober(p.Module), Trigger: probe.TriggerTick, Start: at, Verdict: v,
	}
	steps := []probe.StepName{probe.StepDirectory, probe.StepNonce}
	switch p.Module {
	case "directory":
		steps = steps[:1]
	case "issue", "validate":
		steps = append(steps, probe.StepAccount, probe.StepOrder, probe.StepAuthorization, probe.StepValidation, probe.StepFinalization, probe.StepDownload)
	}
	offset := time.Duration(0)
	for i, step := range steps {
		length := time.Duration(35+(w.runs*37+i*53)%90) * ms
		if step == probe.StepValidation {
			length *= 12
		}
		c := probe.Call{Name: calls[step], Step: step, Method: "POST", URL: "https://ca.example/" + string(step), Status: 200, Start: offset, Ready: offset + ms, FirstByte: offset + length - 2*ms, End: offset + length}
		if i == 0 {
			c.Ready = offset + length/2
			c.Connection = probe.Connection{
				DNS:     &probe.Span{Start: offset, Duration: length / 8},
				Connect: &probe.Span{Start: offset + length/8, Duration: length / 8},
				TLS:     &probe.Span{Start: offset + length/4, Duration: length / 4},
				Family:  probe.IPv4, HTTPVersion: "HTTP/2.0", TLSVersion: "TLS 1.3",
			}
		}
		failed := v.Outcome == probe.OutcomeFailure && (step == v.Stage || i == len(steps)-1)
		if failed {
			c.Status = 500
			c.Problem = &probe.Problem{Type: "serverInternal", Detail: "The service is down for maintenance"}
			r.Failure = &probe.Failure{Step: step, Kind: probe.FailureCall, Call: len(r.Calls)}
		}
		r.Calls = append(r.Calls, c)
		r.Steps = append(r.Steps, probe.Step{Name: step, Start: offset, Duration: length, OK: !failed})
		offset += length
		if failed {
			break
		}
	}
	r.Duration = offset
	return r
}

var calls = map[probe.StepName]probe.CallName{
	probe.StepDirectory: probe.CallDirectory, probe.StepNonce: probe.CallNewNonce, probe.StepAccount: probe.CallNewAccount,
	probe.StepOrder: probe.CallNewOrder, probe.StepAuthorization: probe.CallAuthz, probe.StepValidation: probe.CallChallenge,
	probe.StepFinalization: probe.CallFinalize, probe.StepDownload: probe.CallCertificate,
}

// outage is when a pair failed: offsets before now.
type outage struct {
	from, to time.Duration
	verdict  probe.Verdict
}

// play has every pair run each interval from before now until now; what it says where
// no outage says otherwise is fine.
func (w *sampleWorld) play(before time.Duration, outages map[string][]outage) {
	type tick struct {
		at   time.Time
		pair incident.Pair
	}
	var ticks []tick
	for k, p := range w.pairs {
		for at := w.now.Add(-before + time.Duration(k)*time.Second); at.Before(w.now.Add(-5 * time.Second)); at = at.Add(p.Interval) {
			ticks = append(ticks, tick{at, p})
		}
	}
	slices.SortStableFunc(ticks, func(a, b tick) int { return a.at.Compare(b.at) })
	for _, t := range ticks {
		v := fine
		for _, o := range outages[t.pair.String()] {
			if !t.at.Before(w.now.Add(-o.from)) && t.at.Before(w.now.Add(-o.to)) {
				v = o.verdict
			}
		}
		w.observe(w.run(t.pair.Pair, t.at, v))
	}
}

// scenes are what the pages are looked at with.
func scene(name string, now time.Time) *sampleWorld {
	w := newWorld(now.Add(-50*time.Hour),
		pairOf("corp", "directory", "production", 5*time.Minute), pairOf("corp", "issue", "production", 10*time.Minute),
		pairOf("letsencrypt", "directory", "production", 5*time.Minute), pairOf("letsencrypt", "nonce", "production", 5*time.Minute),
		pairOf("letsencrypt", "validate", "production", 15*time.Minute))
	w.pairs[1].Critical = false
	w.tracker.Apply(w.now, w.pairs)
	w.now = now
	past := []outage{{30 * time.Hour, 29 * time.Hour, silence}, {20 * time.Hour, 19*time.Hour + 10*time.Minute, broken}}
	outages := map[string][]outage{"letsencrypt/directory": past[:1], "letsencrypt/validate": past, "corp/issue": {{9 * time.Hour, 8 * time.Hour, doubt}}}
	before := 49 * time.Hour
	switch name {
	case "outage":
		outages["letsencrypt/validate"] = append(past, outage{50 * time.Minute, 0, broken})
		outages["corp/issue"] = append(outages["corp/issue"], outage{45 * time.Minute, 0, broken})
	case "after":
		outages["letsencrypt/validate"] = append(past, outage{150 * time.Minute, 55 * time.Minute, broken}, outage{110 * time.Minute, 100 * time.Minute, fine})
	case "unknown":
		for _, p := range w.pairs[2:] {
			outages[p.String()] = append(outages[p.String()], outage{4 * time.Hour, 0, ours})
		}
	}
	w.play(before, outages)
	return w
}

func scenes() []string { return []string{"healthy", "outage", "after", "unknown"} }

// TestScenes holds that each scene is what it is called.
func TestScenes(t *testing.T) {
	for _, name := range scenes() {
		w := scene(name, time.Now())
		want := map[string]string{"healthy": "up up", "outage": "degraded down", "after": "up up", "unknown": "up unknown"}[name]
		states := w.tracker.State(w.now)
		if got := fmt.Sprintf("%s %s", states[0].Condition, states[1].Condition); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
