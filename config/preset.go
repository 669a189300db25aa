package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Preset is what is known of a public CA.
type Preset struct {
	Name string
	// CA is the operator's name for people.
	CA           string
	DirectoryURL string
	Environment  Environment
	// EAB says that the CA creates accounts only with an external account
	// binding (RFC 8555 §7.3.4). EABFrom says where its values come from.
	EAB     bool
	EABFrom string
	// IssuerDomainName is the CA's in CAA records (RFC 8659 §4.2).
	IssuerDomainName string
	// Staging is the preset of the same CA for trying things out; empty: none.
	Staging string
	// timeouts differ from the probers' own where the CA is known to take its time.
	timeouts map[probe.Prober]time.Duration
	profiles []Profile // the default first; empty: nothing is known of them
	// lifetimes are how long certificates of those profiles may be valid.
	lifetimes map[string][]lifetime
	// roots are the CA's in PEM; empty: they are the system's, or not known.
	roots string
	// statusPage is the URL at which the status page can be read by machines; empty:
	// not known.
	statusPage string
	rates      map[probe.CallName]float64
}

// floors are the shortest intervals on a public CA. They protect it from a
// thousand copies of one example, so they are the same for all.
var floors = map[probe.Prober]time.Duration{
	probe.ProberDirectory: 30 * time.Second,
	probe.ProberNonce:     30 * time.Second,
	probe.ProberAccount:   time.Minute,
	probe.ProberOrder:     5 * time.Minute,
	probe.ProberValidate:  5 * time.Minute,
	probe.ProberIssue:     5 * time.Minute,
	probe.ProberCRL:       5 * time.Minute,
	probe.ProberOCSP:      5 * time.Minute,
	probe.ProberAIA:       5 * time.Minute,
	probe.ProberSite:      5 * time.Minute,

	probe.ProberRenewalInfo: 5 * time.Minute,
	probe.ProberStatusPage:  time.Minute,
}

// slow are the timeouts of CAs that answer and validate in their own time:
// minutes between finalize and certificate are nothing unusual there.
var slow = map[probe.Prober]time.Duration{
	probe.ProberDirectory: 20 * time.Second,
	probe.ProberNonce:     20 * time.Second,
	probe.ProberAccount:   time.Minute,
	probe.ProberOrder:     time.Minute,
	probe.ProberValidate:  3 * time.Minute,
	probe.ProberIssue:     5 * time.Minute,
	probe.ProberCRL:       2 * time.Minute,
	probe.ProberOCSP:      time.Minute,
	probe.ProberAIA:       time.Minute,
	probe.ProberSite:      2 * time.Minute,

	probe.ProberRenewalInfo: time.Minute,
	probe.ProberStatusPage:  15 * time.Second,
}

var presets = []Preset{
	{
		Name: "letsencrypt", CA: "Let's Encrypt", IssuerDomainName: "letsencrypt.org",
		DirectoryURL: "https://acme-v02.api.letsencrypt.org/directory",
		Environment:  Production, Staging: "letsencrypt-staging",
		profiles: letsEncryptProfiles, lifetimes: letsEncrypts, rates: letsEncryptRates,
		statusPage: letsEncryptStatus,
	},
	{
		Name: "letsencrypt-staging", CA: "Let's Encrypt (staging)", IssuerDomainName: "letsencrypt.org",
		DirectoryURL: "https://acme-staging-v02.api.letsencrypt.org/directory",
		Environment:  Staging,
		profiles:     letsEncryptProfiles, lifetimes: letsEncrypts, rates: letsEncryptStagingRates,
		roots: letsEncryptStagingRoots, statusPage: letsEncryptStatus,
	},
	{
		Name: "google", CA: "Google Trust Services", IssuerDomainName: "pki.goog",
		DirectoryURL: "https://dv.acme-v02.api.pki.goog/directory",
		Environment:  Production, Staging: "google-test",
		EAB: true, EABFrom: "`gcloud publicca external-account-keys create`",
	},
	{
		Name: "google-test", CA: "Google Trust Services (test)", IssuerDomainName: "pki.goog",
		DirectoryURL: "https://dv.acme-v02.test-api.pki.goog/directory",
		Environment:  Staging,
		EAB:          true, EABFrom: "`gcloud publicca external-account-keys create` at the preprod endpoint",
	},
	{
		Name: "zerossl", CA: "ZeroSSL", IssuerDomainName: "sectigo.com",
		DirectoryURL: "https://acme.zerossl.com/v2/DV90",
		Environment:  Production,
		EAB:          true, EABFrom: "the developer page of your ZeroSSL account",
		timeouts: slow,
	},
	{
		Name: "sslcom-rsa", CA: "SSL.com (RSA)", IssuerDomainName: "ssl.com",
		DirectoryURL: "https://acme.ssl.com/sslcom-dv-rsa",
		Environment:  Production,
		EAB:          true, EABFrom: "the API credentials of your SSL.com account",
		timeouts: slow,
	},
	{
		Name: "sslcom-ecc", CA: "SSL.com (ECC)", IssuerDomainName: "ssl.com",
		DirectoryURL: "https://acme.ssl.com/sslcom-dv-ecc",
		Environment:  Production,
		EAB:          true, EABFrom: "the API credentials of your SSL.com account",
		timeouts: slow,
	},
	{
		Name: "actalis", CA: "Actalis", IssuerDomainName: "actalis.it",
		DirectoryURL: "https://acme-api.actalis.com/acme/directory",
		Environment:  Production,
		EAB:          true, EABFrom: "\"Manage with ACME\" in the Actalis customer area",
		timeouts: slow,
	},
}

// letsEncryptStatus is of staging too.
const letsEncryptStatus = "https://api.status.io/1.0/status/55957a99e800baa4470002da"

// Presets lists the public CAs that are known by name.
func Presets() []Preset {
	list := slices.Clone(presets)
	for i := range list {
		list[i].timeouts = maps.Clone(list[i].timeouts)
	}
	return list
}

// Floor is the shortest interval for p, unless own_ca lifts it.
func (*Preset) Floor(p probe.Prober) time.Duration { return floors[p] }

// Timeout is the default for p; 0: the prober's own default.
func (s *Preset) Timeout(p probe.Prober) time.Duration { return s.timeouts[p] }

// StatusPage is the URL at which the CA's status page can be read; empty: not known.
func (s *Preset) StatusPage() string { return s.statusPage }

func presetNames() []string {
	names := make([]string, len(presets))
	for i := range presets {
		names[i] = presets[i].Name
	}
	return names
}

// presetNamed returns nil if there is none of that name.
func presetNamed(name string) *Preset {
	for i := range presets {
		if presets[i].Name == name {
			return &presets[i]
		}
	}
	return nil
}

// presetsAt returns the names of the presets whose directory is at u's host;
// the one with u's very path alone, if there is one.
func presetsAt(u *url.URL) (names []string) {
	for i := range presets {
		at, err := url.Parse(presets[i].DirectoryURL)
		if err != nil || !strings.EqualFold(at.Hostname(), strings.TrimSuffix(u.Hostname(), ".")) {
			continue
		}
		if at.Path == u.Path {
			return []string{presets[i].Name}
		}
		names = append(names, presets[i].Name)
	}
	return names
}
