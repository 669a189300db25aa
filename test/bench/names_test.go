package bench

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/examples/demo/process"
	"github.com/acme-exporter/acme_exporter/internal/challenge"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/runner"
	"github.com/acme-exporter/acme_exporter/prober"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

const (
	many       = 100 // names of one order
	manyRounds = 9   // of each side, interleaved
	pairs      = 16  // that issue in parallel
	rateRounds = 5
	ratePeriod = 4 * time.Second
)

// BenchmarkNames compares an issuance of 100 names over dns-01 by the prober with
// the same requests written by hand, as many in parallel: how long it takes, and
// how much of the CPU. Pebble is another process and asks our name server, which
// serves both.
func BenchmarkNames(b *testing.B) {
	ports := parts.NewPorts(b)
	ca := parts.StartPebble(b, ports, "-smooth", "-quiet")
	client := newReference(b, ca.CA)
	responders := newResponders(b, ports)
	pair := newPair(b, ca.CA, "issue")
	pair.Module.Issue.Challenge = probe.DNS01
	pair.Module.Issue.Names.Count = many
	issue := newRun(b, ca.CA, client, pair, responders)
	byHand := func() int {
		c := *client
		names := make([]string, many)
		for i := range names {
			names[i] = strings.ToLower(rand.Text()) + ".acme-probe.example"
		}
		certificate, err := c.issueMany(b.Context(), names, "dns-01", func(name, _, answer string) (func(), error) {
			sum := sha256.Sum256([]byte(answer)) // RFC 8555 §8.4
			withdraw, err := responders.Present(b.Context(), probe.Challenge{
				Type: probe.DNS01, Identifier: name, Start: time.Now(),
				Record: probe.Record{Name: "_acme-challenge." + name, Value: base64.RawURLEncoding.EncodeToString(sum[:])},
			})
			return func() { withdraw() }, err
		})
		if err != nil || len(certificate) == 0 {
			b.Errorf("issue by hand: %v (%d bytes)", err, len(certificate))
		}
		return c.calls
	}
	for b.Loop() {
		var ours, theirs, ourCPU, theirCPU []float64
		var ourCalls, theirCalls int
		byHand() // warm both up
		issue()
		for range manyRounds {
			wall, cpu, calls := once(b, byHand)
			theirs, theirCPU, theirCalls = append(theirs, wall), append(theirCPU, cpu), theirCalls+calls
			wall, cpu, calls = once(b, issue)
			ours, ourCPU, ourCalls = append(ours, wall), append(ourCPU, cpu), ourCalls+calls
		}
		b.ReportMetric(median(ours)/median(theirs), "ratio")
		b.ReportMetric(median(ourCPU)/median(theirCPU), "ratio-CPU")
		b.ReportMetric(median(ours), "ms/issuance")
		b.ReportMetric(median(theirs), "ms/reference")
		b.ReportMetric(median(ourCPU), "ms-CPU/issuance")
		b.ReportMetric(median(theirCPU), "ms-CPU/reference")
		b.ReportMetric(float64(ourCalls)/manyRounds, "calls/issuance")
		b.ReportMetric(float64(theirCalls)/manyRounds, "calls/reference")
		b.ReportMetric(0, "ns/op")
	}
}

// once does one issuance and returns its milliseconds, those of the CPU, and its
// calls.
func once(tb testing.TB, issue func() int) (wall, cpu float64, calls int) {
	tb.Helper()
	runtime.GC()
	before, start := cpuTime(tb), time.Now()
	calls = issue()
	return time.Since(start).Seconds() * 1000, (cpuTime(tb) - before).Seconds() * 1000, calls
}

// newResponders serves the probe zone at the port that Pebble asks.
func newResponders(tb testing.TB, ports parts.Ports) *challenge.Set {
	tb.Helper()
	set := challenge.NewSet(slog.New(slog.DiscardHandler))
	change, err := set.Prepare(config.Responders{DNS: &config.DNSResponder{
		ListenAddress: process.Loopback(ports.DNS), Zones: []string{"acme-probe.example"}, Nameserver: "ns.acme-probe.example",
	}})
	if err != nil {
		tb.Fatal(err)
	}
	change.Commit()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := set.Close(ctx); err != nil {
			tb.Log(err)
		}
	})
	return set
}

// BenchmarkPairs compares how many certificates a second 16 pairs get, through
// the runner and each as soon as the one before is there, with 16 workers by
// hand. Authorizations are left as they are, so that nothing but issuance is
// asked of the CA by either.
func BenchmarkPairs(b *testing.B) {
	ca := parts.StartPebble(b, parts.Ports{}, "-smooth", "-always-valid", "-quiet")
	client := newReference(b, ca.CA)
	var all []config.Pair
	runs := map[probe.Pair]func(context.Context, runner.Job) probe.Facts{}
	for i := range pairs {
		pair := newPair(b, ca.CA, "issue")
		pair.Pair.Module = fmt.Sprint("issue", i)
		pair.Interval, pair.MinInterval = 0, 0
		pair.Module.Issue.Authorization = config.AuthorizationReuse
		transport, account := newTransport(b, ca.CA), newAccount(ca.CA, client, pair)
		runs[pair.Pair] = func(ctx context.Context, job runner.Job) probe.Facts {
			session := transport.Session(job.Start)
			defer session.Close()
			return prober.Run(ctx, prober.Request{
				ID: job.ID, Start: job.Start, Pair: job.Pair, HTTP: session,
				Accounts: account, Solver: nobody{}, FollowUps: job.FollowUps,
			})
		}
		all = append(all, pair)
	}
	r := runner.New(runner.Options{Execute: func(ctx context.Context, job runner.Job) probe.Facts {
		return runs[job.Pair.Pair](ctx, job)
	}})
	r.Apply(all)
	running, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(running) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	trigger := func(worker int) error {
		answer, err := r.Trigger(b.Context(), all[worker].Pair, probe.TriggerScrape)
		if err == nil && !answer.Result.Verdict.Success() {
			err = fmt.Errorf("%s", answer.Result.Verdict.Summary)
		}
		return err
	}
	hand := func(int) error { byHand(b, client); return nil }
	for b.Loop() {
		var ours, theirs []float64
		perSecond(b, time.Second, hand)
		perSecond(b, time.Second, trigger)
		for range rateRounds {
			theirs = append(theirs, perSecond(b, ratePeriod, hand))
			ours = append(ours, perSecond(b, ratePeriod, trigger))
		}
		b.ReportMetric(median(ours)/median(theirs), "ratio")
		b.ReportMetric(median(ours), "issuances/s")
		b.ReportMetric(median(theirs), "reference/s")
		b.ReportMetric(0, "ns/op")
	}
}

// perSecond has as many workers as there are pairs issue for so long, and returns
// how many a second they did.
func perSecond(tb testing.TB, period time.Duration, issue func(worker int) error) float64 {
	tb.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex // guards n and last
	n, start := 0, time.Now()
	last := start
	for worker := range pairs {
		group.Go(func() {
			for time.Since(start) < period {
				if err := issue(worker); err != nil {
					tb.Error(err)
					return
				}
				mu.Lock()
				n, last = n+1, time.Now()
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return float64(n) / last.Sub(start).Seconds()
}

// BenchmarkMemory measures by how much the resident memory of acme_exporter, as it
// is shipped, rises above idle while it has a certificate of 100 names issued over
// dns-01.
func BenchmarkMemory(b *testing.B) {
	ports := parts.NewPorts(b)
	ca := parts.StartPebble(b, ports, "-smooth", "-quiet")
	dir := b.TempDir()
	address := process.Loopback(parts.NewPorts(b).HTTP)
	file := filepath.Join(dir, "acme.yml")
	text := fmt.Appendf(nil, `
targets:
  ca:
    directory_url: %s
    environment: staging
    tls_config: {ca_file: %s}
    rate_limits: none
    account: {contact: ["mailto:test@acme-probe.example"], agree_to_terms: true}
    probes: {directory: 0s, account: 0s, many: 0s}
responders:
  dns: {listen_address: "%s", zones: [acme-probe.example], nameserver: ns.acme-probe.example}
modules:
  many: {prober: issue, min_interval: 100ms, issue: {names: {count: %d}}}
`, ca.DirectoryURL, ca.RootFile, process.Loopback(ports.DNS), many)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(parts.PlainBinary(b), "--config.file="+file, "--state.dir="+filepath.Join(dir, "state"), "serve", "--web.listen-address="+address)
	parts.Start(b, cmd)
	page := func(path string) (string, bool) {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			return "", false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return string(body), err == nil && resp.StatusCode == http.StatusOK
	}
	parts.Until(b, "it is ready", func() bool { _, ok := page("/-/ready"); return ok })
	for b.Loop() {
		for _, module := range []string{"directory", "account"} {
			page("/probe?target=ca&module=" + module)
			page("/metrics")
		}
		time.Sleep(time.Second)
		idle := status(b, cmd.Process.Pid, "VmRSS")
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", cmd.Process.Pid), []byte("5"), 0); err != nil {
			b.Fatal(err) // only Linux has it
		}
		body, _ := page("/probe?target=ca&module=many")
		if !strings.Contains(body, "probe_success 1") {
			b.Fatalf("the run of %d names failed:\n%s", many, body)
		}
		page("/metrics")
		b.ReportMetric(status(b, cmd.Process.Pid, "VmHWM")-idle, "MiB-above-idle")
		b.ReportMetric(idle, "MiB-idle")
		b.ReportMetric(0, "ns/op")
	}
}

// status returns a field of a process's status, in MiB.
func status(tb testing.TB, pid int, field string) float64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			if err != nil {
				tb.Fatal(err)
			}
			return kib / 1024
		}
	}
	tb.Fatalf("no %s in %s", field, text)
	return 0
}
