package parts

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// namedOptions keep named to its own directory and address. Where it knows of a
// secondary it tells that at once, and nobody else.
const namedOptions = `options {
	directory %[1]q;
	pid-file none;
	lock-file none;
	session-keyfile none;
	listen-on { %[2]s; };
	listen-on-v6 { none; };
	notify-source %[2]s;
	notify explicit;
	notify-delay 0;
	recursion no;
	dnssec-validation no;
	allow-transfer { any; };
};
controls {};
key %[3]q { algorithm hmac-sha256; secret %[4]q; };
`

// StartNamed starts BIND's named at the address, port 53, and waits until it has
// the zones.
func (n *Namespace) StartNamed(tb testing.TB, address string, zones ...Zone) {
	tb.Helper()
	// It listens at addresses that an interface has.
	if out, err := n.Command("ip", "address", "add", address+"/8", "dev", "lo").CombinedOutput(); err != nil {
		tb.Fatalf("give the loopback interface the address %s: %v\n%s", address, err, out)
	}
	dir := tb.TempDir()
	writeZones(tb, dir, zones)
	var text strings.Builder
	fmt.Fprintf(&text, namedOptions, dir, address, TSIGName, TSIGSecret)
	for _, z := range zones {
		if z.Excerpt != "" {
			text.WriteString(z.excerpt(dir))
			continue
		}
		fmt.Fprintf(&text, "zone %q {\n\tfile %q;\n", z.Name+".", z.file())
		if z.Primary != "" {
			fmt.Fprintf(&text, "\ttype secondary;\n\tprimaries { %s; };\n", z.Primary)
		} else {
			text.WriteString("\ttype primary;\n")
		}
		if z.Updates {
			fmt.Fprintf(&text, "\tupdate-policy { grant %q zonesub TXT; };\n", TSIGName)
		}
		if z.Secondary != "" {
			fmt.Fprintf(&text, "\talso-notify { %s; };\n", z.Secondary)
		}
		text.WriteString("};\n")
	}
	file := filepath.Join(dir, "named.conf")
	write(tb, file, []byte(text.String()))
	Start(tb, n.Command(unconfined(tb, dir, "named"), "-4", "-g", "-n", "1", "-c", file))
	n.awaitZones(tb, address, zones)
}
