package parts

import (
	"bufio"
	"encoding/json"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
	"github.com/acme-exporter/acme_exporter/test/fault"
)

// CA is a running CA, as acme_exporter is told of it.
type CA struct {
	DirectoryURL string
	RootFile     string // PEM, of the API's certificate
}

// Pebble is Pebble as a process, test/ca.
type Pebble struct {
	CA
	control   string
	namespace *Namespace
	tb        testing.TB
}

// StartPebble starts Pebble with the flags of test/ca, and has it validate at
// p. It is as rough as Pebble is by default unless the flags say otherwise.
func StartPebble(tb testing.TB, p Ports, flags ...string) *Pebble {
	tb.Helper()
	rootFile := filepath.Join(tb.TempDir(), "root.pem")
	cmd := p.Namespace.Command(caBinary.build(tb), append([]string{
		"-root=" + rootFile,
		"-http-port=" + strconv.Itoa(p.HTTP),
		"-tls-port=" + strconv.Itoa(p.TLS),
		"-resolver=" + process.Loopback(p.DNS),
	}, flags...)...)
	// It ends when the test process does, however that ends.
	if _, err := cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	Start(tb, cmd)
	var ready struct{ Directory, Control string }
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		tb.Fatalf("start Pebble: it said %q: %v", line, err)
	}
	return &Pebble{CA: CA{ready.Directory, rootFile}, control: ready.Control, namespace: p.Namespace, tb: tb}
}

// The paths of Pebble's that tests hold up, and count.
const (
	PebbleAuthz    = "/authZ/"
	PebbleFinalize = "/finalize-order/"
	PebbleCert     = "/certZ/"
)

// Hold makes requests wait whose path begins with path, all but the next skip.
func (p *Pebble) Hold(path string, skip int) {
	p.tb.Helper()
	query := url.Values{"path": {path}, "skip": {strconv.Itoa(skip)}}
	p.namespace.Do(p.tb, "POST", p.control+"/hold?"+query.Encode())
}

// Held returns how many requests wait.
func (p *Pebble) Held() (n int) {
	p.tb.Helper()
	p.decode("/hold", &n)
	return n
}

// Release lets go of those that wait, and makes no more of them wait.
func (p *Pebble) Release() {
	p.tb.Helper()
	p.namespace.Do(p.tb, "POST", p.control+"/release")
}

// Answered returns how many requests below path the CA has answered.
func (p *Pebble) Answered(path string) int {
	p.tb.Helper()
	var requests []struct{ Path string }
	p.decode("/requests", &requests)
	n := 0
	for _, r := range requests {
		if strings.HasPrefix(r.Path, path) {
			n++
		}
	}
	return n
}

// Log returns what Pebble says that it has done.
func (p *Pebble) Log() string {
	p.tb.Helper()
	return string(p.namespace.Do(p.tb, "GET", p.control+"/log"))
}

// Outage sets the outage switch.
func (p *Pebble) Outage(mode string) {
	p.tb.Helper()
	p.namespace.Do(p.tb, "POST", p.control+"/outage?mode="+mode)
}

// Faults puts these in force, and no others.
func (p *Pebble) Faults(list ...fault.Fault) {
	p.tb.Helper()
	text, err := json.Marshal(list)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.namespace.Do(p.tb, "POST", p.control+"/faults?"+url.Values{"list": {string(text)}}.Encode())
}

func (p *Pebble) decode(path string, v any) {
	p.tb.Helper()
	if err := json.Unmarshal(p.namespace.Do(p.tb, "GET", p.control+path), v); err != nil {
		p.tb.Fatalf("GET %s: %v", path, err)
	}
}
