package incident

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// dieDir in the environment makes this binary an exporter with its state there,
// which shows an incident and is killed.
const dieDir = "INCIDENT_TEST_DIE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(dieDir); dir != "" {
		die(dir)
	}
	os.Exit(m.Run())
}

func die(dir string) {
	store, err := state.Open(dir)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	tr := tracker(store, pair("directory"), pair("validate"))
	playAll(tr, "directory: .......\nvalidate: ..CC.CC")
	fmt.Println(strings.ReplaceAll(brief(tr, Filter{}), "\n", "|"))
	select {}
}

// TestKilled holds that kill -9 loses nothing that was shown, and that the incident
// goes on.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), dieDir+"="+dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if killErr := cmd.Process.Kill(); killErr != nil {
		t.Fatal(killErr)
	}
	cmd.Wait()
	if err != nil || !strings.Contains(line, "down 2-open") {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	store, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	tr := tracker(store, pair("directory"), pair("validate"))
	if diff := cmp.Diff(strings.TrimSpace(line), strings.ReplaceAll(brief(tr, Filter{}), "\n", "|")); diff != "" {
		t.Error(diff)
	}
	play(tr, "validate", 8*time.Minute, "..")
	want := "validate down 2-8 ca failed=4 flaps=1 uncertainty=1m0s"
	if got := brief(tr, Filter{Kind: probe.IncidentPair}); got != want {
		t.Errorf("after the restart it is %s, want %s", got, want)
	}
}

// TestPendingSurvives holds that a restart between a failure and its confirmation
// does not lose the failure.
func TestPendingSurvives(t *testing.T) {
	store := newDisk()
	play(tracker(store, pair("validate")), "validate", 0, "..C")
	tr := tracker(store, pair("validate"))
	play(tr, "validate", 3*time.Minute, "C")
	want := "validate down 2-open ca failed=2 flaps=0 uncertainty=1m0s"
	if got := brief(tr, Filter{Kind: probe.IncidentPair}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if first := tr.Incidents(Filter{Kind: probe.IncidentPair})[0].Evidence.First.Result; !first.Start.Equal(at(2 * time.Minute)) {
		t.Errorf("the first evidence is of %v", first.Start)
	}
}

// TestFullDisk holds that an outage is shown though it cannot be written, and is
// written when that is possible again.
func TestFullDisk(t *testing.T) {
	store := newDisk()
	var log bytes.Buffer
	tr := New(Options{Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	tr.Apply(begin, []Pair{pair("validate"), pair("directory")})
	play(tr, "validate", 0, "..")
	store.setBroken(errFull)
	if confirm := play(tr, "validate", 2*time.Minute, "C"); !confirm {
		t.Error("a failure that cannot be written is not confirmed")
	}
	play(tr, "validate", 3*time.Minute, "C")
	if s := tr.State(at(4 * time.Minute))[0]; s.Condition != probe.ConditionDown {
		t.Errorf("the target is %s", s.Condition)
	}
	if n := strings.Count(log.String(), "no space left"); n != 1 {
		t.Errorf("the error was logged %d times:\n%s", n, &log)
	}
	store.setBroken(nil)
	play(tr, "directory", 4*time.Minute, ".")
	if store.changes < 5 {
		t.Errorf("%d changes were written together", store.changes)
	}
	play(tr, "directory", 5*time.Minute, ".")
	if store.changes != 2 { // of the pair and of its target
		t.Errorf("%d changes were written after that", store.changes)
	}
	again := tracker(store, pair("validate"), pair("directory"))
	if diff := cmp.Diff(shown(t, tr, at(5*time.Minute)), shown(t, again, at(5*time.Minute))); diff != "" {
		t.Error(diff)
	}
}

// TestDamage holds that what is not readable is left alone, and that the rest is
// made whole: nothing stays open for ever, and new incidents can begin.
func TestDamage(t *testing.T) {
	runs := "directory: .......\nvalidate: ..CCCCC\nextra: .CCCCCC"
	pairs := []Pair{pair("directory"), pair("validate"), pair("extra", uncritical)}
	keys := map[string][]string{}
	store := newDisk()
	playAll(tracker(store, pairs...), runs)
	for bucket, values := range store.content {
		for key := range values {
			keys[bucket] = append(keys[bucket], key)
		}
	}
	if len(keys) != 3 || len(keys[bucketIncidents]) != 3 {
		t.Fatalf("the store has %v", keys)
	}
	for bucket := range keys {
		for _, key := range keys[bucket] {
			damaged := store.copied()
			damaged.content[bucket][key] = []byte(`{"version":99}`)
			var log bytes.Buffer
			tr := New(Options{Store: damaged, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err := tr.Restore(); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log.String(), key) {
				t.Errorf("%s %s: nothing was logged of it:\n%s", bucket, key, &log)
			}
			if !tr.model.whole("ca") {
				t.Errorf("%s %s: what is open is not whole", bucket, key)
			}
			tr.Apply(at(7*time.Minute), pairs)
			play(tr, "directory", 7*time.Minute, "...")
			play(tr, "validate", 7*time.Minute, "CCC")
			play(tr, "extra", 7*time.Minute, "CCC")
			s := tr.State(at(10 * time.Minute))[0]
			if s.Condition != probe.ConditionDown || s.Incident == "" {
				t.Errorf("%s %s: the target is %s afterwards", bucket, key, s.Condition)
			}
			again := tracker(damaged.copied(), pairs...)
			if bucket != bucketTargets && len(again.Incidents(Filter{Open: true})) != 3 {
				t.Errorf("%s %s: after another restart %d are open", bucket, key, len(again.Incidents(Filter{Open: true})))
			}
		}
	}
}

// TestLateStore holds that a store that comes to be only later gets all there is.
func TestLateStore(t *testing.T) {
	store := newDisk()
	tr := New(Options{Store: store})
	pairs := []Pair{pair("directory"), pair("validate")}
	tr.Apply(begin, pairs)
	store.setBroken(nil)
	playAll(tr, "directory: ....\nvalidate: .CCC")
	clear(store.content) // it was not there yet
	if err := tr.Restore(); err != nil {
		t.Fatal(err)
	}
	again := tracker(store, pairs...)
	if diff := cmp.Diff(shown(t, tr, at(4*time.Minute)), shown(t, again, at(4*time.Minute))); diff != "" {
		t.Error(diff)
	}
	// And one that has something of the same target from before.
	old := newDisk()
	playAll(tracker(old, pairs...), "validate: .CCC")
	tr = New(Options{Store: old})
	tr.Apply(at(time.Hour), pairs)
	play(tr, "directory", time.Hour, "..")
	if err := tr.Restore(); err != nil {
		t.Fatal(err)
	}
	want := "validate down 1-3 ca failed=3 flaps=0 uncertainty=1m0s withdrawn"
	if got := brief(tr, Filter{Kind: probe.IncidentPair}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if s := tr.State(at(61 * time.Minute))[0]; s.Condition != probe.ConditionUp {
		t.Errorf("the target is %s", s.Condition)
	}
}

// TestHistory holds the bounds of what is kept.
func TestHistory(t *testing.T) {
	store := newDisk()
	tr := tracker(store, pair("validate", every(time.Minute)))
	const n = evidenceLen + 50
	for k := range n {
		play(tr, "validate", time.Duration(k)*10*time.Minute, ".CC..")
	}
	withEvidence := 0
	for _, i := range tr.Incidents(Filter{Kind: probe.IncidentPair}) {
		if i.Evidence != nil {
			withEvidence++
		}
	}
	// The newest one was open when the others were counted.
	if got := len(tr.Incidents(Filter{})); got != 2*n || withEvidence != evidenceLen+1 {
		t.Errorf("%d incidents, %d with evidence; want %d and %d", got, withEvidence, 2*n, evidenceLen+1)
	}
	play(tr, "validate", historyAge+10*time.Hour, ".")
	for _, i := range tr.Incidents(Filter{}) {
		if i.End.Before(at(10 * time.Hour)) {
			t.Fatalf("%s is of %v", i.ID, i.End)
		}
	}
	if got, stored := len(tr.Incidents(Filter{})), len(store.content[bucketIncidents]); got != stored || got >= 2*n || got == 0 {
		t.Errorf("%d incidents after 90 days, %d are stored", got, stored)
	}
}

// TestLog holds what is logged of an incident.
func TestLog(t *testing.T) {
	var log bytes.Buffer
	tr := New(Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	tr.Apply(begin, []Pair{pair("validate")})
	play(tr, "validate", 0, "..CCC..")
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines:\n%s", len(lines), &log)
	}
	for k, want := range []string{`"Incident began"`, `"Incident began"`, `"Incident ended"`, `"Incident ended"`} {
		if !strings.Contains(lines[k], want) || !strings.Contains(lines[k], "reason=server_internal") || !strings.Contains(lines[k], "fault=ca") {
			t.Errorf("line %d is %s", k, lines[k])
		}
	}
}

// TestHistoryLength holds how many incidents are kept.
func TestHistoryLength(t *testing.T) {
	m := newModel()
	for k := range historyLen + 100 {
		i := &probe.Incident{ID: fmt.Sprint(k), Start: at(time.Duration(k) * time.Second), End: at(time.Duration(k+1) * time.Second)}
		m.incidents[i.ID] = i
	}
	c := m.change(Rules{})
	c.prune(at(4 * time.Hour))
	m.apply(c)
	if len(m.incidents) != historyLen || m.incidents["99"] != nil || m.incidents["100"] == nil {
		t.Errorf("%d incidents are kept", len(m.incidents))
	}
}

// TestRunOfNoTime holds that a restart foresees for how long a target is known to the
// nanosecond, also of a run that took no time.
func TestRunOfNoTime(t *testing.T) {
	store := newDisk()
	tr := tracker(store, pair("validate"))
	r := result("validate", begin, ok)
	r.Duration = 0
	tr.Observe(r)
	if diff := cmp.Diff(shown(t, tr, begin), shown(t, tracker(store, pair("validate")), begin)); diff != "" {
		t.Error(diff)
	}
}
