package runner

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
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

// observer observes with a function.
type observer struct{ observe func(*probe.Result) }

func (o observer) Observe(r *probe.Result)            { o.observe(r) }
func (observer) Restore(*probe.Result)                {}
func (observer) Schedule(probe.Pair, time.Time, bool) {}
