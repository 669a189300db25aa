package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// errorPrefix is what the types of ACME's problems begin with (RFC 8555 §6.7).
const errorPrefix = "urn:ietf:params:acme:error:"

const rateLimited = errorPrefix + "rateLimited"

// problem is a problem document, its members in the order in which Let's
// Encrypt writes them.
type problem struct {
	Type   string `json:"type"`
	Detail string `json:"detail"`
	Status int    `json:"status,omitempty"` // the edge writes none
}

func (p problem) write(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	document, _ := json.MarshalIndent(p, "", "  ") // of strings and a number: it cannot fail
	_, _ = w.Write(document)                       // the client has gone: nobody to tell
}

// denial is why a request is not let through.
type denial struct {
	limit  string // its name, or [paused]
	detail string
	retry  time.Duration // 0: waiting does not help
}

// write answers 429, with the headers that the CA has set already.
func (d *denial) write(w http.ResponseWriter) {
	// Let's Encrypt rounds, and leaves out what it rounds to 0.
	if seconds := int(d.retry.Round(time.Second) / time.Second); seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		w.Header().Add("Link", `<https://letsencrypt.org/docs/rate-limits>;rel="help"`)
	}
	problem{rateLimited, d.detail, http.StatusTooManyRequests}.write(w, http.StatusTooManyRequests)
}

// wording is how Let's Encrypt puts a limit: what there was too much of, by
// whom, and where it is documented. What is by key quotes it.
type wording struct {
	what, by, anchor string
	quoted           bool
}

var wordings = map[string]wording{
	newOrders:             {what: "new orders", by: "from this account", anchor: "new-orders-per-account"},
	certificatesPerDomain: {what: "certificates", by: "already issued for", quoted: true, anchor: "new-certificates-per-registered-domain"},
	certificatesPerSet:    {what: "certificates", by: "already issued for this exact set of identifiers", anchor: "new-certificates-per-exact-set-of-identifiers"},
	failedValidations:     {what: "failed authorizations", by: "for", quoted: true, anchor: "authorization-failures-per-identifier-per-account"},
	newAccountsPerIP:      {what: "new registrations", by: "from this IP address", anchor: "new-registrations-per-ip-address"},
	newAccountsPerNetwork: {what: "new registrations", by: "from this /48 subnet of IPv6 addresses", anchor: "new-registrations-per-ipv6-range"},
}

// deny says that l has nothing left for what, and for how long: a little longer
// than is true, by chance, lest all come back at once.
func deny(l limit, what string, wait time.Duration, now time.Time) *denial {
	wait += time.Duration(rand.Float64() * 0.03 * float64(wait))
	text := wordings[l.Name]
	by := text.by
	if text.quoted {
		by += " " + strconv.Quote(what)
	}
	return &denial{limit: l.Name, retry: wait, detail: fmt.Sprintf(
		"too many %s (%d) %s in the last %s, retry after %s: see https://letsencrypt.org/docs/rate-limits/#%s",
		text.what, l.Burst, by, l.Period, now.Add(wait).UTC().Format("2006-01-02 15:04:05 MST"), text.anchor)}
}

// pausedFor says that an account may not order certificates for names until a
// human has followed the link, whose token is a JWT signed with key.
func pausedFor(account string, names []string, key []byte, now time.Time) *denial {
	token := sign(key, map[string]any{
		"iss": "WFE", "aud": "SFE Unpause", "sub": account, "version": "v1", "identifiers": strings.Join(names, ","),
		"iat": now.Unix(), "exp": now.Add(14 * 24 * time.Hour).Unix(),
	})
	return &denial{limit: paused, detail: fmt.Sprintf(
		"Your account is temporarily prevented from requesting certificates for %s and possibly others. Please visit: %s",
		strings.Join(names, ", "), "https://portal.letsencrypt.org/sfe/v1/unpause?jwt="+token)}
}

// sign makes a JWT (RFC 7519) with HS256.
func sign(key []byte, claims map[string]any) string {
	part := func(v map[string]any) string {
		text, _ := json.Marshal(v) // of strings and numbers: it cannot fail
		return base64.RawURLEncoding.EncodeToString(text)
	}
	text := part(map[string]any{"alg": "HS256", "typ": "JWT"}) + "." + part(claims)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
