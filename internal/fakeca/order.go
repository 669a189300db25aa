package fakeca

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// order is RFC 8555 §7.1.3's.
type order struct {
	account                     *account
	path, finalize, certificate string
	names                       []string
	profile                     string
	status                      string
	authzs                      []*authz
	problem                     *Problem
	csr                         *x509.CertificateRequest
	chain                       []byte
	stuck                       bool
	polls                       int // reads until it is no longer processing
}

// newOrder is RFC 8555 §7.4.
func (ca *CA) newOrder(q request) *answer {
	var p struct {
		Identifiers []struct{ Type, Value string }
		Profile     string
	}
	if err := json.Unmarshal(q.payload, &p); err != nil {
		return failed(malformed("order: %v", err))
	}
	if len(p.Identifiers) == 0 {
		return failed(malformed("order: no identifiers"))
	}
	if _, known := ca.options.Profiles[p.Profile]; p.Profile != "" && !known {
		return failed(&Problem{Type: "invalidProfile", Detail: "no such profile"})
	}
	var names []string
	for _, id := range p.Identifiers {
		switch {
		case id.Type != "dns" && id.Type != "ip":
			return failed(&Problem{Type: "unsupportedIdentifier", Detail: "type " + id.Type})
		case id.Type != identifierType(id.Value):
			return failed(malformed("order: %q is not of the type %s", id.Value, id.Type))
		}
		names = append(names, strings.ToLower(id.Value))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if o := ca.reusable(q.by, names); o != nil {
		return found(http.StatusCreated, ca.orderObject(o)).with("Location", ca.url(o.path))
	}
	o := &order{account: q.by, names: names, profile: p.Profile, status: "pending", stuck: q.fault.Stuck}
	o.path = ca.path(route{call: probe.CallOrder, order: o})
	o.finalize = ca.path(route{call: probe.CallFinalize, order: o})
	for _, name := range names {
		o.authzs = append(o.authzs, ca.authorize(q.by, name))
	}
	if q.fault.Invalid != nil {
		o.status, o.problem = "invalid", q.fault.Invalid
	}
	ca.orders = append(ca.orders, o)
	return found(http.StatusCreated, ca.orderObject(o)).with("Location", ca.url(o.path))
}

// identifierType is that of a name: "dns", or "ip" (RFC 8738 §3).
func identifierType(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return "ip"
	}
	return "dns"
}

// reusable finds an order that newOrder may answer with; nil: none.
func (ca *CA) reusable(by *account, names []string) *order {
	if !ca.options.ReuseOrders {
		return nil
	}
	for _, o := range ca.orders {
		o.refresh()
		if o.account == by && slices.Equal(o.names, names) && (o.status == "pending" || o.status == "ready") {
			return o
		}
	}
	return nil
}

// refresh derives the status from the authorizations (RFC 8555 §7.1.6).
func (o *order) refresh() {
	if o.stuck || o.status != "pending" && o.status != "ready" {
		return
	}
	ready := true
	for _, a := range o.authzs {
		switch a.status {
		case "valid":
		case "pending":
			ready = false
		default:
			o.status = "invalid"
			return
		}
	}
	if ready {
		o.status = "ready"
	}
}

// orderObject is what clients see. The caller holds mu.
func (ca *CA) orderObject(o *order) map[string]any {
	o.refresh()
	var identifiers []map[string]any
	var authorizations []string
	for _, name := range o.names {
		identifiers = append(identifiers, map[string]any{"type": identifierType(name), "value": name})
	}
	for _, a := range o.authzs {
		authorizations = append(authorizations, ca.url(a.path))
	}
	object := map[string]any{
		"status":         o.status,
		"expires":        time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		"identifiers":    identifiers,
		"authorizations": authorizations,
		"finalize":       ca.url(o.finalize),
	}
	if o.profile != "" {
		object["profile"] = o.profile
	}
	if o.problem != nil {
		object["error"] = o.problem.object()
	}
	if o.status == "valid" {
		object["certificate"] = ca.url(o.certificate)
	}
	return object
}

// orderAnswer is an order with the Retry-After of processing ones.
func (ca *CA) orderAnswer(o *order) *answer {
	a := found(http.StatusOK, ca.orderObject(o)).with("Location", ca.url(o.path))
	if o.status == "processing" {
		a.with("Retry-After", ca.options.RetryAfter)
	}
	return a
}

func (ca *CA) readOrder(q request) *answer {
	o := q.order
	if o.status == "processing" && !o.stuck {
		if o.polls > 0 {
			o.polls--
		} else {
			ca.complete(o)
		}
	}
	return ca.orderAnswer(o)
}

// finalize is RFC 8555 §7.4.
func (ca *CA) finalize(q request) *answer {
	o := q.order
	o.refresh()
	if o.status != "ready" {
		return failed(&Problem{Type: "orderNotReady", Status: http.StatusForbidden, Detail: "the order is " + o.status})
	}
	var p struct{ CSR string }
	if err := json.Unmarshal(q.payload, &p); err != nil {
		return failed(malformed("finalize: %v", err))
	}
	der, err := base64.RawURLEncoding.DecodeString(p.CSR)
	if err != nil {
		return failed(malformed("certificate request: %v", err))
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return failed(&Problem{Type: "badCSR", Detail: err.Error()})
	}
	names := slices.Clone(csr.DNSNames)
	for _, ip := range csr.IPAddresses {
		names = append(names, ip.String())
	}
	if csr.Subject.CommonName != "" {
		names = append(names, csr.Subject.CommonName)
	}
	slices.Sort(names)
	if !slices.Equal(slices.Compact(names), o.names) {
		return failed(&Problem{Type: "badCSR", Detail: "other names than the order's"})
	}
	o.csr, o.status = csr, "processing"
	o.stuck, o.problem, o.polls = q.fault.Stuck, q.fault.Invalid, ca.options.Polls
	switch {
	case o.stuck || ca.options.AsyncFinalize:
	case o.problem != nil:
		o.status = "invalid"
	default:
		ca.complete(o)
	}
	return ca.orderAnswer(o)
}

// complete ends the processing of an order.
func (ca *CA) complete(o *order) {
	if o.problem != nil {
		o.status = "invalid"
		return
	}
	chain, number, err := ca.pki.issue(o.csr.PublicKey, o.names, "")
	if err != nil {
		o.status, o.problem = "invalid", &Problem{Type: "serverInternal", Status: http.StatusInternalServerError, Detail: err.Error()}
		return
	}
	ca.issued[number] = false
	o.status, o.chain = "valid", chain
	o.certificate = ca.path(route{call: probe.CallCertificate, order: o})
}

// download is RFC 8555 §7.4.2.
func (ca *CA) download(q request) *answer {
	chain := q.order.chain
	if defect := q.fault.Certificate; defect != "" {
		broken, number, err := ca.pki.issue(q.order.csr.PublicKey, q.order.names, defect)
		if err != nil {
			return failed(&Problem{Type: "serverInternal", Status: http.StatusInternalServerError, Detail: err.Error()})
		}
		ca.issued[number] = false
		chain = broken
	}
	return &answer{
		status: http.StatusOK,
		header: http.Header{"Content-Type": {"application/pem-certificate-chain"}},
		body:   chain,
		nonce:  true,
	}
}
