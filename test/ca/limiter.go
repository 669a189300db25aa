package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/letsencrypt/pebble/v2/db"
)

// The limits, each with what it is counted by.
const (
	newOrders             = "new_orders"               // the account
	certificatesPerDomain = "certificates_per_domain"  // the registered domain
	certificatesPerSet    = "certificates_per_set"     // the exact set of identifiers
	failedValidations     = "failed_validations"       // the account and the identifier
	consecutiveFailures   = "consecutive_failures"     // the account and the identifier
	newAccountsPerIP      = "new_accounts_per_ip"      // the client's address
	newAccountsPerNetwork = "new_accounts_per_network" // the client's IPv6 /48

	// paused stands for a limit where a pause is what denies.
	paused = "paused"
)

var limitNames = []string{
	newOrders, certificatesPerDomain, certificatesPerSet, failedValidations, consecutiveFailures,
	newAccountsPerIP, newAccountsPerNetwork,
}

// limiter limits as Let's Encrypt does. What it counts with is its own, so that
// it can be the judge of a client's bookkeeping.
//
// A new order is checked against all limits, and spends from that of orders
// only. A certificate spends when it is issued, a failure when it happens, both
// whether or not there is anything left.
type limiter struct {
	key [32]byte // signs the tokens of unpause links

	mu        sync.Mutex // guards what follows
	ledger    *ledger
	orders    []*order        // of which more is to come
	issued    map[string]bool // by set of identifiers
	issuances []issuance
	pauses    map[subject]*pause
	denied    map[string]int // by limit: how many requests were answered 429
}

// subject is an account's URL and an identifier.
type subject struct{ account, identifier string }

func (s subject) key() string { return s.account + " " + s.identifier }

// graceAfterPause is how long a pair that was paused once is not paused again.
const graceAfterPause = 14 * 24 * time.Hour

// pause is of a pair, until a human lifts it.
type pause struct{ lifted time.Time } // zero: it is in force

func newLimiter(limits map[string]limit) *limiter {
	l := &limiter{
		ledger: newLedger(limits),
		issued: map[string]bool{},
		pauses: map[subject]*pause{},
		denied: map[string]int{},
	}
	_, _ = rand.Read(l.key[:]) // never fails
	return l
}

// wrap puts the limiter before next, Pebble's handler, which keeps what it does
// in store.
func (l *limiter) wrap(next http.Handler, store *db.MemoryStore) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.settle()
		switch r.URL.Path {
		case newOrderPath:
			l.newOrder(w, r, next, store)
		case newAccountPath:
			l.newAccount(w, r, next, store)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// newOrder lets Pebble make the order first, since Let's Encrypt looks at the
// signature, the nonce and the identifiers before it looks at limits. Of an
// order that is denied nobody ever hears.
func (l *limiter) newOrder(w http.ResponseWriter, r *http.Request, next http.Handler, store *db.MemoryStore) {
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	maps.Copy(w.Header(), answer.Header())
	if answer.Code == http.StatusCreated {
		_, id, _ := strings.Cut(answer.Header().Get("Location"), orderPath)
		if denial := l.admitOrder(newWatchedOrder(store.GetOrderByID(id), r.Host)); denial != nil {
			w.Header().Del("Location")
			denial.write(w)
			return
		}
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the client has gone: nobody to tell
}

// admitOrder spends what a new order does and watches what becomes of it, or
// says why it may not be.
func (l *limiter) admitOrder(o *order) *denial {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if names := l.pausedNames(o); names != nil {
		return l.deny(pausedFor(o.account, names, l.key[:], now))
	}
	if o.replaces {
		// A renewal that says what it renews (RFC 9773 §5) is exempt from all.
		l.orders = append(l.orders, o)
		return nil
	}
	exempt := l.issued[o.set()]
	var keys []ledgerKey
	if !exempt {
		keys = append(keys, ledgerKey{newOrders, o.account})
	}
	for _, name := range o.names {
		keys = append(keys, ledgerKey{failedValidations, subject{o.account, name}.key()})
	}
	if !exempt {
		for _, domain := range o.domains() {
			keys = append(keys, ledgerKey{certificatesPerDomain, domain})
		}
	}
	keys = append(keys, ledgerKey{certificatesPerSet, o.set()})
	if k, wait := l.ledger.check(keys, now); wait > 0 {
		return l.deny(deny(l.ledger.limits[k.limit], strings.TrimPrefix(k.key, o.account+" "), wait, now))
	}
	if !exempt {
		l.ledger.spend(ledgerKey{newOrders, o.account}, now)
	}
	l.orders = append(l.orders, o)
	return nil
}

// deny counts d. The caller has l.mu.
func (l *limiter) deny(d *denial) *denial {
	l.denied[d.limit]++
	return d
}

// pausedNames are those of o that are paused for its account. The caller has
// l.mu.
func (l *limiter) pausedNames(o *order) (names []string) {
	for _, name := range o.names {
		if p := l.pauses[subject{o.account, name}]; p != nil && p.lifted.IsZero() {
			names = append(names, name)
		}
	}
	return names
}

// newAccount asks Pebble only for what the limits allow, since an account
// cannot be unmade. Keys that have an account, and questions whether they have
// one, are free.
func (l *limiter) newAccount(w http.ResponseWriter, r *http.Request, next http.Handler, store *db.MemoryStore) {
	keys := accountKeys(client(r))
	if !creates(r, store) {
		next.ServeHTTP(w, r)
		return
	}
	if denial := l.admitAccount(keys); denial != nil {
		l.nonce(w, r, next)
		denial.write(w)
		return
	}
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	if answer.Code == http.StatusCreated {
		l.spend(keys...)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the client has gone: nobody to tell
}

// accountKeys are whom an account counts for that address asks for.
func accountKeys(address netip.Addr) []ledgerKey {
	keys := []ledgerKey{{newAccountsPerIP, address.String()}}
	if network, err := address.Prefix(48); err == nil && address.Is6() {
		keys = append(keys, ledgerKey{newAccountsPerNetwork, network.String()})
	}
	return keys
}

func (l *limiter) admitAccount(keys []ledgerKey) *denial {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if k, wait := l.ledger.check(keys, now); wait > 0 {
		return l.deny(deny(l.ledger.limits[k.limit], k.key, wait, now))
	}
	return nil
}

func (l *limiter) spend(keys ...ledgerKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, k := range keys {
		l.ledger.spend(k, now)
	}
}

// nonce gives an answer that is not Pebble's the headers that Pebble's have.
func (l *limiter) nonce(w http.ResponseWriter, r *http.Request, next http.Handler) {
	head := r.Clone(r.Context())
	head.Method, head.URL.Path, head.Body = http.MethodHead, noncePath, http.NoBody
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, head)
	maps.Copy(w.Header(), answer.Header())
}

// creates reports whether a new-account request asks for a new account. It
// reads the body and puts it back. Whether the request is in order Pebble says.
func creates(r *http.Request, store *db.MemoryStore) bool {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	if err != nil {
		return false
	}
	var jws struct{ Protected, Payload string }
	var header struct {
		JWK *jose.JSONWebKey `json:"jwk"`
	}
	var payload struct{ OnlyReturnExisting bool }
	if json.Unmarshal(body, &jws) != nil || decode(jws.Protected, &header) != nil || decode(jws.Payload, &payload) != nil {
		return false
	}
	if header.JWK == nil || payload.OnlyReturnExisting {
		return false
	}
	existing, err := store.GetAccountByKey(header.JWK)
	return err == nil && existing == nil
}

// decode reads JSON in base64url.
func decode(text string, v any) error {
	content, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, v)
}
