package revocation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const listURL = "http://ca.example/1.crl"

// read reads a CRL that is one.
func read(t testing.TB, der []byte, serial *big.Int) *CRL {
	t.Helper()
	c, err := ReadCRL(bytes.NewReader(der), serial)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// check is what a good CRL of a passes.
func check(a *authority) CRLCheck {
	return CRLCheck{URL: listURL, ContentType: typeCRL, Issuers: []*x509.Certificate{a.certificate}, Now: now, Leaf: true}
}

func TestCRL(t *testing.T) {
	for name, key := range signers(t) {
		t.Run(name, func(t *testing.T) {
			a := newAuthorityOf(t, "issuer", key)
			der := a.crl(t, scoped(t, list(), point{Users: true}, listURL))
			c := read(t, der, big.NewInt(7))
			f, issuer := c.Check(check(a))
			wantFlaws(t, f.Flaws)
			if issuer != a.certificate {
				t.Errorf("issuer %v", issuer)
			}
			want := probe.CRL{
				URL: listURL, Issuer: "CN=issuer", ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour),
				Number: "42", Entries: 2, Bytes: int64(len(der)), Sharded: true,
			}
			if f.Flaws = nil; f.Issuer != want.Issuer || !f.ThisUpdate.Equal(want.ThisUpdate) || !f.NextUpdate.Equal(want.NextUpdate) ||
				f.Number != want.Number || f.Entries != want.Entries || f.Bytes != want.Bytes || !f.Sharded {
				t.Errorf("got %+v, want %+v", f, want)
			}
			if c.Listed == nil || c.Listed.Reason != 4 || !c.Listed.At.Equal(now.Add(-2*time.Hour)) {
				t.Errorf("listed %+v", c.Listed)
			}
		})
	}
}

func TestCRLLists(t *testing.T) {
	der := newAuthority(t, "issuer").crl(t, list())
	long := new(big.Int).Lsh(big.NewInt(1), 100)
	for _, tt := range []struct {
		serial *big.Int
		listed bool
	}{{big.NewInt(7), true}, {long, true}, {big.NewInt(8), false}, {big.NewInt(0x0700), false}, {nil, false}} {
		if got := read(t, der, tt.serial).Listed; (got != nil) != tt.listed {
			t.Errorf("%v: listed %+v, want %v", tt.serial, got, tt.listed)
		}
	}
}

func TestCRLFlaws(t *testing.T) {
	a, other := newAuthority(t, "issuer"), newAuthority(t, "other")
	twin := newAuthority(t, "issuer") // the same name, another key
	mute := newAuthority(t, "issuer", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
	edit := func(change func(*x509.RevocationList)) []byte {
		l := list()
		change(l)
		return a.crl(t, l)
	}
	broken := a.crl(t, list())
	broken[len(broken)-1] ^= 1
	entry := bytes.Clone(a.crl(t, list()))
	entry[bytes.Index(entry, []byte{2, 1, 7})+2] = 9 // another serial number, under the same signature
	for _, tt := range []struct {
		name  string
		der   []byte
		check func(*CRLCheck)
		want  []probe.FlawKind
	}{
		{name: "content type", der: a.crl(t, list()), check: func(c *CRLCheck) { c.ContentType = "text/html" }, want: []probe.FlawKind{probe.FlawCRLContentType}},
		{name: "content type with a parameter", der: a.crl(t, list()), check: func(c *CRLCheck) { c.ContentType = "application/PKIX-CRL; x=y" }},
		{name: "wrong signature", der: broken, want: []probe.FlawKind{probe.FlawCRLSignature}},
		{name: "changed entry", der: entry, want: []probe.FlawKind{probe.FlawCRLSignature}},
		{name: "wrong issuer", der: other.crl(t, list()), want: []probe.FlawKind{probe.FlawCRLIssuer}},
		{name: "key of the same name", der: twin.crl(t, list()), want: []probe.FlawKind{probe.FlawCRLSignature}},
		{name: "one of several of that name", der: twin.crl(t, list()), check: func(c *CRLCheck) { c.Issuers = append(c.Issuers, twin.certificate) }},
		{name: "key that may not sign CRLs", der: a.crl(t, list()), check: func(c *CRLCheck) {
			may := *mute.certificate
			may.PublicKey = a.certificate.PublicKey
			c.Issuers = []*x509.Certificate{&may}
		}, want: []probe.FlawKind{probe.FlawCRLSignature}},
		{name: "expired", der: edit(func(l *x509.RevocationList) { l.NextUpdate = now }), want: []probe.FlawKind{probe.FlawCRLStale}},
		{name: "future", der: edit(func(l *x509.RevocationList) { l.ThisUpdate = now.Add(2 * time.Minute) }), want: []probe.FlawKind{probe.FlawCRLStale}},
		{name: "nearly future", der: edit(func(l *x509.RevocationList) { l.ThisUpdate = now.Add(30 * time.Second) })},
		{name: "another URL", der: a.crl(t, scoped(t, list(), point{}, "http://ca.example/2.crl")), want: []probe.FlawKind{probe.FlawCRLIDP}},
		{name: "one of its URLs", der: a.crl(t, scoped(t, list(), point{}, "http://ca.example/2.crl", listURL))},
		{name: "CAs only", der: a.crl(t, scoped(t, list(), point{CAs: true}, listURL)), want: []probe.FlawKind{probe.FlawCRLIDP}},
		{name: "CAs only, and no leaf asks", der: a.crl(t, scoped(t, list(), point{CAs: true}, listURL)), check: func(c *CRLCheck) { c.Leaf = false }},
		{name: "indirect", der: a.crl(t, scoped(t, list(), point{Indirect: true})), want: []probe.FlawKind{probe.FlawCRLIDP}},
		{name: "attributes only", der: a.crl(t, scoped(t, list(), point{Attributes: true})), want: []probe.FlawKind{probe.FlawCRLIDP}},
		{name: "some reasons", der: a.crl(t, scoped(t, list(), point{Reasons: asn1.BitString{Bytes: []byte{0x40}, BitLength: 2}})), want: []probe.FlawKind{probe.FlawCRLIDP}},
		{name: "without a number", der: handmade(t, a, 3, false), want: []probe.FlawKind{probe.FlawCRLNumber}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := check(a)
			if tt.check != nil {
				tt.check(&o)
			}
			f, _ := read(t, tt.der, nil).Check(o)
			wantFlaws(t, f.Flaws, tt.want...)
		})
	}
}

func TestCRLUnreadable(t *testing.T) {
	a := newAuthority(t, "issuer")
	good := a.crl(t, list())
	edit := func(change func(*x509.RevocationList)) []byte {
		l := list()
		change(l)
		return a.crl(t, l)
	}
	// Its second AlgorithmIdentifier is the one of ECDSA with SHA-384.
	other := bytes.Clone(good)
	other[bytes.LastIndex(other, []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2})+7] = 3
	unknown := []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
	for name, tt := range map[string]struct {
		der  []byte
		want string
	}{
		"empty":                      {nil, "EOF"},
		"HTML":                       {[]byte("<html><body>it works</body></html>"), "tag"},
		"PEM":                        {pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: good}), "tag"},
		"half":                       {good[:len(good)/2], "EOF"},
		"one byte less":              {good[:len(good)-1], "EOF"},
		"one byte more":              {append(bytes.Clone(good), 0), "more after the end"},
		"a certificate":              {a.certificate.Raw, "algorithm"},
		"a long way":                 {[]byte{0x30, 0x84, 0x10, 0, 0, 0, 0x30, 0x84, 0x0f, 0, 0, 0}, "EOF"},
		"indefinite":                 {[]byte{0x30, 0x80, 0x30, 0x80, 0, 0, 0, 0}, "length"},
		"lengths that do not fit":    {[]byte{0x30, 0x03, 0x30, 0x20, 0x30, 0, 0, 0}, "longer"},
		"a length that is too long":  {[]byte{0x30, 0x81, 0x05, 0x30, 0x03, 0x02, 0x01, 0x01}, "as short as it can be"},
		"zeros before a length":      {[]byte{0x30, 0x83, 0x00, 0x01, 0x00, 0x30, 0x03, 0x02, 0x01, 0x01}, "as short as it can be"},
		"another algorithm":          {other, "the one that is signed"},
		"a critical extension":       {edit(func(l *x509.RevocationList) { l.ExtraExtensions = unknown }), "1.2.3"},
		"a critical one in an entry": {edit(func(l *x509.RevocationList) { l.RevokedCertificateEntries[1].ExtraExtensions = unknown }), "entry 2"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadCRL(bytes.NewReader(tt.der), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestShards(t *testing.T) {
	one := probe.CRL{URL: "http://ca.example/1.crl", Issuer: "CN=a", Number: "1"}
	two := probe.CRL{URL: "http://ca.example/2.crl", Issuer: "CN=a", Number: "2"}
	mirror, foreign := one, two
	mirror.URL, foreign.Issuer = "http://mirror.example/1.crl", "CN=b"
	crls := []probe.CRL{one, mirror, foreign}
	Shards(crls)
	for _, c := range crls {
		wantFlaws(t, c.Flaws)
	}
	crls = []probe.CRL{one, two}
	crls[1].Sharded = true
	Shards(crls)
	wantFlaws(t, crls[0].Flaws, probe.FlawCRLIDP)
	wantFlaws(t, crls[1].Flaws)
}

// handmade makes a CRL of n entries, as large CAs have them.
func handmade(t testing.TB, a *authority, n int, numbered bool) []byte {
	t.Helper()
	algorithm := func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2})
		})
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, n*54+1000))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		algorithm(b)
		b.AddBytes(a.certificate.RawSubject)
		b.AddASN1UTCTime(now.Add(-time.Hour))
		b.AddASN1UTCTime(now.Add(time.Hour))
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for i := range n {
				serial := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(5), 136), big.NewInt(int64(i)))
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1BigInt(serial)
					b.AddASN1UTCTime(now.Add(-2 * time.Hour))
					b.AddBytes([]byte{0x30, 0x0c, 0x30, 0x0a, 6, 3, 0x55, 0x1d, 0x15, 4, 3, 10, 1, 4})
				})
			}
		})
		if numbered {
			b.AddBytes([]byte{0xa0, 0x0e, 0x30, 0x0c, 0x30, 0x0a, 6, 3, 0x55, 0x1d, 20, 4, 3, 2, 1, 5})
		}
	})
	tbs := b.BytesOrPanic()
	digest := sha256.Sum256(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, a.key.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	out := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+200))
	out.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		algorithm(b)
		b.AddASN1BitString(signature)
	})
	return out.BytesOrPanic()
}

// A CRL takes the same memory, whatever its length: all that reading one of a
// hundred thousand entries ever allocates is a small part of it.
func TestCRLMemory(t *testing.T) {
	a := newAuthority(t, "issuer")
	der := handmade(t, a, 100_000, true)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := read(t, der, big.NewInt(7))
	runtime.ReadMemStats(&after)
	f, _ := c.Check(check(a))
	wantFlaws(t, f.Flaws)
	if c.Entries != 100_000 || c.Bytes != int64(len(der)) {
		t.Errorf("%d entries, %d bytes", c.Entries, c.Bytes)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("allocated %d bytes for a CRL of %d", took, len(der))
	}
}

// A signature that needs the whole is not given more than its share.
func TestCRLEd25519Bound(t *testing.T) {
	m := &message{}
	if err := m.use([]byte{0x30, 5, 6, 3, 0x2b, 0x65, 0x70}); err != nil || m.scheme.name != "Ed25519" {
		t.Fatalf("%v, %+v", err, m.scheme)
	}
	if _, err := m.Write(make([]byte, maxBuffered)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Write([]byte{1}); err == nil {
		t.Error("took more than its bound")
	}
}

func FuzzCRL(f *testing.F) {
	a := newAuthority(f, "issuer")
	f.Add(a.crl(f, list()))
	f.Add(a.crl(f, scoped(f, list(), point{Users: true}, listURL)))
	f.Add(a.crl(f, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(time.Hour)}))
	f.Add(handmade(f, a, 2, true))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30, 0x84, 0xff, 0xff, 0xff, 0xf0})
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := ReadCRL(bytes.NewReader(der), big.NewInt(7))
		if err != nil {
			return
		}
		got, _ := c.Check(check(a))
		if got.Bytes != int64(len(der)) {
			t.Errorf("read %d bytes of %d", got.Bytes, len(der))
		}
		// What is stricter takes nothing that this does not take, and sees the same.
		want, err := x509.ParseRevocationList(der)
		if err != nil {
			return
		}
		if len(want.RevokedCertificateEntries) != c.Entries || !want.ThisUpdate.Equal(c.ThisUpdate) || !want.NextUpdate.Equal(c.NextUpdate) {
			t.Errorf("got %+v, want %d entries, %v to %v", c, len(want.RevokedCertificateEntries), want.ThisUpdate, want.NextUpdate)
		}
		if valid := want.CheckSignatureFrom(a.certificate) == nil; valid != (c.CheckSignature(a.certificate) == nil) {
			t.Errorf("the signature is valid: %v", valid)
		}
	})
}

// BenchmarkCRL reads and verifies a CRL of a million entries.
func BenchmarkCRL(b *testing.B) {
	a := newAuthority(b, "issuer")
	der := handmade(b, a, 1_000_000, true)
	b.SetBytes(int64(len(der)))
	b.ReportAllocs()
	for b.Loop() {
		c, err := ReadCRL(bytes.NewReader(der), big.NewInt(7))
		if err != nil {
			b.Fatal(err)
		}
		if f, _ := c.Check(check(a)); len(f.Flaws) > 0 {
			b.Fatalf("%+v", f.Flaws)
		}
	}
}
