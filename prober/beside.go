package prober

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net/http"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/revocation"
)

// Issued remembers the last certificate that the run's target has issued to us,
// whichever of its modules asked for it.
type Issued interface {
	// Keep remembers the chain, leaf first, and forgets the one before.
	Keep(chain []*x509.Certificate)
	// Last returns what was kept last; nil: nothing was yet. Its error says why that is
	// not known.
	Last() ([]*x509.Certificate, error)
}

// The objects that a flaw can be of.
const (
	objectCRL    = "crl"
	objectOCSP   = "ocsp"
	objectIssuer = "issuer"
	objectSite   = "site"
)

// fetch is one request for something that a CA publishes beside its API.
type fetch struct {
	call        probe.CallName
	url         string
	chosen      bool   // the URL is the configuration's own
	post        []byte // nil: GET
	contentType string // of post
	limit       int64
	read        func(io.Reader) // of an answer with status 200; nil: into Response.Body
	// anyCertificate: the server's certificate is what is looked at, and its answer is
	// not.
	anyCertificate bool
}

// get makes the request, and returns the answer, which has status 200. Where a URL
// that the CA names leads into a private network, the directory is read, and if it
// lives there too, the request is made again.
func (r *run) get(ctx context.Context, what fetch) (*acmehttp.Response, error) {
	res, err := r.getOnce(ctx, what)
	if f, ok := errors.AsType[*failure](err); !ok || what.chosen || r.located || !r.refusedAddress(f) {
		return res, err
	}
	r.located = true
	current := r.current
	defer func() { r.current = current }()
	if r.readDirectory(ctx, nil) != nil {
		return res, err
	}
	r.current = current
	return r.getOnce(ctx, what)
}

// refusedAddress reports whether the call that failed would have led where the
// target may not send us.
func (r *run) refusedAddress(f *failure) bool {
	call, ok := r.http.Call(f.Call)
	return ok && call.Error != nil && call.Error.Cause == probe.CauseAddress
}

func (r *run) getOnce(ctx context.Context, what fetch) (*acmehttp.Response, error) {
	ex, err := r.exchange(ctx, acmehttp.Exchange{Call: what.call}, func(ctx context.Context, ex *acmehttp.Exchange) error {
		ex.Chosen, ex.AnyCertificate, ex.Read, ex.Limit = what.chosen, what.anyCertificate, what.read, what.limit
		method, body := http.MethodGet, io.Reader(nil)
		if what.post != nil {
			method, body = http.MethodPost, bytes.NewReader(what.post)
		}
		req, err := http.NewRequestWithContext(ctx, method, what.url, body)
		if err != nil {
			return err
		}
		if what.post != nil {
			req.Header.Set("Content-Type", what.contentType)
		}
		res, err := r.http.Client().Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK && !what.anyCertificate {
			return errStatus // unanswered has the number
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ex.Response, nil
}

// getCRL fetches a CRL, and checks it. The CRL is nil if it cannot be read. Serial is
// looked for in it; nil: none is. Leaf says that a certificate that is no CA's names
// the URL.
func (r *run) getCRL(ctx context.Context, url string, chosen bool, issuers []*x509.Certificate, serial *big.Int, leaf bool) (*revocation.CRL, probe.CRL, error) {
	var crl *revocation.CRL
	var unread error
	res, err := r.get(ctx, fetch{
		call: probe.CallCRL, url: url, chosen: chosen, limit: revocation.MaxCRL,
		read: func(body io.Reader) { crl, unread = revocation.ReadCRL(body, serial) },
	})
	if err != nil {
		return nil, probe.CRL{}, err
	}
	if unread != nil {
		return nil, probe.CRL{URL: bounded(url), Flaws: []probe.Flaw{{Flaw: probe.FlawCRLUnreadable, Detail: quoted(unread.Error())}}}, nil
	}
	facts, _ := crl.Check(revocation.CRLCheck{
		URL: url, ContentType: res.Header.Get("Content-Type"), Issuers: issuers, Now: time.Now(), Leaf: leaf,
	})
	facts.URL, facts.Lifetime = bounded(url), revocation.Lifetime(res.Header)
	return crl, facts, nil
}

// askOCSP asks a responder about a certificate by GET or POST, and checks the answer.
func (r *run) askOCSP(ctx context.Context, url, method string, chosen bool, serial *big.Int, issuer *x509.Certificate) (probe.OCSP, error) {
	request, err := revocation.OCSPRequest(serial, issuer)
	if err != nil {
		return probe.OCSP{}, fail(probe.FailureLocal, objectOCSP, "cannot make the question: "+quoted(err.Error()))
	}
	what := fetch{call: probe.CallOCSP, url: revocation.OCSPGet(url, request), chosen: chosen, limit: revocation.MaxOCSP}
	if method == http.MethodPost {
		what.url, what.post, what.contentType = url, request, revocation.TypeOCSPRequest
	}
	res, err := r.get(ctx, what)
	if err != nil {
		return probe.OCSP{}, err
	}
	facts := revocation.CheckOCSP(res.Body, revocation.OCSPCheck{
		URL: bounded(url), Method: method, ContentType: res.Header.Get("Content-Type"), Serial: serial, Issuer: issuer, Now: time.Now(),
	})
	return facts, nil
}

// flawed returns the failure of the first flaw of what is at the URL; nil: there is
// none.
func (r *run) flawed(object, url string, flaws []probe.Flaw) error {
	if len(flaws) == 0 {
		return nil
	}
	f := r.broken(object, "%s: %s", url, flaws[0].Detail)
	f.Kind, f.Flaw = probe.FailureFlaw, flaws[0].Flaw
	return f
}

// each does a step for each of n things, all of them, and returns the failure of the
// first that has one. After a failure and the end of the run's time none is begun.
func (r *run) each(ctx context.Context, n int, name probe.StepName, do func(i int) error) (first error) {
	for i := range n {
		if first != nil && ctx.Err() != nil {
			break
		}
		err := r.step(name, "", func() error { return do(i) })
		if first == nil {
			first = err
		}
	}
	return first
}

// subject returns the certificate that the run is about and its issuer's: those of
// the file, or those that the target has issued last.
func (r *run) subject(file []*x509.Certificate) (leaf, issuer *x509.Certificate, err error) {
	chain := file
	if len(chain) == 0 && r.Issued != nil {
		chain, err = r.Issued.Last()
	}
	switch {
	case err != nil:
		return nil, nil, notApplicable(quoted(err.Error()))
	case len(chain) == 0:
		return nil, nil, notApplicable("this target has issued nothing to us yet")
	case len(chain) == 1:
		return nil, nil, notApplicable("the last certificate came without its issuer's")
	}
	return chain[0], chain[1], nil
}

// notApplicable is the failure of a run that has nothing to look at.
func notApplicable(detail string) *failure {
	return fail(probe.FailureNotApplicable, "", detail)
}
