package ca

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Mode is a way in which a CA fails.
type Mode string

// The modes.
const (
	// Off: no outage.
	Off Mode = "off"
	// Down: connections are closed without a word.
	Down Mode = "down"
	// Errors: what a CA in front of a dead database does. The directory and
	// nonces are served as ever; every POST gets 500 serverInternal.
	Errors Mode = "errors"
	// Slow: every answer comes [SlowDelay] late.
	Slow Mode = "slow"
)

// SlowDelay is by how much answers are late in the mode Slow.
const SlowDelay = 2 * time.Second

// Modes lists every mode.
func Modes() []Mode { return []Mode{Off, Down, Errors, Slow} }

// Outage is a switch that makes a CA fail. It is itself the HTTP handler of the
// switch, which obeys this machine only.
type Outage struct {
	mode atomic.Value // Mode
}

// NewOutage returns a switch that is off.
func NewOutage() *Outage {
	o := new(Outage)
	o.mode.Store(Off)
	return o
}

// Mode is the mode in force.
func (o *Outage) Mode() Mode { return o.mode.Load().(Mode) }

// Set puts m in force at once, also for connections that are open.
func (o *Outage) Set(m Mode) error {
	if !slices.Contains(Modes(), m) {
		return fmt.Errorf("set outage: mode %q is none of %v", m, Modes())
	}
	o.mode.Store(m)
	return nil
}

// Handler puts the switch before next.
func (o *Outage) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch o.Mode() {
		case Down:
			panic(http.ErrAbortHandler)
		case Errors:
			if r.Method == http.MethodPost {
				serverInternal(w)
				return
			}
		case Slow:
			if wait(r.Context(), SlowDelay) != nil {
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Listener puts the switch before l: while the CA is down, a new connection is
// closed before it can say anything.
func (o *Outage) Listener(l net.Listener) net.Listener { return &listener{l, o} }

type listener struct {
	net.Listener
	outage *Outage
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || l.outage.Mode() != Down {
			return conn, err
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			// A reset, as from a port behind which nobody lives.
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// ServeHTTP is the switch: GET shows the mode in force, and ?mode=down, errors,
// slow or off, with GET or POST, puts another in force. It refuses everybody
// who is not on this machine, and browsers sent by another page.
func (o *Outage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !local(r) {
		http.Error(w, "the outage switch obeys this machine only", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if mode := r.FormValue("mode"); mode != "" {
		if err := o.Set(Mode(mode)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintf(w, "outage: %s\n", o.Mode())
}

// local reports whether r comes from this machine, by address and by the name
// it was asked under, and not at another site's bidding.
func local(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() {
		return false
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.IsLoopback()
}

func serverInternal(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusInternalServerError)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type":   "urn:ietf:params:acme:error:serverInternal",
		"detail": "Unable to validate JWS",
		"status": http.StatusInternalServerError,
	})
}

// wait waits for d, or less if ctx ends first, and then says why.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
