package parts

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"testing"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
)

// Ports are where acme_exporter's responders listen, on 127.0.0.1. A CA has to
// know them before acme_exporter runs.
type Ports struct {
	HTTP, TLS, DNS int
	// Namespace is the network in which all of it is.
	Namespace *Namespace
}

// NewPorts finds ports that are free, and keeps them until the test ends; see
// [FreePort].
func NewPorts(tb testing.TB) Ports {
	tb.Helper()
	return Ports{HTTP: FreePort(tb, "tcp"), TLS: FreePort(tb, "tcp"), DNS: FreePort(tb, "tcp", "udp")}
}

// firstPort and leastPorts are where ports are looked for: from firstPort to those
// that the system gives to whoever asks for none, if there are so many.
const firstPort, leastPorts = 20_000, 1_000

// FreePort finds a port of 127.0.0.1 that is free on every one of networks ("tcp",
// "udp"). Until the test ends it is nobody else's: the system does not choose it for a
// connection or a listener, and another test, of this process or of another, does not
// find it. Only who listens at fixed ports can be in the way.
func FreePort(tb testing.TB, networks ...string) int {
	tb.Helper()
	ports := chosenByNobody()
	if len(ports) < leastPorts {
		port, err := process.FreePort(0, networks...) // which may be taken until it is used
		if err != nil {
			tb.Fatal(err)
		}
		return port
	}
	for _, i := range rand.Perm(len(ports)) {
		if claim(tb, ports[i], networks) {
			return ports[i]
		}
	}
	tb.Fatalf("no port from %d to %d is free", ports[0], ports[len(ports)-1])
	return 0
}

// chosenByNobody returns the ports from firstPort on that are below those which the
// system chooses from.
func chosenByNobody() (ports []int) {
	var first int
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		_, err = fmt.Sscan(string(text), &first)
	}
	if err != nil {
		return nil
	}
	for port := firstPort; port < first; port++ {
		ports = append(ports, port)
	}
	return ports
}

// claim reports whether the port is free, and the test's until it ends. A claim is an
// abstract socket, which has no file, and ends with its process.
func claim(tb testing.TB, port int, networks []string) bool {
	tb.Helper()
	mine, err := net.Listen("unix", fmt.Sprintf("@acme_exporter-test-port-%d", port))
	if err != nil {
		return false
	}
	if _, err := process.FreePort(port, networks...); err != nil {
		_ = mine.Close()
		return false
	}
	tb.Cleanup(func() { _ = mine.Close() })
	return true
}
