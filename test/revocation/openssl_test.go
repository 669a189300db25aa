// Package revocation_test holds internal/revocation against openssl, which makes
// CRLs and OCSP answers in its own way.
package revocation_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/revocation"
)

const url = "http://ca.example/1.crl"

// authority is a CA that openssl keeps: serial 7 is revoked, 8 is good, and 9 is
// not known.
type authority struct {
	t           *testing.T
	dir         string
	certificate *x509.Certificate
}

// settings are openssl's.
const settings = `
[ca]
default_ca = d
[d]
database = index.txt
crlnumber = number
default_md = sha256
default_crl_days = 30
crl_extensions = e
[e]
issuingDistributionPoint = critical,@point
authorityKeyIdentifier = keyid
[point]
fullname = URI:` + url + `
onlyuser = TRUE
`

func newAuthority(t *testing.T, key ...string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	day := func(days int) string { return time.Now().AddDate(0, 0, days).UTC().Format("060102150405Z") }
	a.write("ca.cnf", settings)
	a.write("number", "1000\n")
	a.write("index.txt", fmt.Sprintf("R\t%s\t%s,keyCompromise\t07\tunknown\t/CN=a\nV\t%s\t\t08\tunknown\t/CN=b\n", day(30), day(-1), day(30)))
	a.openssl(append([]string{"genpkey", "-out", "ca.key"}, key...)...)
	a.openssl("req", "-x509", "-new", "-key", "ca.key", "-out", "ca.pem", "-subj", "/CN=openssl", "-days", "30",
		"-addext", "keyUsage=critical,keyCertSign,cRLSign")
	a.certificate = a.read("ca.pem")
	return a
}

func (a *authority) write(name, text string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) data(name string) []byte {
	a.t.Helper()
	data, err := os.ReadFile(filepath.Join(a.dir, name))
	if err != nil {
		a.t.Fatal(err)
	}
	return data
}

func (a *authority) read(name string) *x509.Certificate {
	a.t.Helper()
	block, _ := pem.Decode(a.data(name))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a *authority) openssl(args ...string) {
	a.t.Helper()
	cmd := exec.CommandContext(a.t.Context(), "openssl", args...)
	cmd.Dir = a.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
}

func kinds(flaws []probe.Flaw) (list []probe.FlawKind) {
	for _, f := range flaws {
		list = append(list, f.Flaw)
	}
	return list
}

func TestCRL(t *testing.T) {
	for name, key := range map[string][]string{
		"RSA":     {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
		"P-256":   {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
		"P-384":   {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
		"Ed25519": {"-algorithm", "ED25519"},
	} {
		t.Run(name, func(t *testing.T) { checkCRL(t, newAuthority(t, key...)) })
	}
	t.Run("RSASSA-PSS", func(t *testing.T) {
		checkCRL(t, newAuthority(t, "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"), "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1")
	})
}

// checkCRL has openssl make a CRL, and reads it.
func checkCRL(t *testing.T, a *authority, options ...string) {
	t.Helper()
	md := []string{"-md", "sha384"}
	if a.certificate.PublicKeyAlgorithm == x509.Ed25519 {
		md = []string{"-md", "null"}
	}
	a.openssl(slices.Concat([]string{"ca", "-gencrl", "-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.pem", "-out", "crl.pem"}, md, options)...)
	a.openssl("crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der")
	der := a.data("crl.der")
	o := revocation.CRLCheck{URL: url, ContentType: "application/pkix-crl", Issuers: []*x509.Certificate{a.certificate}, Now: time.Now(), Leaf: true}
	for serial, listed := range map[int64]bool{7: true, 8: false} {
		c, err := revocation.ReadCRL(bytes.NewReader(der), big.NewInt(serial))
		if err != nil {
			t.Fatal(err)
		}
		if (c.Listed != nil) != listed || listed && c.Listed.Reason != 1 {
			t.Errorf("serial %d: listed %+v, want %v", serial, c.Listed, listed)
		}
		f, _ := c.Check(o)
		if len(f.Flaws) > 0 || f.Entries != 1 || f.Number != "4096" || !f.Sharded || f.Issuer != "CN=openssl" {
			t.Errorf("got %+v", f)
		}
	}
	// Any byte that is changed is noticed.
	for at := 4; at < len(der); at += 7 {
		broken := bytes.Clone(der)
		broken[at] ^= 0x40
		c, err := revocation.ReadCRL(bytes.NewReader(broken), nil)
		if err != nil {
			continue
		}
		if f, _ := c.Check(o); len(f.Flaws) == 0 {
			t.Errorf("byte %d changed, and nothing is wrong", at)
		}
	}
	o.Now = time.Now().AddDate(0, 0, 31)
	c, err := revocation.ReadCRL(bytes.NewReader(der), nil)
	if err != nil {
		t.Fatal(err)
	}
	if f, _ := c.Check(o); !slices.Equal(kinds(f.Flaws), []probe.FlawKind{probe.FlawCRLStale}) {
		t.Errorf("after nextUpdate: %+v", f.Flaws)
	}
}

func TestOCSP(t *testing.T) {
	a := newAuthority(t, "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
	responder := func(name, usage string) {
		a.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", name+".key", "-out", name+".csr", "-subj", "/CN="+name)
		a.write(name+".cnf", "extendedKeyUsage="+usage+"\n")
		a.openssl("x509", "-req", "-in", name+".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "20", "-days", "10", "-extfile", name+".cnf", "-out", name+".pem")
	}
	responder("signer", "OCSPSigning")
	responder("server", "serverAuth")
	for _, tt := range []struct {
		name, signer string
		serial       int64
		status       probe.OCSPStatus
		delegated    bool
		want         []probe.FlawKind
		args         []string
	}{
		{name: "revoked", signer: "ca", serial: 7, status: probe.OCSPRevoked},
		{name: "good", signer: "ca", serial: 8, status: probe.OCSPGood},
		{name: "good, without certificates", signer: "ca", serial: 8, status: probe.OCSPGood, args: []string{"-resp_no_certs"}},
		{name: "good, by key", signer: "ca", serial: 8, status: probe.OCSPGood, args: []string{"-resp_key_id"}},
		{name: "unknown", signer: "ca", serial: 9, status: probe.OCSPUnknown, want: []probe.FlawKind{probe.FlawOCSPStatus}},
		{name: "delegated", signer: "signer", serial: 8, status: probe.OCSPGood, delegated: true},
		{name: "not for OCSP", signer: "server", serial: 8, status: probe.OCSPGood, delegated: true, want: []probe.FlawKind{probe.FlawOCSPSignature}},
		{name: "broken signature", signer: "ca", serial: 8, status: probe.OCSPGood, args: []string{"-badsig", "-resp_no_certs"}, want: []probe.FlawKind{probe.FlawOCSPSignature}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request, err := revocation.OCSPRequest(big.NewInt(tt.serial), a.certificate)
			if err != nil {
				t.Fatal(err)
			}
			a.t = t
			a.write("request.der", string(request))
			a.openssl(append([]string{
				"ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", tt.signer + ".pem", "-rkey", tt.signer + ".key",
				"-reqin", "request.der", "-respout", "answer.der", "-ndays", "1",
			}, tt.args...)...)
			o := revocation.OCSPCheck{Method: "POST", ContentType: "application/ocsp-response", Serial: big.NewInt(tt.serial), Issuer: a.certificate, Now: time.Now()}
			f := revocation.CheckOCSP(a.data("answer.der"), o)
			if f.Status != tt.status || f.Delegated != tt.delegated || !slices.Equal(kinds(f.Flaws), tt.want) {
				t.Errorf("got %+v, want %+v", f, tt)
			}
			o.Serial = big.NewInt(77)
			if f := revocation.CheckOCSP(a.data("answer.der"), o); !slices.Contains(kinds(f.Flaws), probe.FlawOCSPCertificate) {
				t.Errorf("for another serial: %+v", f.Flaws)
			}
			o.Serial, o.Now = big.NewInt(tt.serial), time.Now().AddDate(0, 0, 2)
			if f := revocation.CheckOCSP(a.data("answer.der"), o); !slices.Contains(kinds(f.Flaws), probe.FlawOCSPStale) {
				t.Errorf("after nextUpdate: %+v", f.Flaws)
			}
		})
	}
}
