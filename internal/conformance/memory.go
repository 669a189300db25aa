package conformance

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"time"
)

// maxRemembered bounds each of a memory's maps. A CA has few issuers.
const maxRemembered = 100

// memory remembers what was found of issuers' certificates, which are the same for
// all that they issue: a signature with P-384 takes a millisecond to verify. It never
// remembers anything of a leaf, and nothing that failed.
type memory struct {
	mu      sync.Mutex // guards the fields below
	links   map[digest]bool
	issuers map[trustKey]issuer
}

type digest [sha256.Size]byte

// trustKey is a leaf's chain without the leaf, and whom it has to lead to.
type trustKey struct {
	roots *x509.CertPool
	above digest
}

// issuer is one of leaves that is trusted for a time.
type issuer struct {
	pool        *x509.CertPool // it alone
	from, until time.Time
}

// remembered is what all checks have in common.
var remembered = memory{links: make(map[digest]bool), issuers: make(map[trustKey]issuer)}

// digestOf is one of the certificates, in their order.
func digestOf(certs ...*x509.Certificate) (d digest) {
	h := sha256.New()
	for _, c := range certs {
		one := sha256.Sum256(c.Raw)
		h.Write(one[:])
	}
	h.Sum(d[:0])
	return d
}

// signed returns why an issuer's certificate is not signed by parent; nil: it is.
func (m *memory) signed(cert, parent *x509.Certificate) error {
	link := digestOf(cert, parent)
	m.mu.Lock()
	known := m.links[link]
	m.mu.Unlock()
	if known {
		return nil
	}
	if err := cert.CheckSignatureFrom(parent); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.links) >= maxRemembered {
		clear(m.links)
	}
	m.links[link] = true
	return nil
}

// trusted returns the pool of the issuer alone that has been found to lead to the
// roots; nil: none has, or not for that time.
func (m *memory) trusted(key trustKey, at time.Time) *x509.CertPool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i, ok := m.issuers[key]; ok && !at.Before(i.from) && !at.After(i.until) {
		return i.pool
	}
	return nil
}

// trust remembers that the verified chain's second certificate leads to the roots.
// One whose own issuers limit names does so for some leaves only.
func (m *memory) trust(key trustKey, verified []*x509.Certificate) {
	i := issuer{pool: x509.NewCertPool(), from: verified[1].NotBefore, until: verified[1].NotAfter}
	i.pool.AddCert(verified[1])
	for _, cert := range verified[2:] {
		if limitsNames(cert) {
			return
		}
		if cert.NotBefore.After(i.from) {
			i.from = cert.NotBefore
		}
		if cert.NotAfter.Before(i.until) {
			i.until = cert.NotAfter
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.issuers) >= maxRemembered {
		clear(m.issuers)
	}
	m.issuers[key] = i
}

// limitsNames reports whether the certificate has name constraints.
func limitsNames(cert *x509.Certificate) bool { return has(cert, oidNameConstraints) }

// same reports whether they are one certificate.
func same(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) }
