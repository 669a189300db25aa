package prober

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxListed bounds the lists that are kept of a directory.
const maxListed = 100

// requiredFields are the URLs that a directory must have (RFC 8555 §7.1.1);
// newAuthz is "MUST be omitted" for a CA that does not pre-authorize.
var requiredFields = []string{"newNonce", "newAccount", "newOrder", "revokeCert", "keyChange"}

// signingFields are those that a run that signs has a use for. It does not
// fail for want of another: that is the finding of the prober directory.
var signingFields = []string{"newNonce", "newAccount", "newOrder"}

// directory is a directory document (RFC 8555 §7.1.1).
type directory struct {
	NewNonce    string `json:"newNonce"`
	NewAccount  string `json:"newAccount"`
	NewOrder    string `json:"newOrder"`
	NewAuthz    string `json:"newAuthz"`
	RevokeCert  string `json:"revokeCert"`
	KeyChange   string `json:"keyChange"`
	RenewalInfo string `json:"renewalInfo"` // RFC 9773 §4.1
	Meta        struct {
		Terms           string            `json:"termsOfService"`
		Website         string            `json:"website"`
		CAAIdentities   []string          `json:"caaIdentities"`
		ExternalAccount bool              `json:"externalAccountRequired"`
		Profiles        map[string]string `json:"profiles"`
	} `json:"meta"`
}

// directoryFields are the fields of a directory that hold a URL.
var directoryFields = []string{
	"newNonce", "newAccount", "newOrder", "newAuthz", "revokeCert", "keyChange", "renewalInfo",
}

// url returns the field of that name; empty: it is absent.
func (d *directory) url(field string) string {
	switch field {
	case "newNonce":
		return d.NewNonce
	case "newAccount":
		return d.NewAccount
	case "newOrder":
		return d.NewOrder
	case "newAuthz":
		return d.NewAuthz
	case "revokeCert":
		return d.RevokeCert
	case "keyChange":
		return d.KeyChange
	case "renewalInfo":
		return d.RenewalInfo
	}
	return ""
}

// probeDirectory reads the directory and holds it against RFC 8555 §7.1.1.
func probeDirectory(ctx context.Context, r *run) error {
	return r.readDirectory(ctx, requiredFields)
}

// readDirectory reads the directory and requires those of its fields. The client
// keeps it for the run.
func (r *run) readDirectory(ctx context.Context, required []string) error {
	return r.step(probe.StepDirectory, "", func() error {
		ex, err := r.exchange(ctx, acmehttp.Exchange{}, func(ctx context.Context, ex *acmehttp.Exchange) error {
			_, err := r.client.Discover(ctx)
			if ex.Response != nil && ex.Response.Status == http.StatusOK {
				return nil // what is wrong with the document is told below, by field
			}
			return err
		})
		if err != nil {
			return err
		}
		r.pooled = ex.Response.Header.Get(replayNonce) != ""
		d := &r.directory
		if err := json.Unmarshal(ex.Response.Body, d); err != nil {
			return r.broken(objectDirectory, "the directory cannot be read: %s", quoted(err.Error()))
		}
		r.facts.Directory = d.facts()
		return r.checkDirectory(required)
	})
}

// checkDirectory reports the first field that is missing, no https URL, or one
// that leads where this target may not send us.
func (r *run) checkDirectory(required []string) error {
	for _, field := range required {
		value := r.directory.url(field)
		if value == "" {
			return r.broken(objectDirectory, "the directory lacks %s", field)
		}
		u, err := url.Parse(value)
		if err != nil || !isHTTPS(value) {
			return r.unusable(objectDirectory, "the directory's "+field, value)
		}
		if err := r.HTTP.CheckHost(u); err != nil {
			return r.broken(objectURL, "the directory's %s: %s", field, quoted(err.Error()))
		}
	}
	return nil
}

// facts returns what is kept of d.
func (d *directory) facts() *probe.Directory {
	f := &probe.Directory{
		Endpoints:               make([]string, 0, len(directoryFields)),
		TermsOfService:          bounded(d.Meta.Terms),
		Website:                 bounded(d.Meta.Website),
		ExternalAccountRequired: d.Meta.ExternalAccount,
	}
	for _, field := range directoryFields {
		if d.url(field) != "" {
			f.Endpoints = append(f.Endpoints, field)
		}
	}
	for _, id := range d.Meta.CAAIdentities[:min(len(d.Meta.CAAIdentities), maxListed)] {
		f.CAAIdentities = append(f.CAAIdentities, bounded(id))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Meta.Profiles)) {
		if len(f.Profiles) == maxListed {
			break
		}
		f.Profiles = append(f.Profiles, bounded(name))
	}
	return f
}

// isHTTPS reports whether s is an absolute https URL: "clients MUST use
// HTTPS" (RFC 8555 §6.1).
func isHTTPS(s string) bool {
	u, err := url.Parse(s)
	return err == nil && strings.EqualFold(u.Scheme, "https") && u.Hostname() != ""
}
