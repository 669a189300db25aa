package prober

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// The bounds within which a CA's word is taken for when to ask again (RFC 9773 §4.3.2).
const (
	minRenewalRetry = time.Minute
	maxRenewalRetry = 24 * time.Hour
)

// objectRenewalInfo is what a failure can be about.
const objectRenewalInfo = "renewal information"

// renewalInfo is a RenewalInfo object (RFC 9773 §4.2).
type renewalInfo struct {
	Window struct {
		Start time.Time `json:"start"`
		End   time.Time `json:"end"`
	} `json:"suggestedWindow"`
	ExplanationURL string `json:"explanationURL"`
}

// probeRenewalInfo asks when certificates should be renewed (RFC 9773). A window that
// has begun is no failure.
func probeRenewalInfo(ctx context.Context, r *run) error {
	list, unread, err := r.renewals()
	if err != nil {
		return err
	}
	if err := r.readDirectory(ctx, nil); err != nil {
		return err
	}
	if r.directory.RenewalInfo == "" {
		return fail(probe.FailureUnsupported, objectDirectory, "the CA's directory has no renewalInfo")
	}
	if err := r.checkDirectory([]string{"renewalInfo"}); err != nil {
		return err
	}
	err = r.each(ctx, len(list), probe.StepRenewalInfo, func(i int) error { return r.askRenewal(ctx, list[i]) })
	if err == nil && unread != nil {
		r.current = probe.StepSetup
		return unread
	}
	return err
}

// renewals returns the certificates to ask about: those of the module's files, or the
// last one of the target, which has no name then. Unread says which files are of no
// use; nil: all are.
func (r *run) renewals() (list []config.FileCertificate, unread, err error) {
	m := r.Pair.Module.RenewalInfo
	if len(m.Certificates) == 0 {
		leaf, _, err := r.subject(nil)
		if err != nil {
			return nil, nil, err
		}
		if len(leaf.AuthorityKeyId) == 0 {
			return nil, nil, notApplicable("the last certificate has no authority key identifier, by which the CA could be asked about it")
		}
		return []config.FileCertificate{{Certificate: leaf}}, nil, nil
	}
	list, errs := m.Read()
	if len(errs) > 0 {
		detail := quoted(errs[0].Error())
		if n := len(errs) - 1; n > 0 {
			detail += fmt.Sprintf(", and %d more", n)
		}
		unread = fail(probe.FailureClient, "", detail)
	}
	if len(list) == 0 {
		return nil, nil, unread
	}
	return list, unread, nil
}

// askRenewal asks about one certificate, and keeps the answer.
func (r *run) askRenewal(ctx context.Context, c config.FileCertificate) error {
	of := func(f *failure) error {
		f.Detail = cmp.Or(bounded(c.Name), "the last certificate") + ": " + f.Detail
		return f
	}
	res, err := r.getOnce(ctx, fetch{
		call: probe.CallRenewalInfo, url: strings.TrimSuffix(r.directory.RenewalInfo, "/") + "/" + certificateID(c.Certificate),
	})
	if f, ok := errors.AsType[*failure](err); ok {
		if call, ok := r.http.Call(f.Call); ok && call.Status == http.StatusNotFound && c.Name != "" {
			f.Advice = "make sure that this CA has issued the certificate"
		}
		return of(f)
	}
	if err != nil {
		return err
	}
	found, err := readRenewal(res.Body)
	if err != nil {
		return of(r.broken(objectRenewalInfo, "%s", err))
	}
	call, _ := r.http.Call(r.lastCall())
	if call.RetryAfter == nil { // an error that lasts, by RFC 9773 §4.3.3
		return of(r.broken(objectRenewalInfo, "the answer has no Retry-After that can be read"))
	}
	found.File, found.Serial = bounded(c.Name), bounded(hex.EncodeToString(c.Certificate.SerialNumber.Bytes()))
	found.Due = !found.Start.After(time.Now())
	found.RetryAfter = min(max(*call.RetryAfter, minRenewalRetry), maxRenewalRetry)
	r.facts.Renewals = append(r.facts.Renewals, found)
	return nil
}

// readRenewal reads the window and the explanation.
func readRenewal(body []byte) (found probe.Renewal, err error) {
	var info renewalInfo
	if err := json.Unmarshal(body, &info); err != nil {
		return found, fmt.Errorf("the renewal information cannot be read: %s", quoted(err.Error()))
	}
	found.Start, found.End = info.Window.Start.UTC(), info.Window.End.UTC()
	switch {
	case info.Window.Start.IsZero() || info.Window.End.IsZero():
		return found, errors.New("the renewal information has no suggestedWindow with start and end")
	case found.Start.Year() < 1 || found.End.Year() > 9999: // in another zone they are years that there are
		return found, errors.New("the suggested window has years that cannot be written down")
	case !found.Start.Before(found.End):
		return found, fmt.Errorf("the suggested window starts at %s, and ends at %s", stamp(found.Start), stamp(found.End))
	}
	if isHTTPS(info.ExplanationURL) {
		found.ExplanationURL = acmehttp.Scrub(info.ExplanationURL, maxQuoted)
	}
	return found, nil
}

// certificateID is how a CA is asked about c (RFC 9773 §4.1).
func certificateID(c *x509.Certificate) string {
	serial := c.SerialNumber.Bytes()
	if len(serial) == 0 || serial[0] >= 0x80 {
		serial = append([]byte{0}, serial...) // as in DER, where the first bit is the sign
	}
	return base64.RawURLEncoding.EncodeToString(c.AuthorityKeyId) + "." + base64.RawURLEncoding.EncodeToString(serial)
}

// stamp writes a time as people read it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
