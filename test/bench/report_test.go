package bench

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/acme-exporter/acme_exporter/internal/report"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

const (
	mostReport       = 10 * time.Second
	mostReportMemory = 128 << 20 // bytes
	reportRounds     = 3
	// reportInFlight is how many queries the report has in flight; so has the reference.
	reportInFlight = 2
)

// BenchmarkReport makes the report of a week of 10 targets, 5 modules and 5 locations, and the
// week before, from each kind of histograms, from a real Prometheus that shares the CPUs. The reference is to send the same queries
// and to throw the answers away. The series are the exporters' own: nothing was recorded.
func BenchmarkReport(b *testing.B) {
	for _, histograms := range []string{classic, native, both} {
		b.Run(histograms, func(b *testing.B) {
			for b.Loop() {
				benchReport(b, histograms)
			}
		})
	}
}

// Which histograms exporters expose.
const classic, native, both = "classic", "native", "both"

func benchReport(b *testing.B, histograms string) {
	b.Helper()
	end := time.Now().UTC().Truncate(24 * time.Hour)
	file := filepath.Join(b.TempDir(), "prometheus.yml")
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		b.Fatal(err)
	}
	// Blocks of nearly a day are what two weeks are in when they have come to be one by one.
	prometheus := parts.NewPrometheus(b, file, "--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=100y",
		"--storage.tsdb.min-block-duration=18h", "--storage.tsdb.max-block-duration=18h", "--log.level=warn")
	prometheus.Serve()
	begun := time.Now()
	samples := rememberWeeks(b, histograms, prometheus.URL, end)
	b.Logf("%.1f million samples in %s", float64(samples)/1e6, time.Since(begun).Round(time.Second))
	parts.Within(b, "the weeks are in blocks", 5*time.Minute, func() bool {
		oldest := gauges(b, prometheus.URL, "prometheus_tsdb_head_min_time_seconds", "")[""]
		return oldest > float64(end.Add(-2*24*time.Hour).Unix())
	})

	queries, answered := asked(b, prometheus.URL, end)
	var took, reference time.Duration
	var memory int64
	for i := range reportRounds {
		took1, memory1 := timeReport(b, prometheus.URL, end)
		reference1 := replay(b, prometheus.URL, queries)
		// The fastest: what else there is to do on the machine only adds to it.
		if i == 0 || took1 < took {
			took = took1
		}
		if i == 0 || reference1 < reference {
			reference = reference1
		}
		memory = max(memory, memory1)
		b.Logf("report %.2f s, %.0f MiB; its %d queries alone %.2f s, %.1f MiB of answers", took1.Seconds(), mebibytes(memory1),
			len(queries), reference1.Seconds(), mebibytes(answered))
	}
	b.ReportMetric(took.Seconds(), "s/report")
	b.ReportMetric(reference.Seconds(), "s/reference")
	b.ReportMetric(took.Seconds()/reference.Seconds(), "ratio")
	b.ReportMetric(mebibytes(memory), "MiB/report")
	b.ReportMetric(float64(len(queries)), "queries")
	b.ReportMetric(0, "ns/op") // the time that it takes is the samples'
	if took > mostReport {
		b.Errorf("the report takes %v, want %v at most", took, mostReport)
	}
	if memory > mostReportMemory {
		b.Errorf("the report takes %.0f MiB, want %d at most", mebibytes(memory), mostReportMemory>>20)
	}
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// timeReport runs the program, and returns how long it took and the most memory that it had, in
// bytes, as the system counts it.
func timeReport(b *testing.B, prometheus string, end time.Time) (took time.Duration, memory int64) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "week.json")
	cmd := exec.CommandContext(b.Context(), parts.PlainBinary(b), "report", "--prometheus.url="+prometheus,
		"--since="+told(end.Add(-week)), "--until="+told(end), "--output="+file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			took = time.Since(begun)
			if err != nil {
				b.Fatalf("%v\n%s", err, stderr.String())
			}
			check(b, file)
			return took, memory
		case <-ticker.C:
			// Not getrusage's: that has what this process had when it started the other.
			memory = max(memory, highWater(cmd.Process.Pid))
		}
	}
}

// highWater is the most memory that a process has had, in bytes; 0: it has ended.
func highWater(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	if fields := strings.Fields(rest); len(fields) > 0 {
		n, _ := strconv.ParseInt(fields[0], 10, 64)
		return n << 10
	}
	return 0
}

// check looks whether the report has everything in it.
func check(b *testing.B, file string) {
	b.Helper()
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r, err := report.Decode(f)
	if err != nil {
		b.Fatal(err)
	}
	if len(r.Targets) != ruleTargets {
		b.Fatalf("%d targets, want %d", len(r.Targets), ruleTargets)
	}
	const runs = 7 * 24 * 60 * ruleLocations // of a module on a target: one a minute
	for _, t := range r.Targets {
		n, known := t.Runs.Success, t.Availability
		if want := int64(runs * len(ruleModules)); n < want*98/100 || n > want*102/100 || t.Before == nil || t.RunsBefore == nil {
			b.Fatalf("%s: %d runs, want %d; before: %v, %v", t.Target, n, want, t.Before, t.RunsBefore)
		}
		if known.Down < 58*time.Minute || known.Down > 62*time.Minute || known.Unknown > 5*time.Minute || len(t.Incidents) != 1 {
			b.Fatalf("%s: down %v, unknown %v, %d incidents", t.Target, known.Down, known.Unknown, len(t.Incidents))
		}
		if len(t.Locations) != ruleLocations || len(t.Steps) < 8 || len(t.Calls) < 8 || len(t.Budget) < 3*ruleLocations || t.Latency == nil || len(t.Latency.Points) < 100 {
			b.Fatalf("%s: %d locations, %d steps, %d calls, %d budgets, latency %+v", t.Target, len(t.Locations), len(t.Steps), len(t.Calls), len(t.Budget), t.Latency)
		}
	}
}

// query is a request that the report made.
type query struct{ method, path, contentType, body string }

// asked has the program make the report by way of a proxy, and returns what it asked, and
// how many bytes it was answered.
func asked(b *testing.B, prometheus string, end time.Time) (queries []query, answered int64) {
	b.Helper()
	target, err := url.Parse(prometheus)
	if err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex // guards queries and answered
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		defer mu.Unlock()
		answered += int64(len(body))
		return err
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		queries = append(queries, query{r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), string(body)})
		mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	defer server.Close()
	timeReport(b, server.URL, end)
	return queries, answered
}

// replay sends the queries, throws the answers away, and returns how long that took.
func replay(b *testing.B, prometheus string, queries []query) time.Duration {
	b.Helper()
	begun := time.Now()
	var sending errgroup.Group
	sending.SetLimit(reportInFlight)
	for _, q := range queries {
		sending.Go(func() error {
			r, err := http.NewRequestWithContext(b.Context(), q.method, prometheus+q.path, strings.NewReader(q.body))
			if err != nil {
				return err
			}
			r.Header.Set("Content-Type", q.contentType)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				return err
			}
			if answer.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %s", q.path, answer.Status)
			}
			return nil
		})
	}
	if err := sending.Wait(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}
