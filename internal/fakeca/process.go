package fakeca

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// request is a request taken apart.
type request struct {
	route
	call    probe.CallName
	message message
	header  header
	payload []byte
	broken  error // why it is no JWS; nil: it is one
	fault   *Fault
	by      *account
}

// process acts upon a request and returns the right answer.
func (ca *CA) process(r *http.Request, q request) *answer {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	switch q.call {
	case probe.CallUnknown:
		return &answer{status: http.StatusNotFound, header: http.Header{"Content-Type": {"text/plain"}}, body: []byte("not found\n")}
	case probe.CallDirectory:
		if r.Method != http.MethodGet {
			return notAllowed("GET")
		}
		a := found(http.StatusOK, ca.directory())
		a.nonce = false
		return a
	case probe.CallNewNonce:
		switch r.Method { // RFC 8555 §7.2
		case http.MethodHead:
			return &answer{status: http.StatusOK, header: http.Header{}, nonce: true}
		case http.MethodGet:
			return &answer{status: http.StatusNoContent, header: http.Header{}, nonce: true}
		}
		return notAllowed("GET, HEAD")
	case probe.CallRenewalInfo:
		return ca.renewalInfo(r)
	}
	if r.Method != http.MethodPost {
		return notAllowed("POST")
	}
	if r.Header.Get("Content-Type") != "application/jose+json" { // RFC 8555 §6.2
		return failed(&Problem{Type: "malformed", Status: http.StatusUnsupportedMediaType, Detail: "not application/jose+json"})
	}
	if q.broken != nil {
		return failed(malformed("%v", q.broken))
	}
	var p *Problem
	embedded := q.call == probe.CallNewAccount || q.call == probe.CallRevokeCert && q.header.Key != nil
	if q.by, p = ca.verify(ca.url(r.URL.Path), q.message, q.header, embedded); p != nil {
		return failed(p)
	}
	if owner := q.owner(); owner != nil && owner != q.by {
		return failed(&Problem{Type: "unauthorized", Status: http.StatusForbidden, Detail: "another account's"})
	}
	return ca.dispatch(q)
}

// owner is whose object a request is about; nil: nobody's.
func (q *request) owner() *account {
	switch {
	case q.order != nil:
		return q.order.account
	case q.authz != nil:
		return q.authz.account
	}
	return q.account
}

// dispatch acts upon a signed request that was verified.
func (ca *CA) dispatch(q request) *answer {
	switch q.call {
	case probe.CallNewAccount:
		return ca.newAccount(q)
	case probe.CallAccount:
		return ca.changeAccount(q)
	case probe.CallKeyChange:
		return ca.changeKey(q)
	case probe.CallNewOrder:
		return ca.newOrder(q)
	case probe.CallOrder:
		return ca.readOrder(q)
	case probe.CallAuthz:
		q.authz.advance()
		return found(http.StatusOK, ca.authzObject(q.authz))
	case probe.CallDeactivateAuthz:
		q.authz.status = "deactivated"
		return found(http.StatusOK, ca.authzObject(q.authz))
	case probe.CallChallenge:
		return ca.acceptChallenge(q)
	case probe.CallFinalize:
		return ca.finalize(q)
	case probe.CallCertificate:
		return ca.download(q)
	case probe.CallRevokeCert:
		return ca.revoke(q)
	}
	return failed(&Problem{Type: "serverInternal", Status: http.StatusNotImplemented, Detail: "not implemented"})
}

func notAllowed(methods string) *answer {
	a := failed(&Problem{Type: "malformed", Status: http.StatusMethodNotAllowed, Detail: "method not allowed"})
	a.nonce = false
	return a.with("Allow", methods)
}

// directory is RFC 8555 §7.1.1's. The caller holds mu.
func (ca *CA) directory() map[string]any {
	meta := map[string]any{"website": "https://ca.example", "caaIdentities": []string{"ca.example"}}
	if ca.options.Terms != "" {
		meta["termsOfService"] = ca.options.Terms
	}
	if len(ca.options.EAB) > 0 {
		meta["externalAccountRequired"] = true
	}
	if len(ca.options.Profiles) > 0 {
		meta["profiles"] = ca.options.Profiles
	}
	directory := map[string]any{
		"newNonce":   ca.url(ca.fixed[probe.CallNewNonce]),
		"newAccount": ca.url(ca.fixed[probe.CallNewAccount]),
		"newOrder":   ca.url(ca.fixed[probe.CallNewOrder]),
		"revokeCert": ca.url(ca.fixed[probe.CallRevokeCert]),
		"keyChange":  ca.url(ca.fixed[probe.CallKeyChange]),
		"meta":       meta,
	}
	if ca.options.RenewalInfo {
		directory["renewalInfo"] = ca.url(ca.fixed[probe.CallRenewalInfo])
	}
	return directory
}

// revoke is RFC 8555 §7.6.
func (ca *CA) revoke(q request) *answer {
	var p struct{ Certificate string }
	if err := json.Unmarshal(q.payload, &p); err != nil {
		return failed(malformed("revocation: %v", err))
	}
	der, err := base64.RawURLEncoding.DecodeString(p.Certificate)
	if err != nil {
		return failed(malformed("certificate: %v", err))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return failed(malformed("certificate: %v", err))
	}
	number := cert.SerialNumber.Text(16)
	revoked, known := ca.issued[number]
	switch {
	case !known:
		return failed(&Problem{Type: "unauthorized", Status: http.StatusForbidden, Detail: "not one of ours"})
	case revoked:
		return failed(&Problem{Type: "alreadyRevoked", Detail: "revoked before"})
	}
	ca.issued[number] = true
	return &answer{status: http.StatusOK, header: http.Header{}, nonce: true}
}
