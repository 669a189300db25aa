package fakeca

import (
	"net/http"
	"path"
	"time"
)

// renewal is a suggested window (RFC 9773 §4.2).
type renewal struct{ start, end time.Time }

// Renew has the CA suggest that the certificate of that identifier (RFC 9773 §4.1) be
// renewed between start and end. It needs Options.RenewalInfo.
func (ca *CA) Renew(id string, start, end time.Time) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.renewals[id] = renewal{start, end}
}

// renewalInfo answers what was set by Renew; of other certificates the CA knows
// nothing. The caller holds mu.
func (ca *CA) renewalInfo(r *http.Request) *answer {
	if r.Method != http.MethodGet {
		return notAllowed("GET")
	}
	window, ok := ca.renewals[path.Base(r.URL.Path)]
	if !ok {
		return failed(&Problem{Type: "malformed", Status: http.StatusNotFound, Detail: "not one of ours"})
	}
	a := found(http.StatusOK, map[string]any{"suggestedWindow": map[string]any{
		"start": window.start.UTC().Format(time.RFC3339), "end": window.end.UTC().Format(time.RFC3339),
	}})
	a.nonce = false
	return a.with("Retry-After", "21600")
}
