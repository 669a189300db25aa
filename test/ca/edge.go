package main

import (
	"maps"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The paths of Pebble's that are limited.
const (
	directoryPath   = "/dir"
	noncePath       = "/nonce-plz"
	newAccountPath  = "/sign-me-up"
	accountPath     = "/my-account/"
	newOrderPath    = "/order-plz"
	orderPath       = "/my-order/"
	revokePath      = "/revoke-cert"
	renewalInfoPath = "/draft-ietf-acme-ari-03/renewalInfo/"
)

// edgeKinds are the kinds of calls that the edge tells apart; the last is all
// the others.
var edgeKinds = []string{"directory", "new_nonce", "new_account", "new_order", "revoke_cert", "renewal_info", "other"}

// edgeKind returns the kind of a call.
func edgeKind(path string) string {
	switch {
	case path == directoryPath:
		return "directory"
	case path == noncePath:
		return "new_nonce"
	case path == newAccountPath:
		return "new_account"
	case path == newOrderPath:
		return "new_order"
	case path == revokePath:
		return "revoke_cert"
	case strings.HasPrefix(path, renewalInfoPath):
		return "renewal_info"
	default:
		return "other"
	}
}

// edge is what stands before a CA and turns away who calls too often, by kind
// of call and client's address. It knows nothing of ACME: its answers have
// neither a nonce nor a link to the directory.
type edge struct {
	mu     sync.Mutex // guards what follows
	ledger *ledger
	busy   map[string]int // by kind: how many were turned away
}

func newEdge(limits map[string]limit) *edge {
	return &edge{ledger: newLedger(limits), busy: map[string]int{}}
}

// wrap puts the edge before next.
func (e *edge) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait := e.admit(edgeKind(r.URL.Path), client(r).String()); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
			problem{Type: rateLimited, Detail: "Service busy; retry later."}.write(w, http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// admit lets a call pass, or returns how long it has to wait.
func (e *edge) admit(kind, address string) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	key := ledgerKey{kind, address}
	if _, wait := e.ledger.check([]ledgerKey{key}, now); wait > 0 {
		e.busy[kind]++
		return wait
	}
	e.ledger.spend(key, now)
	return 0
}

// turnedAway returns how many calls of each kind were.
func (e *edge) turnedAway() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.busy)
}

// client is the address that r comes from.
func client(r *http.Request) netip.Addr {
	remote, _ := netip.ParseAddrPort(r.RemoteAddr) // net/http has written it
	return remote.Addr().Unmap()
}
