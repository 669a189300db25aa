package parts

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"
)

// unboundOptions keep unbound to its own directory and address, have it ask
// servers on this machine, and forget soon what it has heard. Pebble asks over TCP, and
// of many at a time more than ten would have to wait.
const unboundOptions = `server:
  directory: %[1]q
  chroot: ""
  username: ""
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  num-threads: 1
  incoming-num-tcp: 200
  interface: %[2]s
  do-ip6: no
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "iterator"
  root-hints: "root.hints"
  cache-max-ttl: 1
  cache-max-negative-ttl: 0
  infra-host-ttl: 1
remote-control:
  control-enable: no
`

// StartUnbound starts the recursive name server unbound at the address, port 53,
// which finds its way from the name server root.
func (n *Namespace) StartUnbound(tb testing.TB, address, root string) {
	tb.Helper()
	dir := tb.TempDir()
	write(tb, filepath.Join(dir, "root.hints"), []byte(". 3600 NS ns.root.\nns.root. 3600 A "+root+"\n"))
	file := filepath.Join(dir, "unbound.conf")
	write(tb, file, fmt.Appendf(nil, unboundOptions, dir, address))
	Start(tb, n.Command(unconfined(tb, dir, "unbound"), "-d", "-c", file))
	Until(tb, address+" knows the root", func() bool {
		answer, err := n.query(tb.Context(), address, "", dns.TypeNS)
		return err == nil && answer.Rcode == dns.RcodeSuccess && len(answer.Answer) > 0
	})
}
