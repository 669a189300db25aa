package fakeca

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	mathrand "math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// authz is RFC 8555 §7.1.4's.
type authz struct {
	account    *account
	path       string
	identifier string // without "*."
	wildcard   bool
	status     string
	challenges []*challenge
	// accepted is the challenge that is being validated; done says that it was,
	// with outcome nil or why not.
	accepted *challenge
	done     bool
	outcome  *Problem
	polls    int // reads until the outcome shows
}

// challenge is RFC 8555 §8's.
type challenge struct {
	authz   *authz
	path    string
	kind    probe.ChallengeType
	token   string // empty: a dns-persist-01's, which has none
	status  string
	problem *Problem
}

// authorize finds or makes an authorization. The caller holds mu.
func (ca *CA) authorize(by *account, name string) *authz {
	identifier, wildcard := strings.CutPrefix(name, "*.")
	if ca.options.ReuseAuthorizations {
		for _, a := range ca.authzs {
			if a.account == by && a.identifier == identifier && a.wildcard == wildcard && a.status == "valid" {
				return a
			}
		}
	}
	a := &authz{account: by, identifier: identifier, wildcard: wildcard, status: "pending"}
	if ca.options.Authorized {
		a.status = "valid"
	}
	a.path = ca.path(route{call: probe.CallAuthz, authz: a})
	for _, kind := range ca.options.Challenges {
		c := &challenge{authz: a, kind: kind, status: "pending"}
		c.path = ca.path(route{call: probe.CallChallenge, authz: a, challenge: c})
		a.challenges = append(a.challenges, c)
		if kind != probe.DNSPersist01 {
			c.token = rand.Text()
			ca.secrets = append(ca.secrets, c.token)
		}
	}
	// Let's Encrypt's order is random too: nobody may rely on the first one.
	mathrand.Shuffle(len(a.challenges), func(i, j int) {
		a.challenges[i], a.challenges[j] = a.challenges[j], a.challenges[i]
	})
	ca.authzs = append(ca.authzs, a)
	return a
}

// advance counts a read, and shows the outcome when it is due.
func (a *authz) advance() {
	if !a.done || a.status != "pending" {
		return
	}
	if a.polls > 0 {
		a.polls--
		return
	}
	a.settle()
}

func (a *authz) settle() {
	a.status, a.accepted.status = "valid", "valid"
	if a.outcome != nil {
		a.status, a.accepted.status, a.accepted.problem = "invalid", "invalid", a.outcome
	}
}

// authzObject is what clients see. The caller holds mu.
func (ca *CA) authzObject(a *authz) map[string]any {
	list := []map[string]any{}
	for _, c := range a.challenges {
		if a.status == "pending" || c == a.accepted { // RFC 8555 §7.1.4
			list = append(list, ca.challengeObject(c))
		}
	}
	object := map[string]any{
		"status":     a.status,
		"expires":    time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		"identifier": map[string]any{"type": identifierType(a.identifier), "value": a.identifier},
		"challenges": list,
	}
	if a.wildcard {
		object["wildcard"] = true
	}
	return object
}

func (ca *CA) challengeObject(c *challenge) map[string]any {
	object := map[string]any{"type": string(c.kind), "url": ca.url(c.path), "status": c.status}
	if c.kind == probe.DNSPersist01 {
		object["issuer-domain-names"] = ca.options.Issuers
		object["accounturi"] = c.authz.account.url
	} else {
		object["token"] = c.token
	}
	if c.problem != nil {
		object["error"] = c.problem.object()
	}
	if c.status == "valid" {
		object["validated"] = time.Now().UTC().Format(time.RFC3339)
	}
	return object
}

// acceptChallenge is RFC 8555 §7.5.1; an empty payload only reads. The caller
// holds mu.
func (ca *CA) acceptChallenge(q request) *answer {
	c, a := q.challenge, q.authz
	up := `<` + ca.url(a.path) + `>;rel="up"`
	if len(q.payload) == 0 {
		a.advance()
		return found(http.StatusOK, ca.challengeObject(c)).with("Link", up)
	}
	if !json.Valid(q.payload) {
		return failed(malformed("challenge: not JSON"))
	}
	if a.status != "pending" {
		return failed(malformed("the authorization is %s", a.status))
	}
	if a.accepted == nil {
		a.accepted, a.polls, c.status = c, ca.options.Polls, "processing"
		switch {
		case q.fault.Stuck:
		case q.fault.Invalid != nil:
			a.done, a.outcome = true, q.fault.Invalid
		case ca.options.Validate == nil:
			a.done = true
		case ca.options.SyncValidation:
			ca.validate(c)
		default:
			ca.tasks.Go(func() {
				ca.mu.Lock()
				defer ca.mu.Unlock()
				ca.validate(c)
			})
		}
		if a.done && a.polls == 0 && a.status == "pending" {
			a.settle()
		}
	}
	return found(http.StatusOK, ca.challengeObject(c)).with("Link", up)
}

// validate asks whether c is solved. The caller holds mu, which is released
// meanwhile.
func (ca *CA) validate(c *challenge) {
	question := ca.question(c)
	ca.mu.Unlock()
	err := ca.options.Validate(ca.ctx, question)
	ca.mu.Lock()
	c.authz.done, c.authz.outcome = true, nil
	if err != nil {
		p, ok := errors.AsType[*Problem](err)
		if !ok {
			p = &Problem{Type: "unauthorized", Status: http.StatusForbidden, Detail: err.Error()}
		}
		c.authz.outcome = p
	}
	if c.authz.polls == 0 && c.authz.status == "pending" {
		c.authz.settle()
	}
}

// question is the challenge as a validator needs it.
func (ca *CA) question(c *challenge) probe.Challenge {
	q := probe.Challenge{Type: c.kind, Identifier: c.authz.identifier, Token: c.token}
	if c.token != "" {
		q.KeyAuthorization = c.token + "." + c.authz.account.thumbprint // RFC 8555 §8.1
	}
	account := c.authz.account.url
	switch sum := sha256.Sum256([]byte(q.KeyAuthorization)); c.kind {
	case probe.DNS01, probe.DNSAccount01:
		q.Record = probe.Record{Name: "_acme-challenge." + q.Identifier, Value: base64.RawURLEncoding.EncodeToString(sum[:])}
		if c.kind == probe.DNSAccount01 {
			label := sha256.Sum256([]byte(account))
			q.Record.Name = "_" + strings.ToLower(base32.StdEncoding.EncodeToString(label[:10])) + "." + q.Record.Name
		}
	case probe.DNSPersist01:
		q.Record = probe.Record{Name: "_validation-persist." + q.Identifier, Value: ca.options.Issuers[0] + "; accounturi=" + account}
		if c.authz.wildcard {
			q.Record.Value += "; policy=wildcard"
		}
	}
	return q
}

// Solved is an Options.Validate that finds every challenge solved after d.
func Solved(d time.Duration) func(context.Context, probe.Challenge) error {
	return func(ctx context.Context, _ probe.Challenge) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
