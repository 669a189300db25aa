package parts

import (
	"bufio"
	"io"
	"net"
	"os"
	"strings"
	"testing"
)

// TestNamespace holds that a namespace is a network apart, that its programs ask
// the name server given, and that they end with it.
func TestNamespace(t *testing.T) {
	var pid string
	t.Run("inside", func(t *testing.T) {
		n := NewNamespace(t, "127.0.0.9")
		for _, address := range []string{"127.0.0.77:80", "[::1]:80"} {
			l, err := n.Listen(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				if conn, err := l.Accept(); err == nil {
					_, _ = io.WriteString(conn, "inside")
					_ = conn.Close()
				}
			}()
			conn, err := n.Dial(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			if said, err := io.ReadAll(conn); string(said) != "inside" || err != nil {
				t.Errorf("at %s: %q, %v", address, said, err)
			}
			_ = conn.Close()
			if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.77:80"); err == nil {
				t.Error("it is reached from without")
				_ = conn.Close()
			}
		}
		out, err := n.Command("cat", "/etc/resolv.conf").Output()
		if err != nil || !strings.HasPrefix(string(out), "nameserver 127.0.0.9\n") {
			t.Errorf("resolv.conf: %q, %v", out, err)
		}

		// It does not end by itself, and nobody kills it but the namespace.
		cmd := n.Command("sh", "-c", "sleep 1000 & echo $!; wait")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if pid, err = bufio.NewReader(stdout).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		go func() { _ = cmd.Wait() }() // it is killed
		pid = strings.TrimSpace(pid)
	})
	Until(t, "the program has ended with its namespace", func() bool {
		// Nobody has to have waited for it.
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}
