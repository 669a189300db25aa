package parts

import (
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
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

	tb      testing.TB
	args    []string
	api     v1.API
	process *process.Process
}

// NewPrometheus configures the pinned Prometheus. Flags are added to those that say
// where it listens and stores; --agent among them makes it an agent.
func NewPrometheus(tb testing.TB, configFile string, flags ...string) *Prometheus {
	tb.Helper()
	address := process.Loopback(freePort(tb, "tcp"))
	storage := "--storage.tsdb.path="
	if slices.Contains(flags, "--agent") {
		storage = "--storage.agent.path="
	}
	p := &Prometheus{URL: "http://" + address, tb: tb, args: append([]string{
		"--config.file=" + configFile, "--web.listen-address=" + address, storage + tb.TempDir(),
	}, flags...)}
	client, err := api.NewClient(api.Config{Address: p.URL})
	if err != nil {
		tb.Fatal(err)
	}
	p.api = v1.NewAPI(client)
	return p
}

// Serve starts it, and waits until it is ready.
func (p *Prometheus) Serve() {
	p.tb.Helper()
	p.process = Start(p.tb, exec.CommandContext(context.Background(), filepath.Join(PrometheusDir(p.tb), "prometheus"), p.args...))
	ctx, cancel := context.WithTimeout(p.tb.Context(), Timeout)
	defer cancel()
	if err := p.process.WaitReady(ctx, http.DefaultClient, p.URL+"/-/ready"); err != nil {
		p.tb.Fatal(err)
	}
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
	ctx, cancel := context.WithTimeout(p.tb.Context(), Timeout)
	defer cancel()
	value, warnings, _, err := p.api.Query(ctx, expr, time.Now())
	if err != nil || len(warnings) > 0 {
		p.tb.Fatalf("query %s: %v, warnings %q", expr, err, warnings)
	}
	vector, ok := value.(model.Vector)
	if !ok {
		p.tb.Fatalf("query %s: a %s, want a vector", expr, value.Type())
	}
	return vector
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
