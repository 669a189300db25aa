package config

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strings"

	promconfig "github.com/prometheus/common/config"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// CRL says which certificate revocation lists to look at.
type CRL struct {
	// URLs are the lists'; empty: those that the target's last certificate names.
	URLs []string `yaml:"urls,omitempty"`
	// IssuerFile has the certificates of those who sign the lists of URLs, in PEM.
	IssuerFile string `yaml:"issuer_file,omitempty"`

	issuers []*x509.Certificate
}

// Issuers are the certificates of IssuerFile as it was loaded.
func (c *CRL) Issuers() []*x509.Certificate { return c.issuers }

// Certificate says which certificate to look at, for the probers ocsp and aia.
type Certificate struct {
	// CertificateFile has a certificate and then its issuer's, in PEM; empty: the last
	// one of the target.
	CertificateFile string `yaml:"certificate_file,omitempty"`

	chain []*x509.Certificate
}

// Chain are the certificates of CertificateFile as it was loaded: at least two, each
// issued by the next one. Nil: there is no file.
func (c *Certificate) Chain() []*x509.Certificate { return c.chain }

// Site says where a CA's test sites are: https URLs; empty: there is none.
type Site struct {
	Valid   string `yaml:"valid,omitempty"`   // its certificate is valid
	Expired string `yaml:"expired,omitempty"` // has expired, and is right otherwise
	Revoked string `yaml:"revoked,omitempty"` // is revoked, and right otherwise
}

// issued reports whether the module is about what its target issues.
func (m *Module) issued() bool {
	switch m.Prober {
	case probe.ProberCRL:
		return m.CRL != nil && len(m.CRL.URLs) == 0
	case probe.ProberOCSP:
		return m.OCSP != nil && m.OCSP.CertificateFile == ""
	case probe.ProberAIA:
		return m.AIA != nil && m.AIA.CertificateFile == ""
	case probe.ProberRenewalInfo:
		return m.RenewalInfo != nil && len(m.RenewalInfo.Certificates) == 0
	}
	return false
}

// maxCertificates bounds those of one file, maxLists the lists of one module.
const (
	maxCertificates = 20
	maxLists        = 100
)

// completeBeside fills in the sections about what a CA publishes beside its API,
// resolves files against dir, and reads them.
func (m *Module) completeBeside(ps *problems, at path, dir string) {
	switch {
	case m.Prober == probe.ProberCRL && m.CRL == nil:
		m.CRL = &CRL{}
	case m.Prober == probe.ProberOCSP && m.OCSP == nil:
		m.OCSP = &Certificate{}
	case m.Prober == probe.ProberAIA && m.AIA == nil:
		m.AIA = &Certificate{}
	case m.Prober == probe.ProberSite && m.Site == nil:
		m.Site = &Site{}
	case m.Prober == probe.ProberRenewalInfo && m.RenewalInfo == nil:
		m.RenewalInfo = &RenewalInfo{}
	case m.Prober == probe.ProberStatusPage && m.StatusPage == nil:
		m.StatusPage = &StatusPage{}
	}
	if m.RenewalInfo != nil {
		m.RenewalInfo.complete(dir)
	}
	if c := m.CRL; c != nil {
		c.IssuerFile = promconfig.JoinDir(dir, c.IssuerFile)
		c.issuers = m.readCertificates(ps, at.keys("crl", "issuer_file"), c.IssuerFile)
	}
	for section, c := range map[string]*Certificate{"ocsp": m.OCSP, "aia": m.AIA} {
		if c == nil {
			continue
		}
		at := at.keys(section, "certificate_file")
		c.CertificateFile = promconfig.JoinDir(dir, c.CertificateFile)
		c.chain = m.readCertificates(ps, at, c.CertificateFile)
		if err := checkChain(c.chain); err != nil {
			ps.add(at, "%q: %s", c.CertificateFile, err)
			c.chain = nil
		}
	}
}

// readCertificates reads the file, and notes what it holds; nil: it has no name, or
// cannot be read.
func (m *Module) readCertificates(ps *problems, at path, name string) []*x509.Certificate {
	if name == "" {
		return nil
	}
	data, err := readFile(name)
	var list []*x509.Certificate
	if err == nil {
		list, err = parseCertificates(data)
	}
	if err != nil {
		ps.add(at, "%q: %s", name, err)
		ps.broken[at] = true
		return nil
	}
	sum := sha256.Sum256(data)
	m.files = append(m.files, hex.EncodeToString(sum[:]))
	slices.Sort(m.files)
	return list
}

// parseCertificates reads certificates in PEM.
func parseCertificates(data []byte) (list []*x509.Certificate, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it has a PEM block %q: want certificates only", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(list)+1, err)
		}
		if list = append(list, c); len(list) > maxCertificates {
			return nil, fmt.Errorf("it has more than %d certificates", maxCertificates)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("it has no certificate in PEM")
	}
	return list, nil
}

// checkChain returns why the certificates, if there are any, are not a certificate
// and its issuer's; nil: they are.
func checkChain(chain []*x509.Certificate) error {
	switch {
	case len(chain) == 0:
		return nil
	case len(chain) == 1:
		return fmt.Errorf("it has one certificate: want its issuer's after it")
	case !bytes.Equal(chain[0].RawIssuer, chain[1].RawSubject):
		return fmt.Errorf("the second certificate is not the first one's issuer's")
	}
	return nil
}

// validateBeside checks the sections of the probers crl, ocsp, aia, site,
// renewal_info and status_page.
func (m *Module) validateBeside(ps *problems, at path, section func(own probe.Prober, there bool) bool) {
	if section(probe.ProberCRL, m.CRL != nil) {
		m.CRL.validate(ps, at.key("crl"))
	}
	section(probe.ProberOCSP, m.OCSP != nil)
	section(probe.ProberAIA, m.AIA != nil)
	if section(probe.ProberSite, m.Site != nil) {
		m.Site.validate(ps, at.key("site"))
	}
	if section(probe.ProberRenewalInfo, m.RenewalInfo != nil) {
		m.RenewalInfo.validate(ps, at.key("renewal_info"))
	}
	if section(probe.ProberStatusPage, m.StatusPage != nil) {
		m.StatusPage.validate(ps, at.key("status_page"))
		if m.Critical != nil && *m.Critical {
			ps.add(at.key("critical"), "a status page is what the CA says of itself, and no evidence of how it is: remove it")
		}
	}
}

func (c *CRL) validate(ps *problems, at path) {
	urls := at.key("urls")
	if len(c.URLs) > maxLists {
		ps.add(urls, "want at most %d, got %d: divide them over several modules", maxLists, len(c.URLs))
	}
	for i, u := range c.URLs {
		if err := checkURL(u, "http", "https"); err != nil {
			ps.add(urls.index(i), "%s", err)
		} else if slices.Index(c.URLs, u) < i {
			ps.add(urls.index(i), "%q is there twice: remove one", u)
		}
	}
	switch {
	case len(c.URLs) > 0 && c.IssuerFile == "":
		ps.add(at.key("issuer_file"), "missing: without the certificate of who signs the lists, nothing can be said of them")
	case len(c.URLs) == 0 && c.IssuerFile != "" && !ps.isBroken(urls):
		ps.add(at.key("issuer_file"), "it is for the lists of urls, and there are none: add them or remove it")
	}
}

func (s *Site) validate(ps *problems, at path) {
	if s.Valid == "" && s.Expired == "" && s.Revoked == "" && !ps.isBroken(at) {
		ps.add(at, "missing: name the CA's test sites, at least one of valid, expired and revoked")
	}
	for _, site := range []struct{ key, url string }{{"valid", s.Valid}, {"expired", s.Expired}, {"revoked", s.Revoked}} {
		if site.url == "" {
			continue
		}
		if err := checkURL(site.url, "https"); err != nil {
			ps.add(at.key(site.key), "%s", err)
		}
	}
}

// checkURL returns why s is no URL that can be asked for by one of the schemes.
func checkURL(s string, schemes ...string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Hostname() == "", !slices.Contains(schemes, u.Scheme):
		return fmt.Errorf("want a URL of %s", strings.Join(schemes, " or "))
	case u.User != nil, u.Fragment != "":
		return fmt.Errorf("want a URL without user name and fragment")
	}
	return nil
}

// validateIssued checks that the target has what the module looks at. at is where
// the module is used.
func (c *Config) validateIssued(ps *problems, at path, t *Target, name string, m *Module) {
	switch {
	case m.issued():
		for other := range t.Probes {
			if o := c.Modules[other]; o == nil || o.Prober == probe.ProberIssue {
				return // what is not there is told of elsewhere
			}
		}
		ps.add(at, "%s looks at what this target issues to us, and no module of it has the prober issue: add one, or say in modules.%s.%s what to look at", name, name, m.Prober)
	case m.Prober == probe.ProberSite && t.Issuers() == nil && !ps.isBroken(at.parent().parent().key("issuer_roots")):
		ps.add(at, "nothing is known of the roots to which the sites' certificates have to lead: set the target's issuer_roots")
	case m.Prober == probe.ProberStatusPage && m.StatusPage != nil && m.StatusPage.of(t) == "":
		ps.add(at, "nothing is known of this CA's status page: say in modules.%s.status_page.url where it is, or take %s off the target", name, name)
	}
}
