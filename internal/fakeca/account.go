package fakeca

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// account is RFC 8555 §7.1.2's.
type account struct {
	url        string
	key        *jwk
	thumbprint string
	status     string
	contact    []string
}

// newAccount is RFC 8555 §7.3.
func (ca *CA) newAccount(q request) *answer {
	var p struct {
		Contact                []string
		TermsOfServiceAgreed   bool
		OnlyReturnExisting     bool
		ExternalAccountBinding json.RawMessage
	}
	if err := json.Unmarshal(q.payload, &p); err != nil {
		return failed(malformed("account: %v", err))
	}
	thumbprint := q.header.Key.thumbprint()
	if a := ca.accounts[thumbprint]; a != nil {
		if a.status != "valid" {
			return failed(&Problem{Type: "unauthorized", Status: http.StatusForbidden, Detail: "an account with this key exists and is " + a.status})
		}
		return found(http.StatusOK, a.object()).with("Location", a.url)
	}
	if p.OnlyReturnExisting {
		return failed(&Problem{Type: "accountDoesNotExist", Detail: "no account with this key"})
	}
	if ca.options.Terms != "" && !p.TermsOfServiceAgreed {
		return failed(&Problem{Type: "userActionRequired", Status: http.StatusForbidden, Detail: "agree to the terms"}).
			with("Link", `<`+ca.options.Terms+`>;rel="terms-of-service"`)
	}
	if problem := ca.verifyBinding(p.ExternalAccountBinding, q.header.Key); problem != nil {
		return failed(problem)
	}
	a := &account{key: q.header.Key, thumbprint: thumbprint, status: "valid", contact: p.Contact}
	a.url = ca.url(ca.path(route{call: probe.CallAccount, account: a}))
	ca.accounts[thumbprint], ca.kids[a.url] = a, a
	ca.created = append(ca.created, a)
	return found(http.StatusCreated, a.object()).with("Location", a.url)
}

func (a *account) object() map[string]any {
	return map[string]any{"status": a.status, "contact": slices.Clone(a.contact), "orders": a.url + "/orders"}
}

// changeAccount reads an account (RFC 8555 §7.3.3), updates it (§7.3.2) or
// deactivates it (§7.3.6).
func (ca *CA) changeAccount(q request) *answer {
	if len(q.payload) > 0 {
		var p struct {
			Contact *[]string
			Status  string
		}
		if err := json.Unmarshal(q.payload, &p); err != nil {
			return failed(malformed("account: %v", err))
		}
		if p.Contact != nil {
			q.by.contact = *p.Contact
		}
		if p.Status == "deactivated" {
			q.by.status = p.Status
		}
	}
	return found(http.StatusOK, q.by.object())
}

// changeKey is RFC 8555 §7.3.5.
func (ca *CA) changeKey(q request) *answer {
	// "The server MUST perform the following steps in addition to the typical JWS
	// validation": they follow in the RFC's order.
	m, h, payload, err := parse(q.payload)
	if err != nil {
		return failed(malformed("inner JWS: %v", err))
	}
	var p struct {
		Account string
		OldKey  jwk
	}
	switch {
	case h.Key == nil || h.KeyID != "" || h.Nonce != "":
		return failed(malformed("inner JWS: wrong header"))
	case json.Unmarshal(payload, &p) != nil:
		return failed(malformed("inner JWS: not a key change"))
	}
	if problem := m.verify(h.Algorithm, h.Key); problem != nil {
		return failed(problem)
	}
	switch {
	case h.URL != q.header.URL:
		return failed(malformed("inner JWS: for another URL"))
	case p.Account != q.by.url:
		return failed(malformed("inner JWS: for another account"))
	case p.OldKey != *q.by.key:
		return failed(malformed("inner JWS: the old key is another one"))
	}
	thumbprint := h.Key.thumbprint()
	if other := ca.accounts[thumbprint]; other != nil {
		return failed(&Problem{Type: "malformed", Status: http.StatusConflict, Detail: "the new key is in use"}).with("Location", other.url)
	}
	delete(ca.accounts, q.by.thumbprint)
	q.by.key, q.by.thumbprint = h.Key, thumbprint
	ca.accounts[thumbprint] = q.by
	return found(http.StatusOK, q.by.object())
}

// Account is the state of an account, for assertions.
type Account struct {
	URL, Status string
	Thumbprint  string // of its key (RFC 7638)
	Contact     []string
}

// Accounts are all that there are, in the order of their creation.
func (ca *CA) Accounts() []Account {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	var list []Account
	for _, a := range ca.created {
		if ca.kids[a.url] == a {
			list = append(list, Account{a.url, a.status, a.thumbprint, slices.Clone(a.contact)})
		}
	}
	return list
}
