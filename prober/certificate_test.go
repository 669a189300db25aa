package prober

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// authority is a CA for certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign signs the template; the zero authority signs what is its own issuer.
func (a authority) sign(t *testing.T, template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// newAuthority returns an authority of that name under parent; nil: a root.
func newAuthority(t *testing.T, name string, parent *authority) authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	key := newKey(t)
	if parent == nil {
		parent = &authority{template, key}
	}
	return authority{parent.sign(t, template, key.Public()), key}
}

func TestCertificateChecks(t *testing.T) {
	root := newAuthority(t, "root", nil)
	intermediate := newAuthority(t, "intermediate", &root)
	namesake := newAuthority(t, "intermediate", nil)
	key := newKey(t)
	now := time.Now()
	leaf := func(edit func(*x509.Certificate)) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(0x0abc),
			NotBefore:    now.Add(-time.Hour),
			NotAfter:     now.Add(time.Hour),
			DNSNames:     []string{"b.example", "a.example"},
		}
		if edit != nil {
			edit(template)
		}
		return intermediate.sign(t, template, key.Public())
	}
	good := leaf(nil)
	named := func(names ...string) *x509.Certificate {
		return leaf(func(c *x509.Certificate) { c.DNSNames = names })
	}
	for _, tt := range []struct {
		name   string
		chain  []*x509.Certificate
		key    *ecdsa.PrivateKey
		failed []probe.Check
		detail string
	}{
		{"good", []*x509.Certificate{good, intermediate.cert}, key, nil, ""},
		{"with root", []*x509.Certificate{good, intermediate.cert, root.cert}, key, nil, ""},
		{"another key", []*x509.Certificate{good, intermediate.cert}, newKey(t), []probe.Check{probe.CheckKey}, "key: the certificate is for another key"},
		{"another name", []*x509.Certificate{named("a.example", "c.example"), intermediate.cert}, key, []probe.Check{probe.CheckNames}, `names: the certificate is for "a.example", "c.example", asked for was "a.example", "b.example"`},
		{"a name more", []*x509.Certificate{named("a.example", "b.example", "c.example"), intermediate.cert}, key, []probe.Check{probe.CheckNames}, `"c.example"`},
		{"a name less", []*x509.Certificate{named("a.example"), intermediate.cert}, key, []probe.Check{probe.CheckNames}, `is for "a.example", asked`},
		{"a name twice", []*x509.Certificate{named("a.example", "a.example", "b.example"), intermediate.cert}, key, []probe.Check{probe.CheckNames}, "names: "},
		{"no name", []*x509.Certificate{named(), intermediate.cert}, key, []probe.Check{probe.CheckNames}, "no name"},
		{"upper case", []*x509.Certificate{named("A.example", "b.example"), intermediate.cert}, key, []probe.Check{probe.CheckNames}, `"A.example"`},
		{
			"an address more",
			[]*x509.Certificate{leaf(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} }), intermediate.cert},
			key,
			[]probe.Check{probe.CheckNames},
			`names: the certificate is for "192.0.2.1", "a.example", "b.example", asked for was "a.example", "b.example"`,
		},
		{
			"a name of an unknown kind more",
			[]*x509.Certificate{leaf(func(c *x509.Certificate) {
				c.DNSNames = nil
				c.ExtraExtensions = []pkix.Extension{{Id: oidSubjectAltName, Value: append([]byte{0x30, 0x1a}, "\x82\x09a.example\x82\x09b.example\x88\x02\x2a\x03"...)}}
			}), intermediate.cert},
			key,
			[]probe.Check{probe.CheckNames},
			"has 3 alternative names",
		},
		{
			"expired",
			[]*x509.Certificate{leaf(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }), intermediate.cert},
			key,
			[]probe.Check{probe.CheckValidity},
			"validity: the certificate is not valid after 2",
		},
		{
			"not yet valid",
			[]*x509.Certificate{leaf(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) }), intermediate.cert},
			key,
			[]probe.Check{probe.CheckValidity},
			"validity: the certificate is not valid before 2",
		},
		{"out of order", []*x509.Certificate{good, root.cert, intermediate.cert}, key, []probe.Check{probe.CheckOrder, probe.CheckSignatures}, "order: certificate 1 is not issued by certificate 2"},
		{"a stranger behind", []*x509.Certificate{good, intermediate.cert, namesake.cert}, key, []probe.Check{probe.CheckOrder, probe.CheckSignatures}, "order: certificate 2 is not issued by certificate 3"},
		{"signed by a namesake", []*x509.Certificate{good, namesake.cert}, key, []probe.Check{probe.CheckSignatures}, "signatures: certificate 1 is not signed by certificate 2"},
		{"alone", []*x509.Certificate{good}, key, []probe.Check{probe.CheckOrder}, "order: the leaf comes without its issuer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := certificateFacts(tt.chain, &tt.key.PublicKey, []string{"a.example", "b.example"}, now)
			var failed, all []probe.Check
			for _, c := range f.Checks {
				all = append(all, c.Check)
				if !c.Passed {
					failed = append(failed, c.Check)
				}
			}
			wantList(t, "checks", all, probe.Checks())
			wantList(t, "failed", failed, tt.failed)
			detail := failedChecks(f.Checks)
			if !strings.Contains(detail, tt.detail) || (detail == "") != (tt.detail == "") {
				t.Errorf("detail %q, want %q in it", detail, tt.detail)
			}
			if f.Serial != "0abc" || f.Chain != len(tt.chain) || f.Issuer != "CN=intermediate" {
				t.Errorf("facts %+v", f)
			}
		})
	}
}

func TestParseChain(t *testing.T) {
	root := newAuthority(t, "root", nil)
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	cert := block("CERTIFICATE", root.cert.Raw)
	for _, tt := range []struct {
		name  string
		body  []byte
		count int
		err   string
	}{
		{"one", cert, 1, ""},
		{"text around", slices.Concat([]byte("subject=x\n"), cert, []byte("\nthe end\n")), 1, ""},
		{"as many as are read", slices.Repeat(cert, maxChain), maxChain, ""},
		{"more", slices.Repeat(cert, maxChain+1), 0, "more than 10 certificates"},
		{"empty", nil, 0, "no certificate in it"},
		{"HTML", []byte("<html>"), 0, "no certificate in it"},
		{"a key", slices.Concat(cert, block("PRIVATE KEY", []byte("x"))), 0, `a PEM block of the type "PRIVATE KEY"`},
		{"not DER", slices.Concat(cert, block("CERTIFICATE", []byte("x"))), 0, "certificate 2: x509: malformed certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chain, err := parseChain(tt.body)
			if len(chain) != tt.count {
				t.Errorf("%d certificates, want %d", len(chain), tt.count)
			}
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestHugeSerial(t *testing.T) {
	leaf := &x509.Certificate{SerialNumber: new(big.Int).Lsh(big.NewInt(1), 1<<20)}
	f := certificateFacts([]*x509.Certificate{leaf}, &newKey(t).PublicKey, nil, time.Now())
	if n := len(f.Serial); n > maxQuoted {
		t.Errorf("a serial number of %d bytes is kept", n)
	}
}

// TestHugeKey holds that a CA cannot have us compute for minutes: no deadline
// ends the check of a signature.
func TestHugeKey(t *testing.T) {
	n := new(big.Int).Lsh(big.NewInt(1), 1<<17)
	n.Sub(n, big.NewInt(1))
	chain := []*x509.Certificate{
		{SignatureAlgorithm: x509.SHA256WithRSA, Signature: make([]byte, 1<<14)},
		{
			Version: 3, BasicConstraintsValid: true, IsCA: true,
			PublicKeyAlgorithm: x509.RSA, PublicKey: &rsa.PublicKey{N: n, E: 65537},
		},
	}
	if got, want := checkSignatures(chain), "certificate 2 has an RSA key of 131072 bits, more than 8192"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
