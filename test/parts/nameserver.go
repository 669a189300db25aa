package parts

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TSIG is the key that the name servers know who may update by.
const (
	TSIGName   = "acme-exporter"
	TSIGSecret = "bmFtZSBzZXJ2ZXJzIGtub3cgdXMgYnkgdGhpcyBrZXk="
)

// Zone is one that a name server has.
type Zone struct {
	Name string // without the final dot
	// Records are those of a zone file beside SOA, owners relative to the zone. Empty
	// where Primary is set.
	Records string
	// Updates lets TXT records be updated by who has the key.
	Updates bool
	// Secondary is the server to be told of changes; empty: none.
	Secondary string
	// Primary is the server that the zone comes from; empty: it is here.
	Primary string
	// Excerpt is what a page tells to write into the server's configuration, with the
	// file's directory as DIR and the secret as SECRET; empty: what the fields above say.
	Excerpt string
}

// soa is the beginning of each zone. A secondary that nobody tells of a change asks
// for it every other second.
const soa = `$TTL 1
@ SOA ns1 hostmaster 1 2 1 600 1
`

// writeZones writes the zone files into dir, as NAME.zone; "root.zone" for the root.
func writeZones(tb testing.TB, dir string, zones []Zone) {
	tb.Helper()
	for _, z := range zones {
		if z.Primary == "" {
			write(tb, filepath.Join(dir, z.file()), []byte("$ORIGIN "+dns.Fqdn(z.Name)+"\n"+soa+z.Records))
		}
	}
}

// excerpt is the page's text, with what is to be put into it.
func (z *Zone) excerpt(dir string) string {
	return strings.NewReplacer("DIR", dir, "SECRET", TSIGSecret).Replace(z.Excerpt)
}

func (z *Zone) file() string {
	if z.Name == "" {
		return "root.zone"
	}
	return z.Name + ".zone"
}

// awaitZones waits until the server at the address has all of the zones.
func (n *Namespace) awaitZones(tb testing.TB, address string, zones []Zone) {
	tb.Helper()
	for _, z := range zones {
		Until(tb, address+" has the zone "+dns.Fqdn(z.Name), func() bool {
			answer, err := n.query(tb.Context(), address, z.Name, dns.TypeSOA)
			return err == nil && answer.Authoritative && len(answer.Answer) == 1
		})
	}
}

// TXT asks the server at the address for the TXT records of name.
func (n *Namespace) TXT(tb testing.TB, address, name string) (values []string) {
	tb.Helper()
	answer, err := n.query(tb.Context(), address, name, dns.TypeTXT)
	if err != nil {
		tb.Fatal(err)
	}
	for _, record := range answer.Answer {
		if txt, ok := record.(*dns.TXT); ok {
			values = append(values, strings.Join(txt.Txt, ""))
		}
	}
	return values
}

// Transfer returns the TXT records of the zone that the server at the address has,
// by their owners.
func (n *Namespace) Transfer(tb testing.TB, address, zone string) map[string][]string {
	tb.Helper()
	conn, err := n.Dial(tb.Context(), "tcp", address+":53")
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	transfer := &dns.Transfer{Conn: &dns.Conn{Conn: conn}}
	envelopes, err := transfer.In(new(dns.Msg).SetAxfr(dns.Fqdn(zone)), "")
	if err != nil {
		tb.Fatal(err)
	}
	values := map[string][]string{}
	for envelope := range envelopes {
		if envelope.Error != nil {
			tb.Fatalf("transfer %s from %s: %v", zone, address, envelope.Error)
		}
		for _, record := range envelope.RR {
			if txt, ok := record.(*dns.TXT); ok {
				owner := strings.TrimSuffix(strings.ToLower(txt.Hdr.Name), ".")
				values[owner] = append(values[owner], strings.Join(txt.Txt, ""))
			}
		}
	}
	return values
}

func (n *Namespace) query(ctx context.Context, address, name string, qtype uint16) (*dns.Msg, error) {
	conn, err := n.Dial(ctx, "tcp", address+":53")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, _, err := new(dns.Client).ExchangeWithConnContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype), &dns.Conn{Conn: conn})
	return answer, err
}

// unconfined returns a copy of a program of a Debian package. Where AppArmor has a
// profile for the program's path, that would keep it from the test's files.
func unconfined(tb testing.TB, dir, name string) string {
	tb.Helper()
	program, err := os.Open(Program(tb, name))
	if err != nil {
		tb.Fatal(err)
	}
	defer program.Close()
	path := filepath.Join(dir, name)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.Copy(file, program); err != nil {
		tb.Fatal(err)
	}
	if err := file.Close(); err != nil {
		tb.Fatal(err)
	}
	return path
}
