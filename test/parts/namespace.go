package parts

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Namespace is a network of its own on this machine: nothing but 127.0.0.0/8 and
// ::1, with every port free, 53, 80 and 443 too, and names that are resolved by a
// server of the test's. A nil Namespace is the machine's own network.
//
// It needs Linux and root. What is started in it ends with it, and it ends with
// the test process, however that ends.
type Namespace struct {
	pid     string // of the process that holds it
	network *os.File
	client  *http.Client
}

// holder sets the namespace up, says so, and waits for the end of its input: that
// of the test or of its process. Then it kills what is still there.
const holder = `
ip link set lo up
for file in resolv.conf hosts nsswitch.conf; do
	mount --bind "$1/$file" "/etc/$file"
done
echo ready
cat >/dev/null
here=$(readlink /proc/self/ns/net)
for process in /proc/[0-9]*; do
	[ "${process#/proc/}" != $$ ] || continue
	[ "$(readlink "$process/ns/net")" != "$here" ] || kill -9 "${process#/proc/}" || :
done
`

// NewNamespace makes a network whose programs ask the DNS server at the address
// nameserver, port 53.
func NewNamespace(tb testing.TB, nameserver string) *Namespace {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Fatal("only root can make a network of its own for the test: run it as root")
	}
	dir := tb.TempDir()
	for name, content := range map[string]string{
		"resolv.conf":   "nameserver " + nameserver + "\noptions timeout:5 attempts:2\n",
		"hosts":         "127.0.0.1 localhost\n::1 localhost\n",
		"nsswitch.conf": "hosts: files dns\n", // and no service of the machine's
	} {
		// For programs that drop their privileges, too.
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--net", "--mount", "sh", "-ec", holder, "holder", dir)
	log := new(lockedBuffer)
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = stdin.Close() // it has ended: nobody to tell
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		tb.Fatalf("make a network namespace: it said %q: %v\n%s", line, err, log.String())
	}
	n := &Namespace{pid: strconv.Itoa(cmd.Process.Pid)}
	if n.network, err = os.Open("/proc/" + n.pid + "/ns/net"); err != nil {
		tb.Fatal(err)
	}
	transport := &http.Transport{DialContext: n.Dial}
	n.client = &http.Client{Transport: transport}
	tb.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = n.network.Close()
	})
	return n
}

// Ports are those of the RFCs, in the namespace.
func (n *Namespace) Ports() Ports { return Ports{HTTP: 80, TLS: 443, DNS: 53, Namespace: n} }

// Command is one that runs in the namespace.
func (n *Namespace) Command(name string, args ...string) *exec.Cmd {
	if n == nil {
		return exec.Command(name, args...)
	}
	// It becomes the program, so that signals reach that.
	return exec.Command("nsenter", append([]string{"--target", n.pid, "--net", "--mount", "--", name}, args...)...)
}

// Client makes HTTP requests in the namespace.
func (n *Namespace) Client() *http.Client {
	if n == nil {
		return http.DefaultClient
	}
	return n.client
}

// Dial connects to an IP address in the namespace.
func (n *Namespace) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.within(func() error {
		conn, err = (&net.Dialer{Timeout: Timeout, FallbackDelay: -1}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens at an IP address in the namespace.
func (n *Namespace) Listen(ctx context.Context, network, address string) (l net.Listener, err error) {
	err = n.within(func() error {
		l, err = new(net.ListenConfig).Listen(ctx, network, address)
		return err
	})
	return l, err
}

// within has f make its sockets in the namespace, where they stay.
func (n *Namespace) within(f func() error) error {
	if n == nil {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread says where the process is: another one has to go,
			// while this one is kept busy.
			defer runtime.UnlockOSThread()
			done <- n.within(f)
			return
		}
		// This thread is nobody else's: it ends with the goroutine.
		if err := unix.Setns(int(n.network.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// AwaitTCP waits until somebody listens at the address in the namespace.
func (n *Namespace) AwaitTCP(tb testing.TB, address string) {
	tb.Helper()
	Until(tb, "somebody listens at "+address, func() bool {
		ctx, cancel := context.WithTimeout(tb.Context(), time.Second)
		defer cancel()
		conn, err := n.Dial(ctx, "tcp", address)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
}
