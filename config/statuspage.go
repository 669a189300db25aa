package config

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// StatusPage says where a CA tells how it is.
type StatusPage struct {
	// URL is https, of JSON as status.io or Statuspage have it, or of a feed; empty: the
	// one that the target's preset knows.
	URL string `yaml:"url,omitempty"`
	// Components are the names of those that have series of their own, and that an
	// incident has to be about, if it says what it is about; empty: none has, and all
	// incidents count.
	Components []string `yaml:"components,omitempty"`
}

// maxWatched bounds the components of a module, each of which has a series for each
// state.
const maxWatched = 20

// of is the URL of the target's status page; empty: it is not known.
func (s *StatusPage) of(t *Target) string {
	if preset := presetNamed(t.Preset); s.URL == "" && preset != nil {
		return preset.StatusPage()
	}
	return s.URL
}

func (s *StatusPage) validate(ps *problems, at path) {
	if s.URL != "" {
		if err := checkURL(s.URL, "https"); err != nil {
			ps.add(at.key("url"), "%s", err)
		}
	}
	components := at.key("components")
	if len(s.Components) > maxWatched {
		ps.add(components, "want at most %d, got %d: name those that you depend on", maxWatched, len(s.Components))
	}
	for i, name := range s.Components {
		same := func(other string) bool { return strings.EqualFold(name, other) }
		switch {
		case strings.TrimSpace(name) == "" || len(name) > maxComponent:
			ps.add(components.index(i), "want a component's name as the status page has it, at most %d bytes", maxComponent)
		case slices.IndexFunc(s.Components, same) < i:
			ps.add(components.index(i), "%q is there twice: remove one", name)
		}
	}
}

// maxComponent bounds a component's name, in bytes.
const maxComponent = 100

// completeStatusPage makes the module the target's own: with the URL that its preset
// knows.
func (m *Module) completeStatusPage(t *Target) {
	if m.Prober != probe.ProberStatusPage || m.StatusPage == nil {
		return
	}
	own := *m.StatusPage
	own.URL = own.of(t)
	m.StatusPage = &own
}

// StatusPageTLS returns the TLS configuration for the target's status page, never nil:
// it is mostly somebody else's host, so that this host's roots are trusted beside those
// of the target, and no client certificate is shown.
func (t *Target) StatusPageTLS() (*tls.Config, error) {
	target, err := t.TLS()
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if pem, err := t.caPEM(); err != nil {
		return nil, err
	} else if len(pem) > 0 {
		roots.AppendCertsFromPEM(pem)
	}
	return &tls.Config{RootCAs: roots, MinVersion: max(target.MinVersion, tls.VersionTLS12)}, nil
}

// caPEM is what the target's API is trusted by; empty: this host's roots.
func (t *Target) caPEM() ([]byte, error) {
	if t.TLSConfig.CAFile != "" {
		return readFile(t.TLSConfig.CAFile)
	}
	return []byte(t.TLSConfig.CA), nil
}
