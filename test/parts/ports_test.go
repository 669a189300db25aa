package parts

import (
	"net"
	"slices"
	"testing"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
)

// TestFreePort holds that a port that was found is nobody else's until the test ends,
// and that one that somebody has is not found.
func TestFreePort(t *testing.T) {
	networks := []string{"tcp", "udp"}
	var port int
	t.Run("while it lasts", func(t *testing.T) {
		port = FreePort(t, networks...)
		if never := chosenByNobody(); len(never) >= leastPorts && !slices.Contains(never, port) {
			t.Errorf("port %d, which the system may choose for others", port)
		}
		listener, err := net.Listen("tcp", process.Loopback(port))
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		if len(chosenByNobody()) >= leastPorts && claim(t, port, networks) {
			t.Error("it is found twice")
		}
	})
	if !claim(t, port, networks) {
		t.Error("it is kept after its test")
	}

	listener, err := net.ListenPacket("udp", process.Loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if claim(t, listener.LocalAddr().(*net.UDPAddr).Port, networks) {
		t.Error("a port that is taken is found")
	}
}
