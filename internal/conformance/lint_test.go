package conformance

import (
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// lintable returns a CA and a template with all that browsers demand, SCTs apart.
func lintable(tb testing.TB) (world, func() *x509.Certificate) {
	tb.Helper()
	w := newWorld(tb)
	w.intermediate = newAuthority(tb, "intermediate", &w.root, newKey(tb, elliptic.P256()), func(c *x509.Certificate) {
		c.Subject.Organization, c.Subject.Country = []string{"Corp"}, []string{"US"}
	})
	return w, func() *x509.Certificate {
		c := template()
		c.NotAfter = c.NotBefore.Add(90*24*time.Hour - time.Second)
		c.DNSNames = []string{"a.probe.net", "b.probe.net"}
		c.BasicConstraintsValid = true
		c.IssuingCertificateURL = []string{"http://i.probe.net/"}
		c.CRLDistributionPoints = []string{"http://c.probe.net/1.crl"}
		c.Policies = []x509.OID{mustOID("2.23.140.1.2.1")}
		return c
	}
}

func mustOID(s string) x509.OID {
	id, err := x509.ParseOID(s)
	if err != nil {
		panic(err)
	}
	return id
}

func TestLint(t *testing.T) {
	w, good := lintable(t)
	for _, tt := range []struct {
		name    string
		edit    func(*x509.Certificate)
		public  bool
		errors  []string
		warning string // one of them
	}{
		{"good, of a private CA", func(*x509.Certificate) {}, false, nil, "w_ext_subject_key_identifier_missing_sub_cert"},
		{"good, of a public CA", func(*x509.Certificate) {}, true, nil, "w_ext_subject_key_identifier_missing_sub_cert"},
		{
			"a common name that is no alternative name, which matters to browsers",
			func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "c.probe.net"} },
			true, []string{"e_subject_common_name_not_exactly_from_san"}, "w_subject_common_name_included",
		},
		{"the same of a private CA", func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "c.probe.net"} }, false, nil, "w_ext_subject_key_identifier_missing_sub_cert"},
		{
			"a label too long, which RFC 5280 forbids",
			func(c *x509.Certificate) {
				c.DNSNames = []string{"a.probe.net", strings.Repeat("a", 64) + ".probe.net"}
			},
			false, []string{"e_rfc_dnsname_label_too_long"}, "",
		},
		{
			"a time too long",
			func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(399 * 24 * time.Hour) },
			true, []string{"e_tls_server_cert_valid_time_longer_than_398_days"}, "w_tls_server_cert_valid_time_longer_than_397_days",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.edit(c)
			leaf := w.intermediate.sign(t, c, w.key.Public())
			wanted := w.wanted()
			wanted.Names, wanted.Public, wanted.Lint, wanted.MaxLifetime = Names(leaf), tt.public, true, 0
			results, lints := Check([]*x509.Certificate{leaf, w.intermediate.cert}, wanted)
			if lints == nil {
				t.Fatal("not linted")
			}
			for _, e := range tt.errors {
				if !slices.Contains(lints.Errors, e) {
					t.Errorf("errors %v, want %s", lints.Errors, e)
				}
			}
			if tt.warning != "" && !slices.Contains(lints.Warnings, tt.warning) {
				t.Errorf("warnings %v, want %s", lints.Warnings, tt.warning)
			}
			if (lints.ErrorCount == 0) != (len(tt.errors) == 0) {
				t.Errorf("%d errors: %v", lints.ErrorCount, lints.Errors)
			}
			last := results[len(results)-1]
			if last.Check != probe.CheckLint || last.Passed != (len(tt.errors) == 0) {
				t.Errorf("%+v", last)
			}
			if !last.Passed && !strings.HasPrefix(last.Detail, `zlint found errors: "e_`) {
				t.Errorf("detail %q", last.Detail)
			}
		})
	}
}

// What lints could not read, or would take too long over, is no fault of a CA's.
func TestNotLinted(t *testing.T) {
	w, good := lintable(t)
	large := good()
	large.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Value: make([]byte, maxLinted)}}
	huge := w.intermediate.sign(t, large, w.key.Public())
	for name, der := range map[string][]byte{
		"no certificate": []byte("x"),
		"too large":      huge.Raw,
	} {
		if got := lint(der, true); got != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	wanted := w.wanted()
	wanted.Lint = true
	results, lints := Check([]*x509.Certificate{huge, w.intermediate.cert}, wanted)
	if all, _ := made(results); lints != nil || slices.Contains(all, probe.CheckLint) {
		t.Errorf("lints %+v, checks %v", lints, all)
	}
}

func TestLintsAreBounded(t *testing.T) {
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("e_%02d", 49-i))
	}
	l := &probe.Lints{}
	l.ErrorCount, l.Errors = bound(names)
	if l.ErrorCount != 50 || len(l.Errors) != maxLints || l.Errors[0] != "e_00" {
		t.Errorf("%+v", l)
	}
	if got, want := checkLints(l), `zlint found errors: "e_00", "e_01", "e_02", 47 more`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
