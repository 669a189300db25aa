package ca

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/letsencrypt/pebble/v2/acme"
	"github.com/letsencrypt/pebble/v2/core"
)

// DatabaseDelay is how long a new order waits for a database that is down. At
// Let's Encrypt it was 14 to 30 seconds, which few would sit through here.
const DatabaseDelay = 3 * time.Second

// databaseDown answers POSTs as Boulder does without its database: most fail
// when the account's key is looked up, new orders when they are written.
func databaseDown(next *interior, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		next.ServeHTTP(w, r)
		return
	}
	detail := "Unable to validate JWS"
	if r.URL.Path == newOrderPath {
		if wait(r.Context(), DatabaseDelay) != nil {
			return // the client has gone
		}
		detail = "Error creating new order"
	}
	next.addNonce(w, r)
	writeProblem(w, acme.InternalErrorProblem(detail))
}

// validationFails accepts challenges, and then lets nobody validate: problem says
// why.
func validationFails(problem func(*core.Challenge) *acme.ProblemDetails) func(*interior, http.ResponseWriter, *http.Request) {
	return func(next *interior, w http.ResponseWriter, r *http.Request) {
		id, ok := strings.CutPrefix(r.URL.Path, challengePath)
		if !ok || !changes(r) {
			next.ServeHTTP(w, r)
			return
		}
		next.mu.Lock()
		defer next.mu.Unlock()
		challenge := next.store.GetChallengeByID(id)
		if challenge == nil || !pending(challenge) {
			next.pebble.ServeHTTP(w, r)
			return
		}
		if !next.verified(w, r, challengePath) {
			return
		}
		w.Header().Add("Link", "<"+challenge.Authz.URL+`>;rel="up"`)
		writeJSON(w, "application/json", http.StatusOK, invalidate(challenge, problem(challenge)))
	}
}

// pending reports whether a challenge can be accepted.
func pending(c *core.Challenge) bool {
	c.Authz.RLock()
	defer c.Authz.RUnlock()
	// Pebble leaves challenges of other authorizations locked.
	if c.Authz.Status != acme.StatusPending {
		return false
	}
	c.RLock()
	defer c.RUnlock()
	return c.Status == acme.StatusPending
}

// invalidate makes a challenge and its authorization invalid, and returns the
// challenge as it is shown to whoever accepts it.
func invalidate(c *core.Challenge, problem *acme.ProblemDetails) acme.Challenge {
	c.Authz.Lock()
	defer c.Authz.Unlock()
	c.Lock()
	defer c.Unlock()
	accepted := c.Challenge
	accepted.Status = acme.StatusProcessing
	c.Authz.Status = acme.StatusInvalid
	c.Status, c.Error = acme.StatusInvalid, problem
	return accepted
}

// noValidator is what Boulder says when its validation authority is down.
func noValidator(*core.Challenge) *acme.ProblemDetails {
	return acme.InternalErrorProblem("Could not communicate with VA")
}

// noResolver is what Boulder says when the resolver that it asks is down.
func noResolver(c *core.Challenge) *acme.ProblemDetails {
	c.Authz.RLock()
	name := strings.TrimPrefix(c.Authz.Identifier.Value, "*.")
	c.Authz.RUnlock()
	lookup := "A for " + name
	if strings.HasPrefix(c.Type, "dns-") {
		lookup = "TXT for _acme-challenge." + name
	}
	return &acme.ProblemDetails{
		Type:       "urn:ietf:params:acme:error:dns",
		Detail:     "DNS problem: query timed out looking up " + lookup,
		HTTPStatus: http.StatusBadRequest,
	}
}

// signingDown lets finalized orders become invalid; atOnce, before they are
// answered.
func signingDown(atOnce bool) func(*interior, http.ResponseWriter, *http.Request) {
	return func(next *interior, w http.ResponseWriter, r *http.Request) {
		id, ok := strings.CutPrefix(r.URL.Path, finalizePath)
		if !ok || !changes(r) {
			next.ServeHTTP(w, r)
			return
		}
		next.mu.Lock()
		defer next.mu.Unlock()
		order := next.store.GetOrderByID(id)
		if order == nil || !ready(order) {
			next.pebble.ServeHTTP(w, r)
			return
		}
		if !next.verified(w, r, finalizePath) {
			return
		}
		problem := acme.InternalErrorProblem("Error finalizing order")
		order.Lock()
		shown := order.Order
		order.Error = problem
		order.Unlock()
		if atOnce {
			writeProblem(w, problem)
			return
		}
		if next.pollOrder > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(next.pollOrder))
		}
		server := "https://" + r.Host
		w.Header().Set("Location", server+orderPath+id)
		shown.Status, shown.Finalize = acme.StatusProcessing, server+r.URL.Path
		writeJSON(w, "application/json", http.StatusOK, shown)
	}
}

// ready reports whether an order can be finalized.
func ready(o *core.Order) bool {
	status, err := o.GetStatus()
	return err == nil && status == acme.StatusReady
}
