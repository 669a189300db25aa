package incident

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// begin is when most tests begin.
var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at returns the time d after begin.
func at(d time.Duration) time.Time { return begin.Add(d) }

// What runs say, as the package verdict says it.
var (
	ok      = probe.Verdict{Outcome: probe.OutcomeSuccess, Summary: "validate passed at ca.example: 9 calls."}
	caFault = probe.Verdict{
		Outcome: probe.OutcomeFailure, Stage: probe.StepValidation, Reason: "server_internal", Fault: probe.FaultCA,
		Summary: "validate: validation failed at ca.example: the CA reports an internal error.",
	}
	silence = probe.Verdict{
		Outcome: probe.OutcomeFailure, Stage: probe.StepDirectory, Reason: "connect_timeout", Fault: probe.FaultUnreachable,
		Summary: "directory failed at ca.example: no connection in time.",
	}
	doubt = probe.Verdict{
		Outcome: probe.OutcomeFailure, Stage: probe.StepValidation, Reason: "validation_dns", Fault: probe.FaultUnknown,
		Summary: "validate: validation failed at ca.example: the CA could not resolve the name.",
	}
	local = probe.Verdict{
		Outcome: probe.OutcomeFailure, Stage: probe.StepDirectory, Reason: "dns_timeout", Fault: probe.FaultLocal,
		Summary: "directory failed at ca.example: no answer from the resolver, and the controls are dead too.",
	}
	clients = probe.Verdict{
		Outcome: probe.OutcomeFailure, Stage: probe.StepAccount, Reason: "account_does_not_exist", Fault: probe.FaultClient,
		Summary: "account failed at ca.example: the CA does not know our account.",
	}
	skipped = probe.Verdict{
		Outcome: probe.OutcomeSkipped, Stage: probe.StepOrder, Reason: "rate_limited",
		Summary: "validate: order was given up: a limit of the CA.",
	}
)

// letters are the runs of the tests' short form.
var letters = map[rune]probe.Verdict{
	'.': ok, 'C': caFault, 'X': silence, 'U': doubt, 'L': local, 'K': clients, 'S': skipped,
}

// result returns a run of target/module that starts at start and takes a second.
func result(module string, start time.Time, v probe.Verdict) *probe.Result {
	return &probe.Result{
		Version: probe.Version, ID: fmt.Sprintf("%s-%d", module, start.UnixNano()), Pair: probe.Pair{Target: "ca", Module: module},
		Prober: probe.Prober(module), Trigger: probe.TriggerTick, Start: start, Duration: time.Second, Verdict: v,
	}
}

// pair returns a pair of the target ca with an interval of a minute.
func pair(module string, change ...func(*Pair)) Pair {
	p := Pair{
		Pair: probe.Pair{Target: "ca", Module: module}, Environment: "staging", Interval: time.Minute, Critical: true,
	}
	for _, c := range change {
		c(&p)
	}
	return p
}

func uncritical(p *Pair) { p.Critical = false }

func every(d time.Duration) func(*Pair) { return func(p *Pair) { p.Interval = d } }

// tracker returns a Tracker of pairs that keeps everything in disk.
func tracker(disk Store, pairs ...Pair) *Tracker {
	t := New(Options{Store: disk})
	if disk != nil {
		if err := t.Restore(); err != nil {
			panic(err)
		}
	}
	t.Apply(begin, pairs)
	return t
}

// play has the pair module make runs, a minute apart from from on, one for each
// letter; a space is a minute without one.
func play(t *Tracker, module string, from time.Duration, runs string) (confirm bool) {
	for i, letter := range []rune(runs) {
		if letter != ' ' {
			confirm = t.Observe(result(module, at(from+time.Duration(i)*time.Minute), letters[letter]))
		}
	}
	return confirm
}

// brief writes incidents, oldest first, with times in minutes since begin.
func brief(t *Tracker, f Filter) string {
	var lines []string
	for _, i := range slices.Backward(t.Incidents(f)) {
		until := "open"
		if !i.Open() {
			until = minutes(i.End)
		}
		line := fmt.Sprintf("%s %s %s-%s", i.Module, i.Condition, minutes(i.Start), until)
		if i.Kind == probe.IncidentTarget {
			line = "ca " + line
			for _, p := range i.Phases {
				end := "open"
				if !p.End.IsZero() {
					end = minutes(p.End)
				}
				line += fmt.Sprintf(" [%s %s-%s]", p.Condition, minutes(p.Start), end)
			}
		}
		line += fmt.Sprintf(" %s failed=%d flaps=%d", i.Fault, i.Failures, i.Flaps)
		if d, known := i.Uncertainty(); known {
			line += " uncertainty=" + d.String()
		}
		if i.Withdrawn {
			line += " withdrawn"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func minutes(t time.Time) string { return fmt.Sprint(t.Sub(begin).Minutes()) }

// disk is a Store in memory, in which writes can be made to fail.
type disk struct {
	mu      sync.Mutex // guards the rest
	content map[string]map[string][]byte
	broken  error // of every Commit
	changes int   // of the last Commit
}

func newDisk() *disk { return &disk{content: map[string]map[string][]byte{}} }

func (d *disk) Commit(changes ...state.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes = len(changes)
	if d.broken != nil {
		return d.broken
	}
	for _, c := range changes {
		if c.Value == nil {
			delete(d.content[c.Bucket], c.Key)
			continue
		}
		b, err := json.Marshal(c.Value)
		if err != nil {
			return err
		}
		if d.content[c.Bucket] == nil {
			d.content[c.Bucket] = map[string][]byte{}
		}
		d.content[c.Bucket][c.Key] = b
	}
	return nil
}

func (d *disk) All(bucket string, each func(key string, value []byte) error) error {
	d.mu.Lock()
	copied := maps.Clone(d.content[bucket])
	d.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(copied)) {
		if err := each(k, copied[k]); err != nil {
			return err
		}
	}
	return nil
}

// copied returns the disk as a crash now would leave it.
func (d *disk) copied() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := newDisk()
	for name, bucket := range d.content {
		c.content[name] = maps.Clone(bucket)
	}
	return c
}

func (d *disk) setBroken(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = err
}

var errFull = errors.New("no space left on device")

// shown returns everything that readers see, as JSON.
func shown(t *testing.T, tr *Tracker, now time.Time) string {
	t.Helper()
	states := tr.State(now)
	var known [][]probe.Interval
	for _, s := range states {
		known = append(known, s.Known)
	}
	b, err := json.MarshalIndent([]any{states, known, tr.Incidents(Filter{})}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
