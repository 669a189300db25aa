package prober

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"maps"
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
	call   probe.CallName
	url    string
	chosen bool // the URL is the configuration's own
	// conditions are header fields that ask for an answer only if it is another one than
	// before; then the answer may have status 304. nil: none.
	conditions  http.Header
	post        []byte // nil: GET
	contentType string // of post
	limit       int64
	read        func(io.Reader) // of an answer with status 200; nil: into Response.Body
	// anyCertificate: the server's certificate is what is looked at, and its answer is
	// not.
	anyCertificate bool
}

// get makes the request, and returns the answer, which has status 200, or 304 if it was
// asked for on conditions. Where a URL that the CA names leads into a private network,
// the directory is read, and if it lives there too, the request is made again.
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
		maps.Copy(req.Header, what.conditions)
		if what.post != nil {
			req.Header.Set("Content-Type", what.contentType)
		}
		res, err := r.http.Client().Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		unchanged := res.StatusCode == http.StatusNotModified && what.conditions != nil
		if res.StatusCode != http.StatusOK && !unchanged && !what.anyCertificate {
			return errStatus // unanswered has the number
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ex.Response, nil
}

// wantedCRL is a CRL that is to be fetched.
type wantedCRL struct {
	url     string
	chosen  bool // the URL is the configuration's own
	issuers []*x509.Certificate
	serial  *big.Int // is looked for; nil: none is
	leaf    bool     // a certificate that is no CA's names the URL
	// known is the list as it was read before, which need not be sent again; nil: it is
	// to be fetched whatever it is.
	known *probe.ReadList
}

// fetchedCRL is what came of it.
type fetchedCRL struct {
	crl   *revocation.CRL // nil: it cannot be read, or was not sent
	facts probe.CRL
	// read is the list as it is to be known the next time; nil: it was not sent, or has
	// flaws because of which it tells nobody anything.
	read *probe.ReadList
}

// getCRL fetches a CRL, and checks it.
func (r *run) getCRL(ctx context.Context, want wantedCRL) (fetchedCRL, error) {
	what := fetch{call: probe.CallCRL, url: want.url, chosen: want.chosen, limit: revocation.MaxCRL}
	if want.known != nil {
		what.conditions = revocation.Conditions(want.known)
	}
	got := fetchedCRL{}
	var unread error
	what.read = func(body io.Reader) { got.crl, unread = revocation.ReadCRL(body, want.serial) }
	res, err := r.get(ctx, what)
	if err != nil {
		return fetchedCRL{}, err
	}
	url := bounded(want.url)
	switch {
	case res.Status == http.StatusNotModified:
		got.facts = probe.CRL{URL: url, ThisUpdate: want.known.ThisUpdate, NextUpdate: want.known.NextUpdate, Unchanged: true}
		return got, nil
	case unread != nil:
		got.facts = probe.CRL{URL: url, Flaws: []probe.Flaw{{Flaw: probe.FlawCRLUnreadable, Detail: quoted(unread.Error())}}}
		return got, nil
	}
	now := time.Now()
	got.facts, _ = got.crl.Check(revocation.CRLCheck{
		URL: want.url, ContentType: res.Header.Get("Content-Type"), Issuers: want.issuers, Now: now, Leaf: want.leaf,
	})
	got.facts.URL, got.facts.Lifetime = url, revocation.Lifetime(res.Header)
	if len(grave(got.facts.Flaws)) == 0 {
		got.read = &probe.ReadList{URL: want.url, At: now, ThisUpdate: got.facts.ThisUpdate, NextUpdate: got.facts.NextUpdate}
		got.read.ETag, got.read.LastModified = revocation.Validators(res.Header)
	}
	return got, nil
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
