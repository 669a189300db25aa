package conformance

import (
	"crypto/elliptic"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

// TestMemory holds that what is remembered of one leaf's issuers says nothing of
// another chain, other roots, another time or other names.
func TestMemory(t *testing.T) {
	w := newWorld(t)
	cross := newAuthority(t, "cross", &w.root, newKey(t, elliptic.P256()), func(c *x509.Certificate) {
		c.NotAfter = time.Now().Add(24 * time.Hour)
		c.PermittedDNSDomains = []string{"example"}
	})
	limited := newAuthority(t, "intermediate", &cross, w.intermediate.key, nil)
	free := newAuthority(t, "free", &w.root, newKey(t, elliptic.P256()), func(c *x509.Certificate) {
		c.NotAfter = time.Now().Add(24 * time.Hour)
	})
	unlimited := newAuthority(t, "intermediate", &free, w.intermediate.key, nil)
	leaf := w.leaf(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(90 * 24 * time.Hour) })
	abroad := w.leaf(t, func(c *x509.Certificate) { c.DNSNames = []string{"a.elsewhere"} })
	wanted := w.wanted()
	for _, chain := range [][]*x509.Certificate{{leaf, limited.cert, cross.cert}, {leaf, unlimited.cert, free.cert}} {
		for range 2 {
			if detail, proven := checkTrust(chain, wanted); detail != "" || !proven {
				t.Fatalf("%q, proven %t", detail, proven)
			}
		}
	}
	later := wanted
	later.Now = wanted.Now.Add(48 * time.Hour)
	other := newWorld(t).wanted()
	other.Now = wanted.Now
	for _, tt := range []struct {
		name   string
		chain  []*x509.Certificate
		wanted Wanted
		detail string
	}{
		{"a link is missing", []*x509.Certificate{leaf, unlimited.cert}, wanted, "unknown authority"},
		{"other roots", []*x509.Certificate{leaf, unlimited.cert, free.cert}, other, "unknown authority"},
		{"an issuer has expired", []*x509.Certificate{leaf, unlimited.cert, free.cert}, later, "has expired"},
		{"names that an issuer may not have issued", []*x509.Certificate{abroad, limited.cert, cross.cert}, wanted, "not permitted"},
	} {
		if detail, _ := checkTrust(tt.chain, tt.wanted); !strings.Contains(detail, tt.detail) {
			t.Errorf("%s: %q, want %q in it", tt.name, detail, tt.detail)
		}
	}
	for i := range 2 {
		if remembered.signed(cross.cert, free.cert) == nil {
			t.Errorf("attempt %d: a signature by a stranger passes", i+1)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	w := newWorld(t)
	m := memory{links: make(map[digest]bool), issuers: make(map[trustKey]issuer)}
	for i := range 3 * maxRemembered {
		m.links[digest{byte(i), byte(i >> 8)}] = true
		if err := m.signed(w.intermediate.cert, w.root.cert); err != nil {
			t.Fatal(err)
		}
		delete(m.links, digestOf(w.intermediate.cert, w.root.cert))
		m.trust(trustKey{above: digest{byte(i), byte(i >> 8)}}, []*x509.Certificate{nil, w.intermediate.cert})
		if len(m.links) > maxRemembered || len(m.issuers) > maxRemembered {
			t.Fatalf("%d links, %d issuers", len(m.links), len(m.issuers))
		}
	}
}
