package process

import (
	"fmt"
	"io"
	"net"
	"strconv"
)

// FreePort returns a port of 127.0.0.1 that is free on every one of networks
// ("tcp", "udp"): port, or one that the system chooses if it is 0. Another
// process can take it before it is used.
func FreePort(port int, networks ...string) (int, error) {
	var err error
	// The system chooses for one network; whether the others have that port
	// free, too, is luck.
	for range 20 {
		var free int
		if free, err = listen(port, networks); err == nil {
			return free, nil
		}
		if port != 0 {
			break
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// listen listens on every network, for a moment, and returns the port.
func listen(port int, networks []string) (int, error) {
	for _, network := range networks {
		var closer io.Closer
		if network == "udp" {
			conn, err := net.ListenPacket(network, Loopback(port))
			if err != nil {
				return 0, err
			}
			closer, port = conn, conn.LocalAddr().(*net.UDPAddr).Port
		} else {
			listener, err := net.Listen(network, Loopback(port))
			if err != nil {
				return 0, err
			}
			closer, port = listener, listener.Addr().(*net.TCPAddr).Port
		}
		defer closer.Close()
	}
	return port, nil
}

// Loopback returns 127.0.0.1:port.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
