package parts

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// knotOptions keep knotd to its own directory and address.
const knotOptions = `server:
  rundir: %[1]q
  listen: %[2]s@53
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
  - target: stderr
    any: info
database:
  storage: %[1]q
key:
  - id: %[3]s
    algorithm: hmac-sha256
    secret: %[4]s
acl:
  - id: update
    key: %[3]s
    action: update
    update-type: TXT
  - id: transfer
    address: 127.0.0.0/8
    action: [transfer, notify]
template:
  - id: default
    storage: %[1]q
`

// StartKnot starts Knot's knotd at the address, port 53, and waits until it has the
// zones.
func (n *Namespace) StartKnot(tb testing.TB, address string, zones ...Zone) {
	tb.Helper()
	dir := tb.TempDir()
	writeZones(tb, dir, zones)
	var text, remotes, list strings.Builder
	fmt.Fprintf(&text, knotOptions, dir, address, TSIGName, TSIGSecret)
	for i, z := range zones {
		if z.Excerpt != "" {
			text.WriteString(z.excerpt(dir))
			continue
		}
		fmt.Fprintf(&list, "  - domain: %q\n    file: %q\n    acl: [transfer%s]\n", z.Name+".", z.file(),
			map[bool]string{true: ", update"}[z.Updates])
		for option, peer := range map[string]string{"master": z.Primary, "notify": z.Secondary} {
			if peer == "" {
				continue
			}
			id := fmt.Sprintf("%s%d", option, i)
			fmt.Fprintf(&remotes, "  - id: %s\n    address: %s@53\n    via: %s\n", id, peer, address)
			fmt.Fprintf(&list, "    %s: %s\n", option, id)
		}
	}
	if remotes.Len() > 0 {
		text.WriteString("remote:\n" + remotes.String())
	}
	if list.Len() > 0 {
		text.WriteString("zone:\n" + list.String())
	}
	file := filepath.Join(dir, "knot.conf")
	write(tb, file, []byte(text.String()))
	Start(tb, n.Command(unconfined(tb, dir, "knotd"), "--config", file))
	n.awaitZones(tb, address, zones)
}
