package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// authority is a CA for certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(tb testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// rsaKey is an RSA key, the same one for all.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return key
})

// sign signs the template.
func (a authority) sign(tb testing.TB, template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// newAuthority returns an authority of that name under parent; nil: a root.
func newAuthority(tb testing.TB, name string, parent *authority, key crypto.Signer, edit func(*x509.Certificate)) authority {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(400 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	if edit != nil {
		edit(template)
	}
	if parent == nil {
		parent = &authority{template, key}
	}
	return authority{parent.sign(tb, template, key.Public()), key}
}

// world is a CA, and a key that it certifies.
type world struct {
	root, intermediate authority
	key                crypto.Signer
}

func newWorld(tb testing.TB) world {
	w := world{key: newKey(tb, elliptic.P256())}
	w.root = newAuthority(tb, "root", nil, newKey(tb, elliptic.P256()), nil)
	w.intermediate = newAuthority(tb, "intermediate", &w.root, newKey(tb, elliptic.P256()), nil)
	return w
}

// template is that of a good leaf.
func template() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: new(big.Int).Lsh(big.NewInt(0x0abc), 64),
		NotBefore:    time.Now().Add(-time.Hour).Truncate(time.Second),
		NotAfter:     time.Now().Add(time.Hour).Truncate(time.Second),
		DNSNames:     []string{"b.example", "a.example"},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// leaf returns one that was edited before it was signed; nil: a good one.
func (w world) leaf(tb testing.TB, edit func(*x509.Certificate)) *x509.Certificate {
	tb.Helper()
	t := template()
	if edit != nil {
		edit(t)
	}
	return w.intermediate.sign(tb, t, w.key.Public())
}

// wanted is what a good leaf is compared with, by all checks but lint.
func (w world) wanted() Wanted {
	roots := x509.NewCertPool()
	roots.AddCert(w.root.cert)
	return Wanted{
		Key: w.key.Public(), Names: []string{"a.example", "b.example"}, Now: time.Now(),
		Public: true, MaxLifetime: 90 * 24 * time.Hour, Roots: roots,
	}
}

// withoutLint are the checks that need neither zlint nor a list of CT logs.
func withoutLint() []probe.Check {
	return slices.DeleteFunc(probe.Checks(), func(c probe.Check) bool { return c == probe.CheckLint || c == probe.CheckSCTs })
}

// made returns the checks that were made, and those that failed.
func made(results []probe.CheckResult) (all, failed []probe.Check) {
	for _, r := range results {
		all = append(all, r.Check)
		if !r.Passed {
			failed = append(failed, r.Check)
		}
	}
	return all, failed
}

// noteOf returns what was noted about the check.
func noteOf(results []probe.CheckResult, check probe.Check) string {
	for _, r := range results {
		if r.Check == check {
			return r.Note
		}
	}
	return ""
}

func wantList[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// verify checks which checks fail, and that the words say why.
func verify(t *testing.T, results []probe.CheckResult, failed []probe.Check, detail string) {
	t.Helper()
	all, got := made(results)
	wantList(t, "checks", all, withoutLint())
	wantList(t, "failed", got, failed)
	if words := Failures(results); !strings.Contains(words, detail) || (words == "") != (detail == "") {
		t.Errorf("detail %q, want %q in it", words, detail)
	}
}

func TestRequest(t *testing.T) {
	w := newWorld(t)
	namesake := newAuthority(t, "intermediate", nil, newKey(t, elliptic.P256()), nil)
	now := time.Now()
	good := w.leaf(t, nil)
	named := func(names ...string) *x509.Certificate {
		return w.leaf(t, func(c *x509.Certificate) { c.DNSNames = names })
	}
	type chain = []*x509.Certificate
	type checks = []probe.Check
	above := w.intermediate.cert
	for _, tt := range []struct {
		name   string
		chain  chain
		key    crypto.Signer
		failed checks
		detail string
	}{
		{"good", chain{good, above}, w.key, nil, ""},
		{"with root", chain{good, above, w.root.cert}, w.key, nil, ""},
		{"another key", chain{good, above}, newKey(t, elliptic.P256()), checks{probe.CheckKey}, "key: the certificate is for another key"},
		{"another kind of key", chain{good, above}, rsaKey(), checks{probe.CheckKey}, "key: "},
		{"another name", chain{named("a.example", "c.example"), above}, w.key, checks{probe.CheckNames}, `names: the certificate is for "a.example", "c.example", asked for was "a.example", "b.example"`},
		{"a name more", chain{named("a.example", "b.example", "c.example"), above}, w.key, checks{probe.CheckNames}, `"c.example"`},
		{"many names", chain{named("a.example", "b.example", "c.example", "d.example", "e.example"), above}, w.key, checks{probe.CheckNames}, `"c.example", 2 more, asked`},
		{"a name less", chain{named("a.example"), above}, w.key, checks{probe.CheckNames}, `is for "a.example", asked`},
		{"a name twice", chain{named("a.example", "a.example", "b.example"), above}, w.key, checks{probe.CheckNames}, "names: "},
		{"no name", chain{named(), above}, w.key, checks{probe.CheckNames}, "no name"},
		{"upper case", chain{named("A.example", "b.example"), above}, w.key, checks{probe.CheckNames}, `"A.example"`},
		{
			"an address more",
			chain{w.leaf(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} }), above},
			w.key, checks{probe.CheckNames},
			`names: the certificate is for "192.0.2.1", "a.example", "b.example", asked for was "a.example", "b.example"`,
		},
		{
			"a name of an unknown kind more",
			chain{w.leaf(t, func(c *x509.Certificate) {
				c.DNSNames = nil
				c.ExtraExtensions = []pkix.Extension{{Id: oidSubjectAltName, Value: append([]byte{0x30, 0x1a}, "\x82\x09a.example\x82\x09b.example\x88\x02\x2a\x03"...)}}
			}), above},
			w.key, checks{probe.CheckNames}, "has 3 alternative names",
		},
		{
			"expired", chain{w.leaf(t, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }), above},
			w.key, checks{probe.CheckValidity}, "validity: the certificate is not valid after 2",
		},
		{
			"not yet valid", chain{w.leaf(t, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) }), above},
			w.key, checks{probe.CheckValidity}, "validity: the certificate is not valid before 2",
		},
		{"out of order", chain{good, w.root.cert, above}, w.key, checks{probe.CheckOrder, probe.CheckSignatures}, "order: certificate 1 is not issued by certificate 2"},
		{"a stranger behind", chain{good, above, namesake.cert}, w.key, checks{probe.CheckOrder, probe.CheckSignatures}, "order: certificate 2 is not issued by certificate 3"},
		{"signed by a namesake", chain{good, namesake.cert}, w.key, checks{probe.CheckSignatures, probe.CheckTrust}, "signatures: certificate 1 is not signed by certificate 2"},
		{"alone", chain{good}, w.key, checks{probe.CheckOrder, probe.CheckTrust}, "order: the leaf comes without its issuer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wanted := w.wanted()
			wanted.Key = tt.key.Public()
			results, lints := Check(tt.chain, wanted)
			verify(t, results, tt.failed, tt.detail)
			if lints != nil {
				t.Errorf("lints %+v, though nobody asked", lints)
			}
		})
	}
}

// What nothing is known of is not checked, and so neither passes nor fails.
func TestAbsent(t *testing.T) {
	w := newWorld(t)
	wanted := w.wanted()
	wanted.MaxLifetime, wanted.Roots = 0, nil
	results, _ := Check([]*x509.Certificate{w.leaf(t, nil), w.intermediate.cert}, wanted)
	all, failed := made(results)
	wantList(t, "failed", failed, nil)
	wantList(t, "checks", all, slices.DeleteFunc(withoutLint(), func(c probe.Check) bool {
		return c == probe.CheckProfile || c == probe.CheckTrust
	}))
}

func TestTrust(t *testing.T) {
	w := newWorld(t)
	other := newWorld(t)
	expired := newAuthority(t, "intermediate", &w.root, w.intermediate.key, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-3*time.Hour), time.Now().Add(-2*time.Hour)
	})
	elsewhere := newAuthority(t, "intermediate", &w.root, w.intermediate.key, func(c *x509.Certificate) {
		c.PermittedDNSDomains = []string{"corp.example"}
	})
	mail := newAuthority(t, "intermediate", &w.root, w.intermediate.key, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	})
	old := w.leaf(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	good := w.leaf(t, nil)
	for _, tt := range []struct {
		name   string
		world  world
		chain  []*x509.Certificate
		detail string
	}{
		{"good", w, []*x509.Certificate{good, w.intermediate.cert}, ""},
		{"expired, which is another check's", w, []*x509.Certificate{old, w.intermediate.cert}, ""},
		{"another root", other, []*x509.Certificate{good, w.intermediate.cert}, "the chain does not lead to a root of the target's issuer_roots: x509: certificate signed by unknown authority"},
		{"another root in the chain", other, []*x509.Certificate{good, w.intermediate.cert, w.root.cert}, "signed by unknown authority"},
		{"no intermediate", w, []*x509.Certificate{good}, "signed by unknown authority"},
		{"an intermediate that has expired", w, []*x509.Certificate{good, expired.cert}, "has expired"},
		{"an intermediate for other names", w, []*x509.Certificate{good, elsewhere.cert}, "not permitted"},
		{"an intermediate for mail", w, []*x509.Certificate{good, mail.cert}, "incompatible key usage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wanted := tt.world.wanted()
			detail, _ := checkTrust(tt.chain, wanted)
			again, _ := checkTrust(tt.chain, wanted) // by what is remembered of the first
			if detail != again {
				t.Errorf("first %q, then %q", detail, again)
			}
			if !strings.Contains(detail, tt.detail) || (detail == "") != (tt.detail == "") {
				t.Errorf("detail %q, want %q in it", detail, tt.detail)
			}
		})
	}
}

func TestProfile(t *testing.T) {
	w := newWorld(t)
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name    string
		between time.Duration // notBefore and notAfter
		detail  string
	}{
		{"short", 6 * time.Hour, ""},
		{"as long as may be", 90*day - time.Second, ""},
		{"a second longer", 90 * day, "valid for 2160h0m1s, longer than 90 days"},
		{"a day longer", 91*day - time.Second, "valid for 91 days, longer than 90 days"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaf := w.leaf(t, func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(tt.between) })
			results, _ := Check([]*x509.Certificate{leaf, w.intermediate.cert}, w.wanted())
			var failed []probe.Check
			if tt.detail != "" {
				failed = []probe.Check{probe.CheckProfile}
			}
			verify(t, results, failed, tt.detail)
		})
	}
	if got, want := period(160*time.Hour), "160h0m0s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSerial(t *testing.T) {
	bits := func(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n-1) }
	for _, tt := range []struct {
		name            string
		serial          *big.Int
		private, public string
	}{
		{"usual", bits(144), "", ""},
		{"longest", new(big.Int).Sub(bits(160), big.NewInt(1)), "", ""},
		{"too long", bits(160), "more than 20 octets", "more than 20 octets"},
		{"zero", new(big.Int), "not positive", "not positive"},
		{"negative", big.NewInt(-1), "not positive", "not positive"},
		{"a counter", big.NewInt(4711), "", "has 13 bits"},
		{"7 octets", bits(56), "", "has 56 bits"},
		{"8 octets", bits(57), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for public, want := range map[bool]string{false: tt.private, true: tt.public} {
				got := checkSerial(&x509.Certificate{SerialNumber: tt.serial}, public)
				if !strings.Contains(got, want) || (got == "") != (want == "") {
					t.Errorf("public %t: %q, want %q in it", public, got, want)
				}
			}
		})
	}
}

func TestKeyUsage(t *testing.T) {
	w := newWorld(t)
	ofRSA := w
	ofRSA.key = rsaKey()
	usage := func(u x509.KeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.KeyUsage = u }
	}
	extended := func(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = u }
	}
	const sign, encipher = x509.KeyUsageDigitalSignature, x509.KeyUsageKeyEncipherment
	for _, tt := range []struct {
		name            string
		world           world
		edit            func(*x509.Certificate)
		private, public string // what is wrong
		note            string // of a private CA's
	}{
		{"ECDSA", w, nil, "", "", ""},
		{"RSA", ofRSA, nil, "", "", ""},
		{"RSA that enciphers keys", ofRSA, usage(sign | encipher), "", "", ""},
		{"ECDSA that agrees on keys", w, usage(sign | x509.KeyUsageKeyAgreement), "", "", ""},
		{"no extension", w, usage(0), "", "", ""},
		{"ECDSA that enciphers keys", w, usage(sign | encipher), "", "keyUsage has keyEncipherment, which is not for a key for ECDSA", "keyUsage has keyEncipherment, which is not for a key for ECDSA"},
		{"RSA that agrees on keys", ofRSA, usage(sign | x509.KeyUsageKeyAgreement), "", "keyUsage has keyAgreement, which is not for a key for RSA", "keyAgreement"},
		{"enciphers only", ofRSA, usage(encipher), "keyUsage lacks digitalSignature", "keyUsage lacks digitalSignature", ""},
		{"signs certificates and CRLs", w, usage(sign | x509.KeyUsageCertSign | x509.KeyUsageCRLSign), "keyUsage has keyCertSign, cRLSign", "keyUsage has keyCertSign, cRLSign", ""},
		{"a CA's", w, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, "the certificate is a CA's", "the certificate is a CA's", ""},
		{"clients too", w, extended(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth), "", "", "extKeyUsage has clientAuth"},
		{"clients only", w, extended(x509.ExtKeyUsageClientAuth), "extKeyUsage lacks serverAuth", "extKeyUsage lacks serverAuth", "extKeyUsage has clientAuth"},
		{"no extended usage", w, extended(), "extKeyUsage lacks serverAuth", "extKeyUsage lacks serverAuth", ""},
		{"any", w, extended(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageAny), "", "extKeyUsage has more", "extKeyUsage has more than serverAuth and clientAuth"},
		{
			"one that nobody knows", w, func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} },
			"", "extKeyUsage has more", "extKeyUsage has more",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for public, want := range map[bool]string{false: tt.private, true: tt.public} {
				wanted := tt.world.wanted()
				wanted.Public = public
				results, _ := Check([]*x509.Certificate{tt.world.leaf(t, tt.edit), w.intermediate.cert}, wanted)
				_, failed := made(results)
				if got := slices.Contains(failed, probe.CheckKeyUsage); got != (want != "") || !strings.Contains(Failures(results), want) {
					t.Errorf("public %t: %q, want %q in it", public, Failures(results), want)
				}
				if note := noteOf(results, probe.CheckKeyUsage); !public && (!strings.Contains(note, tt.note) || (note == "") != (tt.note == "")) {
					t.Errorf("note %q, want %q in it", note, tt.note)
				}
			}
		})
	}
}

func TestExtensions(t *testing.T) {
	w := newWorld(t)
	unknown := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 37476, 9000, 64, 1}
	extension := func(id asn1.ObjectIdentifier, critical bool) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: id, Critical: critical, Value: []byte{5, 0}}}
		}
	}
	full := func(c *x509.Certificate) {
		c.BasicConstraintsValid = true
		c.SubjectKeyId, c.AuthorityKeyId = []byte{1}, []byte{2}
		c.OCSPServer, c.CRLDistributionPoints = []string{"http://ocsp.example/"}, []string{"http://crl.example/"}
		c.PolicyIdentifiers = []asn1.ObjectIdentifier{{2, 23, 140, 1, 2, 1}}
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: []byte{4, 0}}}
	}
	for _, tt := range []struct {
		name            string
		edit            func(*x509.Certificate)
		private, public string
		note            string // of a private CA's
	}{
		{"usual", nil, "", "", ""},
		{"all that may be", full, "", "", ""},
		{"step-ca's", extension(unknown, false), "", `unexpected extensions: "1.3.6.1.4.1.37476.9000.64.1"`, `unexpected extensions: "1.3.6.1.4.1.37476.9000.64.1"`},
		{"critical", extension(unknown, true), "unknown critical extensions: ", "unknown critical extensions: ", ""},
		{"must staple, which nobody asked for", extension(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, false), "", "unexpected extensions: ", "unexpected extensions: "},
		{"a precertificate", extension(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}, true), "unknown critical", "unknown critical", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for public, want := range map[bool]string{false: tt.private, true: tt.public} {
				wanted := w.wanted()
				wanted.Public = public
				results, _ := Check([]*x509.Certificate{w.leaf(t, tt.edit), w.intermediate.cert}, wanted)
				_, failed := made(results)
				if got := slices.Contains(failed, probe.CheckExtensions); got != (want != "") || !strings.Contains(Failures(results), want) {
					t.Errorf("public %t: %q, want %q in it", public, Failures(results), want)
				}
				if note := noteOf(results, probe.CheckExtensions); !public && (!strings.Contains(note, tt.note) || (note == "") != (tt.note == "")) {
					t.Errorf("note %q, want %q in it", note, tt.note)
				}
			}
		})
	}
}

func TestParseChain(t *testing.T) {
	w := newWorld(t)
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	cert := block("CERTIFICATE", w.root.cert.Raw)
	twice, err := x509.CreateCertificate(rand.Reader, func() *x509.Certificate {
		c := template()
		extension := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}
		c.ExtraExtensions = []pkix.Extension{extension, extension}
		return c
	}(), w.intermediate.cert, w.key.Public(), w.intermediate.key)
	if err != nil {
		t.Fatal(err)
	}
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
		{"an extension twice", block("CERTIFICATE", twice), 0, "certificate 1: x509: certificate contains duplicate extension with OID \"1.2.3\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chain, err := ParseChain(tt.body)
			if len(chain) != tt.count {
				t.Errorf("%d certificates, want %d", len(chain), tt.count)
			}
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
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
	want := "certificate 2 has an RSA key of 131072 bits, more than 8192"
	if got := checkSignatures(chain, false); got != want {
		t.Errorf("signatures: %q, want %q", got, want)
	}
	if got, _ := checkTrust(chain, Wanted{Roots: x509.NewCertPool()}); got != want {
		t.Errorf("trust: %q, want %q", got, want)
	}
}
