package report

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// prometheus is a running one that scrapes nothing.
type prometheus struct {
	url string
	dir string // of its blocks
	bin string // where it and promtool are
	run *process.Process
}

// startPrometheus starts one, with the blocks that are in a directory: the newest, or
// the oldest for which the report is made, with narrow limits.
func startPrometheus(tb testing.TB, dir string, oldest bool) *prometheus {
	tb.Helper()
	p := &prometheus{dir: dir, bin: parts.PrometheusDir(tb)}
	program := filepath.Join(p.bin, "prometheus")
	var limits []string
	if oldest {
		limits = []string{"--query.max-samples=40000"} // less than a day of a target's states
		var err error
		if program, err = exec.LookPath("prometheus"); err != nil {
			tb.Fatalf("%v: type make deps", err)
		}
	}
	port := parts.FreePort(tb, "tcp")
	config := filepath.Join(tb.TempDir(), "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {}\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	p.url = "http://127.0.0.1:" + strconv.Itoa(port)
	p.run = parts.Start(tb, exec.Command(program, append(limits, "--config.file="+config, "--storage.tsdb.path="+dir,
		"--storage.tsdb.retention.time=100y", "--web.listen-address=127.0.0.1:"+strconv.Itoa(port), "--web.enable-remote-write-receiver", "--log.level=warn")...))
	parts.Until(tb, "Prometheus is ready", func() bool {
		answer, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return p
}
