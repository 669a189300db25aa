package parts

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
)

// PrometheusDir returns the directory of the pinned prometheus and promtool, which
// are built once for this machine and kept in the user's cache.
func PrometheusDir(tb testing.TB) string {
	tb.Helper()
	return strings.TrimSpace(Make(tb, "tool-prometheus"))
}

// Prometheus is a server, or an agent, with a configuration and a directory for its
// samples. It may be started, stopped, and started again.
type Prometheus struct {
	// URL of its API, without a final slash.
	URL string

	tb         testing.TB
	namespace  *Namespace
	configFile string
	dir        string // of its samples
	args       []string
	api        v1.API
	process    *process.Process
}

// NewPrometheus configures the pinned Prometheus. Flags are added to those that say
// where it listens and stores; --agent among them makes it an agent.
func NewPrometheus(tb testing.TB, configFile string, flags ...string) *Prometheus {
	tb.Helper()
	return (*Namespace)(nil).NewPrometheus(tb, configFile, flags...)
}

// NewPrometheus is [NewPrometheus] in the namespace.
func (n *Namespace) NewPrometheus(tb testing.TB, configFile string, flags ...string) *Prometheus {
	tb.Helper()
	address := process.Loopback(FreePort(tb, "tcp"))
	storage := "--storage.tsdb.path="
	if slices.Contains(flags, "--agent") {
		storage = "--storage.agent.path="
	}
	p := &Prometheus{URL: "http://" + address, tb: tb, namespace: n, configFile: configFile, dir: tb.TempDir()}
	p.args = append([]string{
		"--config.file=" + configFile, "--web.listen-address=" + address, storage + p.dir,
	}, flags...)
	client, err := api.NewClient(api.Config{Address: p.URL, Client: n.Client()})
	if err != nil {
		tb.Fatal(err)
	}
	p.api = v1.NewAPI(client)
	return p
}

// Serve starts it, and waits until it is ready.
func (p *Prometheus) Serve() {
	p.tb.Helper()
	p.process = Start(p.tb, p.namespace.Command(filepath.Join(PrometheusDir(p.tb), "prometheus"), p.args...))
	p.namespace.awaitReady(p.tb, p.process, p.URL+"/-/ready")
}

// Stop ends it as systemd would. Its samples stay.
func (p *Prometheus) Stop() {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.tb.Context()), Timeout)
	defer cancel()
	if err := p.process.Stop(ctx); err != nil {
		p.tb.Fatal(err)
	}
}

// API is its API, for what the methods do not offer.
func (p *Prometheus) API() v1.API { return p.api }

// Query returns what expr is now. A warning fails the test as an error does.
func (p *Prometheus) Query(expr string) model.Vector {
	p.tb.Helper()
	value := p.query(expr)
	vector, ok := value.(model.Vector)
	if !ok {
		p.tb.Fatalf("query %s: a %s, want a vector", expr, value.Type())
	}
	return vector
}

// Samples returns all that is stored of a range selector such as up[5m].
func (p *Prometheus) Samples(selector string) model.Matrix {
	p.tb.Helper()
	value := p.query(selector)
	matrix, ok := value.(model.Matrix)
	if !ok {
		p.tb.Fatalf("query %s: a %s, want a matrix", selector, value.Type())
	}
	return matrix
}

func (p *Prometheus) query(expr string) model.Value {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(p.tb.Context(), Timeout)
	defer cancel()
	value, warnings, _, err := p.api.Query(ctx, expr, time.Now())
	if err != nil || len(warnings) > 0 {
		p.tb.Fatalf("query %s: %v, warnings %q", expr, err, warnings)
	}
	return value
}

// Value returns the one value of expr, and false if it has none or several.
func (p *Prometheus) Value(expr string) (float64, bool) {
	p.tb.Helper()
	vector := p.Query(expr)
	if len(vector) != 1 || vector[0].Histogram != nil {
		return 0, false
	}
	return float64(vector[0].Value), true
}

// Reload gives it another configuration, and returns when that is in force. It needs
// the flag --web.enable-lifecycle.
func (p *Prometheus) Reload(configuration string) {
	p.tb.Helper()
	write(p.tb, p.configFile, []byte(configuration))
	p.namespace.Do(p.tb, http.MethodPost, p.URL+"/-/reload")
}

// longBlocks has promtool write blocks of up to a week, of which it reads all that it
// is given for each: those of two hours, which it would write, take minutes.
const longBlocks = "--max-block-duration=168h"

// Backfill adds the samples of a text in the OpenMetrics format. A Prometheus that
// runs has them after it has been started again.
func (p *Prometheus) Backfill(openMetrics []byte) {
	p.tb.Helper()
	file := filepath.Join(p.tb.TempDir(), "openmetrics.txt")
	write(p.tb, file, openMetrics)
	p.promtool("tsdb", "create-blocks-from", longBlocks, "openmetrics", file, p.dir)
}

// BackfillRules has the Prometheus, which runs, evaluate the recording rules of a file
// for the time from start to end, and adds what they record as [Prometheus.Backfill]
// does.
func (p *Prometheus) BackfillRules(file string, start, end time.Time, interval time.Duration) {
	p.tb.Helper()
	p.promtool("tsdb", "create-blocks-from", longBlocks, "rules", "--url="+p.URL, "--output-dir="+p.dir, "--eval-interval="+interval.String(),
		"--start="+strconv.FormatInt(start.Unix(), 10), "--end="+strconv.FormatInt(end.Unix(), 10), file)
}

func (p *Prometheus) promtool(args ...string) {
	p.tb.Helper()
	if out, err := p.namespace.Command(filepath.Join(PrometheusDir(p.tb), "promtool"), args...).CombinedOutput(); err != nil {
		p.tb.Fatalf("promtool %q: %v\n%s", args, err, out)
	}
}
