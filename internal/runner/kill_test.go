package runner

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// dieDir in the environment makes this binary an exporter with its state there,
// whose run adds a follow-up, says so, and never ends.
const dieDir = "RUNNER_TEST_DIE"

func die(dir string) {
	s, err := state.Open(dir)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	r := New(Options{Store: s, Execute: func(_ context.Context, job Job) probe.Facts {
		fmt.Println(job.ID, job.FollowUps.Add(probe.FollowUp{ID: "authz-1", Kind: probe.FollowUpDeactivateAuthz, URL: "https://ca.example/authz/1"}))
		select {}
	}})
	r.Apply([]config.Pair{configured(interval(0))})
	go r.Trigger(context.Background(), pairA, probe.TriggerScrape)
	r.Run(context.Background())
}

// TestKilled holds the promise of follow-ups: what was added before kill -9 is
// done at the next start.
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
	var parent, added string
	if _, scanErr := fmt.Sscan(line, &parent, &added); err != nil || scanErr != nil || added != "<nil>" {
		t.Fatalf("the other process said %q, %v", line, err)
	}

	s, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done := make(chan Job, 1)
	observed := make(chan *probe.Result, 1)
	r := New(Options{
		Store:     s,
		Execute:   func(_ context.Context, job Job) probe.Facts { done <- job; return probe.Facts{} },
		Observers: []Observer{observer{func(res *probe.Result) { observed <- res }}},
	})
	if err := r.Restore(); err != nil {
		t.Fatal(err)
	}
	r.Apply([]config.Pair{configured(interval(0))})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	select {
	case job := <-done:
		if job.FollowUp == nil || job.FollowUp.ID != "authz-1" || job.FollowUp.Parent != parent || job.FollowUp.URL != "https://ca.example/authz/1" || job.Trigger != probe.TriggerFollowUp {
			t.Errorf("the job is %+v of %+v, the parent was %s", job, job.FollowUp, parent)
		}
		if res := <-observed; res.Parent != parent || res.FollowUp != probe.FollowUpDeactivateAuthz {
			t.Errorf("the Result has parent %q and follow-up %q", res.Parent, res.FollowUp)
		}
	case <-ctx.Done():
		t.Error("the follow-up was not done")
	}
	cancel()
	wg.Wait()
	if err := s.All(bucketFollowUps, func(key string, _ []byte) error { return fmt.Errorf("%q is still stored", key) }); err != nil {
		t.Error(err)
	}
}

// writeDir in the environment makes this binary an exporter with its state there,
// which says the ID of each of its runs, and runs for ever.
const writeDir = "RUNNER_TEST_WRITE"

func write(dir string) {
	s, err := state.Open(dir)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	r := New(Options{Store: s, Execute: func(context.Context, Job) probe.Facts {
		return probe.Facts{Directory: &probe.Directory{Website: strings.Repeat("x", 5000)}}
	}})
	r.Apply([]config.Pair{configured(interval(0), func(p *config.Pair) { p.MinInterval = 0 })})
	go r.Run(context.Background())
	for last := ""; ; {
		a, err := r.Trigger(context.Background(), pairA, probe.TriggerScrape)
		if err != nil || !a.Fresh {
			fmt.Println(a, err)
			os.Exit(1)
		}
		// A trigger joins the run before it as long as that is being stored.
		if last != a.Result.ID {
			last = a.Result.ID
			fmt.Println(last)
		}
	}
}

// TestHistorySurvivesAKill holds that kill -9 loses the run that is just being
// stored, at most, and leaves nothing behind by halves.
func TestHistorySurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writeDir+"="+dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string // oldest first
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if ids = append(ids, lines.Text()); len(ids) == historyRuns+30 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd.Wait()
	if len(ids) < historyRuns+30 {
		t.Fatalf("the other process said %q", ids)
	}

	s, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	keys := func(bucket string) (all []string) {
		if err := s.All(bucket, func(key string, _ []byte) error { all = append(all, key); return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if lines, runs := keys(bucketHistory), keys(bucketRuns); !slices.Equal(lines, runs) || len(lines) != historyRuns {
		t.Errorf("%d lines and %d Results are stored", len(lines), len(runs))
	}
	r := New(Options{Store: s})
	if err := r.Restore(); err != nil {
		t.Fatal(err)
	}
	r.Apply([]config.Pair{configured(interval(0))})
	history := r.History(pairA)
	if len(history) != historyRuns {
		t.Fatalf("%d runs are left", len(history))
	}
	// The last one said may not have been stored, or one more than that.
	said, last := ids[len(ids)-2:], []string{history[0].ID, history[1].ID, history[2].ID}
	if !slices.Contains(last, said[0]) {
		t.Errorf("the last runs are %v, want %v", last, said)
	}
	for _, h := range history {
		if res, ok := r.Result(h.ID); !ok || res.ID != h.ID || len(res.Directory.Website) != 5000 {
			t.Errorf("the Result of %s is %+v", h.ID, res)
		}
	}
}

// observer observes with a function.
type observer struct{ observe func(*probe.Result) }

func (o observer) Observe(r *probe.Result)            { o.observe(r) }
func (observer) Restore(*probe.Result)                {}
func (observer) Schedule(probe.Pair, time.Time, bool) {}
