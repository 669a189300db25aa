package prober

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Revocations say which of a pair's certificates is to be revoked, so that there are
// no more of them than the configuration wants, over restarts too.
type Revocations interface {
	// Due reports whether the last one was that long ago, or never.
	Due(every time.Duration) bool
	// Begin notes, durably, that one begins now.
	Begin() error
}

// revokeLasts is how long it is tried to revoke a certificate. The follow-up is kept for
// [probe.WatchLife], so that the last try can say that there will be none.
const revokeLasts = 24 * time.Hour

// finalizationLasts is how long a request to finalize an order may be on its way.
const finalizationLasts = time.Minute

// problemAlreadyRevoked is the type of the problem that a CA answers when a
// certificate was revoked before (RFC 8555 §7.6).
const problemAlreadyRevoked = "alreadyRevoked"

// objectRevocation is the revocation that a failure is about.
const objectRevocation = "revocation"

// revokes reports whether it is the turn of this run's certificate to be revoked. It
// never is that of a target's first one: those who look at what was issued need
// another one to look at.
func (r *run) revokes() bool {
	m := r.Pair.Module.Issue.Revoke
	if m == nil || r.Revocations == nil {
		return false
	}
	if r.Issued != nil {
		if last, err := r.Issued.Last(); err != nil || len(last) == 0 {
			return false
		}
	}
	return r.Revocations.Due(time.Duration(m.Every))
}

// sampleRevocation leaves it to a follow-up to revoke the certificate, leaf first.
func (r *run) sampleRevocation(chain []*x509.Certificate, reason probe.RevocationReason) error {
	return r.step(probe.StepSetup, "", func() error {
		// First: after a crash there is one too few, rather than one too many.
		if err := r.Revocations.Begin(); err != nil {
			return fail(probe.FailureLocal, "", "cannot store that a certificate is to be revoked: "+quoted(err.Error()))
		}
		return r.leaveRevocation(chain, reason)
	})
}

// leaveRevocation stores the follow-up that revokes the certificate, leaf first.
func (r *run) leaveRevocation(chain []*x509.Certificate, reason probe.RevocationReason) error {
	_, err := r.leave(probe.FollowUp{Kind: probe.FollowUpRevoke, Revocation: revocationOf(chain, reason)}, probe.WatchLife)
	return err
}

// revocationOf is that of a chain, leaf first. The issuer's certificate, if there is
// one, is for those who watch what comes of it.
func revocationOf(chain []*x509.Certificate, reason probe.RevocationReason) *probe.Revocation {
	v := &probe.Revocation{Serial: serialOf(chain[0]), Reason: reason}
	for _, c := range chain[:min(len(chain), 2)] {
		v.Chain = append(v.Chain, c.Raw)
	}
	return v
}

// serialOf is the certificate's serial number as facts have it.
func serialOf(c *x509.Certificate) string {
	return bounded(hex.EncodeToString(c.SerialNumber.Bytes()))
}

// followRevoke revokes the follow-up's certificate with the account's key (RFC 8555
// §7.6). It succeeds where there is none to be revoked, or it was before. A
// revocation that the CA will never take is dropped, and so is one that it has not taken
// for a day.
func followRevoke(ctx context.Context, r *run) error {
	what := r.FollowUp.Revocation
	if what == nil {
		return r.giveUp(fail(probe.FailureLocal, objectRevocation, "the stored follow-up does not say what to revoke"))
	}
	err := r.followRevoke(ctx, what)
	f, ok := errors.AsType[*failure](err)
	if ok && f.Kind != probe.FailureCanceled && f.Kind != probe.FailureRefusal && time.Since(r.FollowUp.Created) >= revokeLasts && !r.settled() {
		return r.giveUpRevoking(f)
	}
	return err
}

// settled reports whether the certificate is revoked, or left to another follow-up, or
// given up.
func (r *run) settled() bool {
	v := r.facts.Revocation
	return v != nil && (v.GivenUp || !v.At.IsZero()) ||
		slices.ContainsFunc(r.facts.FollowUps, func(f probe.FollowUp) bool { return f.Kind == probe.FollowUpRevoke })
}

// giveUpRevoking drops the follow-up, which revokes, and says that it has come to
// nothing.
func (r *run) giveUpRevoking(f *failure) error {
	if r.facts.Revocation == nil {
		seen := *r.FollowUp.Revocation
		seen.Chain, seen.Asked = nil, time.Time{}
		r.facts.Revocation = &seen
	}
	r.facts.Revocation.GivenUp = true
	return r.giveUp(f)
}

// followRevoke tries to revoke once.
func (r *run) followRevoke(ctx context.Context, what *probe.Revocation) error {
	if len(what.Chain) > 0 && r.found() {
		return r.tellCertificate(what)
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	if len(what.Chain) == 0 {
		return r.findRevocation(ctx, what.Reason)
	}
	seen := *what
	seen.Chain, seen.Asked = nil, time.Time{}
	r.facts.Revocation = &seen
	var before bool
	err := r.step(probe.StepRevocation, "", func() (err error) {
		before, err = r.revoke(ctx, what)
		return err
	})
	if err != nil {
		return err
	}
	seen.At = time.Now()
	if before { // by an earlier try, of whose answer nobody was left to hear
		seen.Undated = what.Asked.IsZero() || r.FollowUp.Attempts > 1 // which of them was it?
		if !what.Asked.IsZero() {
			seen.At = what.Asked
		}
	}
	watched := seen
	watched.Chain, watched.Absent = what.Chain, seen.At
	return r.watchRevocation(watched)
}

// lost is the failure of one who comes too late to learn whether the order, which was
// finalized, has led to a certificate; nil: it was not, and has not.
func (r *run) lost(what string) error {
	if f := r.FollowUp.Forbidden; f == nil || !f.Finalized {
		return nil
	}
	f := r.broken(objectOrder, "the order that was finalized %s: whether a certificate came of it, which would have to be revoked, cannot be known any more", what)
	f.Kind = probe.FailureObject
	return r.giveUpRevoking(f)
}

// findRevocation looks what became of the follow-up's order. Where that has led to a
// certificate, it is left to a follow-up of its own to revoke it, which no longer
// depends on whether the CA hands it out.
func (r *run) findRevocation(ctx context.Context, reason probe.RevocationReason) error {
	var url string
	issued := false
	err := r.step(probe.StepOrder, "", func() error {
		o, ex, err := r.getOrder(ctx, probe.CallOrder, r.FollowUp.URL)
		switch f, _ := errors.AsType[*failure](err); {
		case f != nil && f.problem != "" && ex.Response.Status == http.StatusNotFound:
			return r.lost("is gone") // says the CA, and not what stands before it
		case err != nil:
			return err
		}
		switch o.Status {
		case acme.StatusInvalid:
			if r.invalidOrder(ex.Response.Body).Problem == nil { // else the CA has refused it, or failed
				return r.lost("is invalid, and the CA does not say why")
			}
		case acme.StatusDeactivated, acme.StatusExpired, acme.StatusRevoked:
			return r.lost("is " + o.Status)
		case acme.StatusValid:
			issued = true
			if url = o.CertURL; !isHTTPS(url) {
				return r.broken(objectOrder, "the valid order's certificate is not an absolute https URL")
			}
		case acme.StatusProcessing:
			return fail(probe.FailureTimeout, objectOrder, "the order is still processing: the CA may yet issue its certificate")
		case acme.StatusReady:
			// A run that was cut may have finalized it a moment ago.
			if time.Since(r.FollowUp.Created) < finalizationLasts {
				return fail(probe.FailureTimeout, objectOrder, "the order is ready: the CA may yet learn that it is finalized")
			}
		}
		return nil
	})
	if !issued {
		return err
	}
	untold := r.found()
	if err == nil {
		err = r.step(probe.StepDownload, "", func() error {
			chain, err := r.download(ctx, url)
			if err != nil {
				return err
			}
			if r.FollowUp.Forbidden != nil {
				r.keepEvidence(chain)
			}
			if untold {
				return nil // it is downloaded again
			}
			return r.leaveRevocation(chain, reason)
		})
	}
	if untold {
		return r.tell(true, err)
	}
	return err
}

// tellCertificate accuses the CA of the certificate that is to be revoked: the run that
// has downloaded it was cut before anybody heard of it.
func (r *run) tellCertificate(what *probe.Revocation) error {
	var chain []*x509.Certificate
	for _, der := range what.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			break
		}
		chain = append(chain, c)
	}
	if len(chain) > 0 {
		r.keepEvidence(chain)
	}
	return r.tell(true, nil)
}

// keepEvidence keeps the certificate, leaf first, that the CA had to refuse.
func (r *run) keepEvidence(chain []*x509.Certificate) {
	r.facts.Certificate = describe(chain)
	r.facts.Certificate.PEM = evidence(chain)
}

// revoke asks the CA to revoke the certificate. That it was revoked before is what an
// earlier try has done that nobody was left to hear of.
func (r *run) revoke(ctx context.Context, what *probe.Revocation) (before bool, err error) {
	if r.directory.RevokeCert == "" {
		f := fail(probe.FailureUnsupported, objectDirectory, "the CA's directory has no revokeCert")
		return false, r.giveUpRevoking(f)
	}
	if err := r.checkDirectory([]string{"revokeCert"}); err != nil {
		return false, err
	}
	payload := struct {
		Certificate string `json:"certificate"`
		Reason      int    `json:"reason,omitempty"` // none is unspecified: "the server SHOULD omit the reasonCode"
	}{base64.RawURLEncoding.EncodeToString(what.Chain[0]), what.Reason.Code()}
	body, err := json.Marshal(payload)
	if err != nil {
		return false, fail(probe.FailureLocal, objectRevocation, quoted(err.Error()))
	}
	// First: should nobody hear the answer, this is when it was revoked.
	asked := *what
	asked.Asked = time.Now()
	if err := r.FollowUps.Note(asked); err != nil {
		return false, fail(probe.FailureLocal, "", "cannot store that the CA is asked to revoke: "+quoted(err.Error()))
	}
	_, err = r.post(ctx, acmehttp.Exchange{}, r.directory.RevokeCert, body)
	f, ok := errors.AsType[*failure](err)
	switch {
	case ok && f.problem == problemAlreadyRevoked:
		return true, nil
	case ok && f.problem == "badRevocationReason":
		return false, r.giveUpRevoking(f)
	}
	return false, err
}

// giveUp drops the follow-up, since no later attempt will do better. If it cannot be
// forgotten it is tried until it expires.
func (r *run) giveUp(f *failure) error {
	_ = r.FollowUps.Drop(r.FollowUp.ID)
	return f
}
