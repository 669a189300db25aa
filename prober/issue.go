package prober

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/conformance"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxFinalizations bounds how often an order is finalized that the CA finds
// ready and not ready in turn.
const maxFinalizations = 5

// probeIssue has a certificate issued, downloads it and checks it.
func probeIssue(ctx context.Context, r *run) error {
	m := r.Pair.Module.Issue
	if m.Expect != nil {
		return probeRefusal(ctx, r)
	}
	names, err := r.reserve(probe.SpendOrder|probe.SpendValidation|probe.SpendCertificate, m.Names)
	if err != nil {
		return err
	}
	o := &order{names: names, profile: m.Profile}
	var key crypto.Signer
	var csr []byte
	err = r.step(probe.StepSetup, "", func() (err error) {
		// Before anything of the CA's is timed: an RSA key can take seconds.
		key, csr, err = certificateRequest(m.KeyType, o.names)
		return err
	})
	if err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	if err := r.authorize(ctx, o, method{challenge: m.Challenge, policy: m.PersistPolicy, mode: m.Authorization}); err != nil {
		return err
	}
	var url string
	err = r.step(probe.StepFinalization, "", func() error {
		url, err = r.finalizeOrder(ctx, o, csr)
		return err
	})
	if err != nil {
		return err
	}
	var chain []*x509.Certificate
	err = r.step(probe.StepDownload, "", func() error {
		chain, err = r.download(ctx, url)
		return err
	})
	if err != nil {
		return err
	}
	err = r.step(probe.StepCertificate, "", func() error {
		return r.inspect(chain, key.Public(), o.names)
	})
	if err == nil && r.revokes() {
		// Nobody is to look at it any more: the CA would want it to be renewed at once.
		return r.sampleRevocation(chain, m.Revoke.Reason)
	}
	if r.Issued != nil {
		r.Issued.Keep(chain)
	}
	return err
}

// certificateRequest makes a new key of that type and the request to certify it
// for the names. The names are in the subjectAltName only: a common name holds
// 64 characters, and no more is asked of it.
func certificateRequest(keyType string, names []string) (crypto.Signer, []byte, error) {
	key, err := generateKey(keyType)
	if err != nil {
		return nil, nil, fail(probe.FailureLocal, "", "cannot make the certificate's key: "+quoted(err.Error()))
	}
	template := &x509.CertificateRequest{}
	template.DNSNames, template.IPAddresses = subjectNames(names)
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, nil, fail(probe.FailureLocal, "", "cannot make the certificate request: "+quoted(err.Error()))
	}
	return key, csr, nil
}

// generateKey makes a key of that type.
func generateKey(keyType string) (crypto.Signer, error) {
	switch keyType {
	case config.KeyECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case config.KeyECDSAP384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case config.KeyRSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case config.KeyRSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return nil, fmt.Errorf("there is no key type %q", keyType)
}

// finalizeOrder finalizes the order and waits until it is valid (RFC 8555
// §7.4). It returns the certificate's URL.
func (r *run) finalizeOrder(ctx context.Context, o *order, csr []byte) (string, error) {
	payload := json.RawMessage(`{"csr":"` + base64.RawURLEncoding.EncodeToString(csr) + `"}`)
	r.spending.finalized = true // until it is known better
	got, err := r.finalize(ctx, o, payload, acmehttp.Exchange{})
	r.spending.finalized = !untaken(err)
	for n := 1; n <= maxFinalizations && notReady(err); n++ {
		// The authorizations are valid, and the order lags behind them.
		got, err = r.awaitOrder(ctx, o, finalOrder{Status: acme.StatusPending}, acme.StatusReady, acme.StatusProcessing, acme.StatusValid)
		if err == nil && got.Status == acme.StatusReady {
			got, err = r.finalize(ctx, o, payload, acmehttp.Exchange{Attempt: n, RetryCause: causeOrderNotReady})
		}
		r.spending.finalized = !untaken(err)
	}
	if err == nil && got.Status != acme.StatusValid {
		got, err = r.awaitOrder(ctx, o, got, acme.StatusValid)
	}
	if err != nil {
		r.spending.finalized = r.spending.finalized && !givenUp(err)
		return "", err
	}
	r.spending.issued = true
	if !isHTTPS(got.Certificate) {
		return "", r.unusable(objectOrder, "the valid order's certificate", got.Certificate)
	}
	return got.Certificate, nil
}

// finalize sends the certificate request, as one exchange.
func (r *run) finalize(ctx context.Context, o *order, payload json.RawMessage, ex acmehttp.Exchange) (finalOrder, error) {
	sent, err := r.post(ctx, ex, o.finalize, payload)
	if err != nil {
		return finalOrder{}, err
	}
	got := finalOrder{retryAfter: r.retryAfter(sent)}
	if err := json.Unmarshal(sent.Response.Body, &got); err != nil {
		return got, r.broken(objectOrder, "the finalized order cannot be read: %s", quoted(err.Error()))
	}
	return got, r.checkFinalOrder(got.Status, sent.Response.Body)
}

// untaken reports whether the CA did not take the request that ended with err. What
// becomes of polls after one that it took says nothing about it.
func untaken(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.unheard
}

// givenUp reports whether err is that the CA has given the order up.
func givenUp(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.Kind == probe.FailureObject && f.Object == objectOrder
}

// notReady reports whether the CA does not hold the order for ready: "the
// server MUST return a 403 (Forbidden) error with the problem document type
// "orderNotReady"" (RFC 8555 §7.4).
func notReady(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.problem == "orderNotReady"
}

// finalOrder is an order from its finalization on.
type finalOrder struct {
	Status      string `json:"status"`
	Certificate string `json:"certificate"`
	// retryAfter is what its answer asked for; 0: nothing.
	retryAfter time.Duration
}

// checkFinalOrder reports a status from which the order will not become valid.
func (r *run) checkFinalOrder(status string, body []byte) error {
	switch status {
	case acme.StatusPending, acme.StatusReady, acme.StatusProcessing, acme.StatusValid:
		return nil
	case acme.StatusInvalid:
		return r.invalidOrder(body)
	}
	return r.broken(objectOrder, "the order has an unknown status %q", quoted(status))
}

// awaitOrder polls the order until its status is one of want. It asks at the
// URL that new-order gave: finalize's answer may come without a Location.
func (r *run) awaitOrder(ctx context.Context, o *order, got finalOrder, want ...string) (finalOrder, error) {
	err := r.poll(ctx, objectOrder, got.Status, got.retryAfter, func(ctx context.Context) (string, time.Duration, error) {
		read, ex, err := r.getOrder(ctx, "", o.url)
		if err != nil {
			return "", 0, err
		}
		got = finalOrder{Status: read.Status, Certificate: read.CertURL, retryAfter: r.retryAfter(ex)}
		err = r.checkFinalOrder(got.Status, ex.Response.Body)
		if slices.Contains(want, got.Status) {
			return "", 0, err
		}
		return got.Status, got.retryAfter, err
	})
	return got, err
}

// download fetches the certificate and its chain (RFC 8555 §7.4.2).
func (r *run) download(ctx context.Context, url string) ([]*x509.Certificate, error) {
	ex, err := r.post(ctx, acmehttp.Exchange{}, url, nil)
	if err != nil {
		return nil, err
	}
	chain, err := conformance.ParseChain(ex.Response.Body)
	if err != nil {
		return nil, r.broken(objectCertificate, "the certificate cannot be read: %s", quoted(err.Error()))
	}
	return chain, nil
}
