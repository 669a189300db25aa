package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/runner"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

const (
	diskTargets = 3 // with diskModules pairs each
	diskModules = 5
	diskDays    = 90
	diskRuns    = 200 // of each pair: fewer are kept, the others have gone
	diskLimit   = 64 << 20
)

// BenchmarkDisk fills a state directory with what 15 pairs leave in 90 days: incidents
// of every pair on each day, with their evidence, and the history. It reports how
// large that is, and how long a start takes to read it.
//
// The history of issuances of a hundred names reaches its cap.
func BenchmarkDisk(b *testing.B) {
	for _, names := range []int{1, many} {
		b.Run(fmt.Sprint("names=", names), func(b *testing.B) {
			for b.Loop() {
				fillDisk(b, names)
			}
		})
	}
}

func fillDisk(b *testing.B, names int) {
	dir := b.TempDir()
	s, err := state.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	fillIncidents(s, names)
	incidents := fileSize(b, dir)
	fillHistory(b, s, names)
	size := fileSize(b, dir)

	begun := time.Now()
	tracker := incident.New(incident.Options{Store: s})
	r := runner.New(runner.Options{Store: s})
	r.Apply(diskPairs())
	if err := tracker.Restore(); err != nil {
		b.Fatal(err)
	}
	if err := r.Restore(); err != nil {
		b.Fatal(err)
	}
	start := time.Since(begun)
	kept, results := 0, 0
	for _, p := range diskPairs() {
		for _, h := range r.History(p.Pair) {
			kept++
			if _, ok := r.Result(h.ID); ok {
				results++
			}
		}
	}
	known := len(tracker.Incidents(incident.Filter{}))
	b.Logf("%d names: %d incidents %.1f MiB; with %d runs %.1f MiB; %v to read all at the start",
		names, known, mib(incidents), kept, mib(size), start.Round(time.Millisecond))
	if results != kept || kept < 300 || known < diskDays*diskTargets*diskModules {
		b.Errorf("%d runs, %d of them with Results, %d incidents", kept, results, known)
	}
	if size > diskLimit {
		b.Errorf("%.1f MiB on disk, want at most %.0f", mib(size), mib(diskLimit))
	}
	b.ReportMetric(mib(size), "MiB")
	b.ReportMetric(float64(start.Milliseconds()), "ms/start")
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func fileSize(b *testing.B, dir string) (total int64) {
	files, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range files {
		info, err := os.Stat(filepath.Join(dir, f.Name()))
		if err != nil {
			b.Fatal(err)
		}
		total += info.Size()
	}
	return total
}

func diskPairs() (pairs []config.Pair) {
	for t := range diskTargets {
		for m := range diskModules {
			pairs = append(pairs, config.Pair{
				Pair:    probe.Pair{Target: fmt.Sprint("letsencrypt-", t), Module: fmt.Sprint("issue_dns_", m)},
				Target:  &config.Target{Environment: config.Production},
				Module:  &config.Module{Prober: probe.ProberIssue},
				Timeout: time.Minute, Hash: "0123456789abcdef",
			})
		}
	}
	return pairs
}

// fillIncidents has every pair fail three times and recover, each day.
func fillIncidents(s *state.Store, names int) {
	tracker := incident.New(incident.Options{Store: s})
	end := time.Now()
	var pairs []incident.Pair
	for _, p := range diskPairs() {
		pairs = append(pairs, incident.Pair{Pair: p.Pair, Environment: "production", Interval: 5 * time.Minute, Critical: true})
	}
	tracker.Apply(end.Add(-diskDays*24*time.Hour), pairs)
	for day := range diskDays {
		for run := range 5 {
			for _, p := range pairs {
				start := end.Add(-time.Duration(diskDays-day)*24*time.Hour + time.Duration(run)*5*time.Minute + time.Hour)
				r := &probe.Result{
					Version: probe.Version, ID: probe.NewID(start), Pair: p.Pair, Prober: probe.ProberIssue, Trigger: probe.TriggerTick,
					ConfigHash: "0123456789abcdef", Start: start, Duration: 8 * time.Second, Facts: issuance(names, run < 3),
					Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess, Summary: "issue passed at acme-v02.api.letsencrypt.org: 12 calls."},
				}
				if run < 3 {
					r.Verdict = probe.Verdict{
						Outcome: probe.OutcomeFailure, Stage: probe.StepFinalization, Reason: "server_internal", Fault: probe.FaultCA,
						Summary: "issue: finalization failed at acme-v02.api.letsencrypt.org: the CA reports an internal error.",
					}
				}
				tracker.Observe(r)
			}
		}
	}
}

// fillHistory has every pair run, the earlier ones with failures among them.
func fillHistory(b *testing.B, s *state.Store, names int) {
	var mu sync.Mutex // guards runs
	runs := map[probe.Pair]int{}
	r := runner.New(runner.Options{Store: s, Execute: func(_ context.Context, job runner.Job) probe.Facts {
		mu.Lock()
		defer mu.Unlock()
		runs[job.Pair.Pair]++
		n := runs[job.Pair.Pair]
		return issuance(names, n < diskRuns-100 && n%3 == 0)
	}})
	pairs := diskPairs()
	r.Apply(pairs)
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	last := map[probe.Pair]string{}
	for range diskRuns {
		for _, p := range pairs {
			for {
				a, err := r.Trigger(b.Context(), p.Pair, probe.TriggerScrape)
				if err != nil {
					b.Fatal(err)
				}
				if a.Result.ID != last[p.Pair] {
					last[p.Pair] = a.Result.ID
					break
				}
				time.Sleep(time.Millisecond) // the run before is still being stored
			}
		}
	}
	stop()
	running.Wait()
}

// issuance returns what a run that issues over dns-01 saw, or one that failed at the
// finalization.
func issuance(names int, fails bool) probe.Facts {
	var f probe.Facts
	call := func(name probe.CallName, step probe.StepName, path string) {
		at := time.Duration(len(f.Calls)) * 123456789
		f.Calls = append(f.Calls, probe.Call{
			Name: name, Step: step, Method: "POST", URL: "https://acme-v02.api.letsencrypt.org/acme/" + path,
			Start: at, Ready: at + 1234567, FirstByte: at + 98765432, End: at + 99887766,
			Connection: probe.Connection{
				Reused: len(f.Calls) > 0, Remote: "[2606:4700:60:0:f53d:5624:85c7:3a2c]:443", Family: probe.IPv6,
				HTTPVersion: "HTTP/2.0", TLSVersion: "TLS 1.3", KeyExchange: "X25519MLKEM768",
			},
			Status: 200, Bytes: 1234, Date: time.Now().Truncate(time.Second), Nonce: true,
		})
	}
	step := func(name probe.StepName, identifier string) {
		f.Steps = append(f.Steps, probe.Step{Name: name, Identifier: identifier, Start: time.Duration(len(f.Calls)) * 123456789, Duration: 234567890, OK: true})
	}
	call(probe.CallDirectory, probe.StepDirectory, "directory")
	step(probe.StepDirectory, "")
	call(probe.CallNewNonce, probe.StepNonce, "new-nonce")
	step(probe.StepNonce, "")
	call(probe.CallNewOrder, probe.StepOrder, "new-order")
	step(probe.StepOrder, "")
	f.Certificate = &probe.Certificate{Serial: strings.Repeat("03a1", 9), Issuer: "CN=E7,O=Let's Encrypt,C=US", NotBefore: time.Now(), NotAfter: time.Now().Add(90 * 24 * time.Hour), Chain: 2}
	for n := range names {
		name := fmt.Sprintf("%s.fra.acme-probe.example", strings.ToLower(rand.Text()))
		f.Certificate.Names = append(f.Certificate.Names, name)
		for range 2 {
			call(probe.CallAuthz, probe.StepAuthorization, fmt.Sprintf("authz/2345678901/%d", 456789012345+n))
		}
		call(probe.CallChallenge, probe.StepValidation, fmt.Sprintf("chall/2345678901/%d/AbCdEf", 456789012345+n))
		step(probe.StepAuthorization, name)
		step(probe.StepValidation, name)
		for perspective := range 6 {
			f.Visits = append(f.Visits, probe.Visit{At: 1234567890, Challenge: probe.DNS01, Identifier: name, Family: probe.IPv4, Network: perspective + 1, Asked: "TXT", Answered: "1 value", OK: true})
		}
	}
	for _, check := range probe.Checks() {
		f.Certificate.Checks = append(f.Certificate.Checks, probe.CheckResult{Check: check, Passed: true})
	}
	call(probe.CallFinalize, probe.StepFinalization, "finalize/2345678901/345678901234")
	step(probe.StepFinalization, "")
	if fails {
		f.Certificate = nil
		f.Calls[len(f.Calls)-1].Problem = &probe.Problem{Type: "serverInternal", Detail: "Error finalizing order :: Unable to meet CA SCT embedding requirements", Status: 500}
		f.Failure = &probe.Failure{Step: probe.StepFinalization, Kind: probe.FailureCall, Call: len(f.Calls) - 1}
		return f
	}
	call(probe.CallOrder, probe.StepFinalization, "order/2345678901/345678901234")
	call(probe.CallCertificate, probe.StepDownload, "cert/03a1")
	step(probe.StepDownload, "")
	step(probe.StepCertificate, "")
	return f
}
