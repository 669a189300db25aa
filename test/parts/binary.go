// Package parts starts the real parts that end-to-end tests are made of:
// acme_exporter, CAs and name servers, each as a process of its own, and where
// they need the ports of the RFCs in a network of its own.
package parts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// root is the repository, seen from a test's package.
const root = "../.."

// binary is a program that is built when a test first needs it.
type binary struct {
	name string
	dir  string   // of its module, from a test's package
	args []string // of go build, the package last

	once sync.Once
	path string
	err  error
	out  []byte
}

var (
	// With the race detector: what a test's load shows is worth seeing.
	exporterBinary = &binary{name: "acme_exporter", dir: root, args: []string{"-race", "."}}
	plainBinary    = &binary{name: "acme_exporter-plain", dir: root, args: []string{"."}}
	// Without it: Pebble has races of its own.
	caBinary = &binary{name: "ca", dir: root + "/test", args: []string{"./ca"}}
)

// built is where the binaries of this test process are.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// Main runs the tests and removes what was built for them.
func Main(m *testing.M) int {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	return code
}

// build returns the path of b's program.
func (b *binary) build(tb testing.TB) string {
	tb.Helper()
	built.once.Do(func() { built.dir, built.err = os.MkdirTemp("", "acme_exporter-test-") })
	if built.err != nil {
		tb.Fatal(built.err)
	}
	b.once.Do(func() {
		b.path = filepath.Join(built.dir, b.name)
		cmd := exec.Command("go", append([]string{"build", "-buildvcs=false", "-o", b.path}, b.args...)...)
		cmd.Dir = b.dir
		b.out, b.err = cmd.CombinedOutput()
	})
	if b.err != nil {
		tb.Fatalf("build %s: %v\n%s", b.name, b.err, b.out)
	}
	return b.path
}

// PlainBinary returns the path of acme_exporter as it is shipped, without the
// race detector.
func PlainBinary(tb testing.TB) string {
	tb.Helper()
	return plainBinary.build(tb)
}

// StepCABinary returns the path of the pinned step-ca, which is built once for
// this machine and kept in the user's cache.
func StepCABinary(tb testing.TB) string {
	tb.Helper()
	return strings.TrimSpace(Make(tb, "tool-step-ca"))
}

// Make runs a target of the repository's Makefile, with variables such as NAME=value,
// and returns its output.
func Make(tb testing.TB, target string, variables ...string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "make", append([]string{"--no-print-directory", "-s", target}, variables...)...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("make %s: %v\n%s", target, err, stderr.Bytes())
	}
	return string(out)
}
