package parts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Target is the name of the only target that the tests configure.
const Target = "ca"

// configuration has every prober against one target, to be run when asked.
const configuration = `
targets:
  ca:
    directory_url: %[1]s
    environment: staging
    tls_config: {ca_file: %[2]s}
    rate_limits: none
    account: {contact: ["mailto:test@acme-probe.example"], agree_to_terms: true}
    probes:
      directory: 0s
      nonce: 0s
      account: 0s
      order: 0s
      validate: 0s
      issue_http: 0s
      issue_dns: 0s
      issue_alpn: 0s
responders:
  http: {listen_address: "%[3]s"}
  tls_alpn: {listen_address: "%[5]s"}
  dns:
    listen_address: "%[4]s"
    zones: [acme-probe.example]
    nameserver: ns.acme-probe.example
    addresses: [127.0.0.1]
modules:
  validate: {prober: validate, timeout: 60s, validate: {challenge: http-01}}
  issue_http: {prober: issue, timeout: 60s, issue: {challenge: http-01}}
  issue_dns: {prober: issue, timeout: 60s, issue: {challenge: dns-01}}
  issue_alpn: {prober: issue, timeout: 60s, issue: {challenge: tls-alpn-01}}
`

// Exporter is acme_exporter with a configuration and a state directory. It may
// be started, and started again.
type Exporter struct {
	// URL of its pages.
	URL string
	// Plain has it run as it is shipped, without the race detector.
	Plain bool

	tb        testing.TB
	namespace *Namespace
	dir       string
	address   string
	process   *process.Process
}

// NewExporter configures acme_exporter for ca, with its responders at p.
func NewExporter(tb testing.TB, p Ports, ca CA) *Exporter {
	tb.Helper()
	e := &Exporter{tb: tb, namespace: p.Namespace, dir: tb.TempDir(), address: process.Loopback(FreePort(tb, "tcp"))}
	e.URL = "http://" + e.address
	write(tb, e.ConfigFile(), fmt.Appendf(nil, configuration,
		ca.DirectoryURL, ca.RootFile, process.Loopback(p.HTTP), process.Loopback(p.DNS),
		process.Loopback(p.TLS)))
	return e
}

// ConfigFile is the path of its configuration.
func (e *Exporter) ConfigFile() string { return filepath.Join(e.dir, "acme.yml") }

// Configure gives it a configuration all of the test's own.
func (e *Exporter) Configure(text string) {
	e.tb.Helper()
	write(e.tb, e.ConfigFile(), []byte(text))
}

// Reconfigure puts another text in place of the one that its configuration has
// once.
func (e *Exporter) Reconfigure(old, text string) {
	e.tb.Helper()
	configured, err := os.ReadFile(e.ConfigFile())
	if err != nil {
		e.tb.Fatal(err)
	}
	if n := bytes.Count(configured, []byte(old)); n != 1 {
		e.tb.Fatalf("reconfigure: %q is there %d times:\n%s", old, n, configured)
	}
	write(e.tb, e.ConfigFile(), bytes.Replace(configured, []byte(old), []byte(text), 1))
}

func (e *Exporter) command(args ...string) *exec.Cmd {
	program := exporterBinary
	if e.Plain {
		program = plainBinary
	}
	return e.namespace.Command(program.build(e.tb), append([]string{
		"--config.file=" + e.ConfigFile(), "--state.dir=" + filepath.Join(e.dir, "state"),
	}, args...)...)
}

// Probe is "acme_exporter probe": one run of module, now. A failure of the
// probe fails the test.
func (e *Exporter) Probe(module string) *probe.Result {
	e.tb.Helper()
	var stdout, stderr bytes.Buffer
	cmd := e.command("probe", Target, module, "--output=json")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		e.tb.Fatalf("probe %s: %v\n%s%s", module, err, stdout.Bytes(), stderr.Bytes())
	}
	result := new(probe.Result)
	if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
		e.tb.Fatalf("probe %s: %v\n%s", module, err, stdout.Bytes())
	}
	return result
}

// Serve is "acme_exporter serve", and waits until it is ready.
func (e *Exporter) Serve(flags ...string) {
	e.tb.Helper()
	cmd := e.command(append([]string{"serve", "--web.listen-address=" + e.address}, flags...)...)
	// A race found ends the process, and with it the test.
	cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	e.process = Start(e.tb, cmd)
	e.namespace.awaitReady(e.tb, e.process, e.URL+"/-/ready")
}

// Scrape asks /probe for module, and waits for the answer.
func (e *Exporter) Scrape(module string) {
	e.tb.Helper()
	e.namespace.Do(e.tb, "GET", e.probeURL(module))
}

// RunNow asks /probe for a new run of module, waits for its end, and returns what
// became of it.
func (e *Exporter) RunNow(module string) *probe.Result {
	e.tb.Helper()
	before, now := e.last(module), (*probe.Result)(nil)
	// A scrape may come too soon after the last one, or be over before the run is.
	Until(e.tb, "a run of "+module+" has ended", func() bool {
		e.Scrape(module)
		now = e.last(module)
		return now != nil && (before == nil || now.ID != before.ID)
	})
	return now
}

// last is the last run of module, as /probe shows it; nil: there was none.
func (e *Exporter) last(module string) *probe.Result {
	e.tb.Helper()
	page := e.namespace.Do(e.tb, "GET", e.probeURL(module)+"&debug=true")
	_, text, ok := bytes.Cut(page, []byte("\nResult:\n"))
	if !ok {
		return nil
	}
	result := new(probe.Result)
	if err := json.Unmarshal(text, result); err != nil {
		e.tb.Fatalf("read the run of %s: %v\n%s", module, err, text)
	}
	return result
}

// Trigger asks /probe for module and does not wait for the answer, nor minds
// what it is.
func (e *Exporter) Trigger(module string) {
	ctx := e.tb.Context()
	go func() { _, _ = e.namespace.do(ctx, "GET", e.probeURL(module)) }()
}

func (e *Exporter) probeURL(module string) string {
	return e.URL + "/probe?target=" + Target + "&module=" + module
}

// Kill is kill -9, and waits for it to have happened.
func (e *Exporter) Kill() {
	e.tb.Helper()
	if err := e.process.Signal(os.Kill); err != nil {
		e.tb.Fatal(err)
	}
	_ = e.process.Err() // it was killed
}

// Terminate sends SIGTERM and does not wait.
func (e *Exporter) Terminate() {
	e.tb.Helper()
	if err := e.process.Signal(syscall.SIGTERM); err != nil {
		e.tb.Fatal(err)
	}
}

// Ended waits for the end, for d at most, and fails the test if the exit status
// is not 0.
func (e *Exporter) Ended(d time.Duration) {
	e.tb.Helper()
	select {
	case <-e.process.Done():
		if err := e.process.Err(); err != nil {
			e.tb.Fatalf("acme_exporter ended: %v", err)
		}
	case <-time.After(d):
		e.tb.Fatalf("acme_exporter has not ended within %s", d)
	}
}

// Metrics are those of /metrics, by family.
type Metrics map[string]*dto.MetricFamily

// Metrics scrapes /metrics.
func (e *Exporter) Metrics() Metrics {
	e.tb.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(e.namespace.Do(e.tb, "GET", e.URL+"/metrics")))
	if err != nil {
		e.tb.Fatalf("parse /metrics: %v", err)
	}
	return families
}

// Sum adds up the counters and gauges of a family whose labels include these,
// given as name and value in turn.
func (m Metrics) Sum(family string, labels ...string) float64 {
	sum := 0.0
	for _, metric := range m[family].GetMetric() {
		if !matches(metric, labels) {
			continue
		}
		sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
	}
	return sum
}

// Observed adds up the histograms of a family whose labels include these: how many
// observations there were, and their sum.
func (m Metrics) Observed(family string, labels ...string) (count uint64, sum float64) {
	for _, metric := range m[family].GetMetric() {
		if matches(metric, labels) {
			count += metric.GetHistogram().GetSampleCount()
			sum += metric.GetHistogram().GetSampleSum()
		}
	}
	return count, sum
}

// Has reports whether there is a series of the family whose labels include these.
func (m Metrics) Has(family string, labels ...string) bool {
	return slices.ContainsFunc(m[family].GetMetric(), func(metric *dto.Metric) bool { return matches(metric, labels) })
}

func matches(metric *dto.Metric, labels []string) bool {
	got := map[string]string{}
	for _, pair := range metric.GetLabel() {
		got[pair.GetName()] = pair.GetValue()
	}
	for i := 0; i+1 < len(labels); i += 2 {
		if got[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}
