package ca

import (
	"context"
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

// The modes; [Modes] says what each of them does.
const (
	Off             Mode = "off"
	DatabaseDown    Mode = "db-down"
	ValidationDown  Mode = "va-down"
	ResolverDown    Mode = "resolver-down"
	SigningDown     Mode = "signing-down"
	SigningDownSync Mode = "signing-down-sync"
	Slow            Mode = "slow"
	CDNError        Mode = "cdn-error"
	Down            Mode = "down"
)

// Description is what people need to know of a mode.
type Description struct {
	Mode  Mode
	Title string // what has happened, in a few words
	Seen  string // what a client sees of it, in a sentence or two
}

// outage is a mode and what it does. What stands before the CA is its edge: it
// knows nothing of ACME. What happens within the CA can use its store. Each may
// answer a request or let next do so; nil lets it pass.
type outage struct {
	Description
	edge   func(next http.Handler, w http.ResponseWriter, r *http.Request)
	within func(next *interior, w http.ResponseWriter, r *http.Request)
}

// outages has every mode, in the order in which people look for one.
var outages = []outage{
	{Description: Description{Off, "Everything works", "Or works again: what an outage has made invalid stays so."}},
	{Description: Description{
		DatabaseDown, "The database is down",
		"The directory and nonces are served as ever. Every POST gets 500 serverInternal; new orders wait for it.",
	}, within: databaseDown},
	{Description: Description{
		ValidationDown, "The validation authority is down",
		"Every status is that of success. Nobody comes to validate, and the authorization turns invalid with serverInternal in its challenge.",
	}, within: validationFails(noValidator)},
	{Description: Description{
		ResolverDown, "The CA's resolver is down",
		"Every status is that of success. The authorization turns invalid with a dns time-out, as if our own zone were to blame.",
	}, within: validationFails(noResolver)},
	{Description: Description{
		SigningDown, "The signer is down",
		"Every status is that of success. A finalized order is processing, and then invalid with serverInternal.",
	}, within: signingDown(false)},
	{Description: Description{
		SigningDownSync, "The signer is down, at a CA that signs at once",
		"Finalizing gets 500 serverInternal, and the order is invalid.",
	}, within: signingDown(true)},
	{Description: Description{
		Slow, "Everything is slow",
		fmt.Sprintf("Every answer is right, and takes %d times as long: a second at least.", SlowFactor),
	}, edge: slow},
	{Description: Description{
		CDNError, "The CA's edge does not reach it",
		"Every answer is a content network's HTML page, with status 503 or 520 and without a nonce.",
	}, edge: cdnError},
	{Description: Description{
		Down, "The CA is gone",
		"Nobody answers: connections are reset.",
	}, edge: func(http.Handler, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
}

// Modes lists every mode, Off first.
func Modes() []Description {
	list := make([]Description, len(outages))
	for i := range outages {
		list[i] = outages[i].Description
	}
	return list
}

// Outage is a switch that makes a CA fail. It is itself the HTTP handler of the
// switch, which obeys this machine only.
type Outage struct {
	current atomic.Pointer[outage]
}

// NewOutage returns a switch that is off.
func NewOutage() *Outage {
	o := new(Outage)
	o.current.Store(&outages[0])
	return o
}

// Mode is the mode in force.
func (o *Outage) Mode() Mode { return o.current.Load().Mode }

// Set puts m in force at once, also for connections that are open. What a mode
// has made invalid stays so after it.
func (o *Outage) Set(m Mode) error {
	i := slices.IndexFunc(outages, func(one outage) bool { return one.Mode == m })
	if i < 0 {
		var names []Mode
		for _, d := range Modes() {
			names = append(names, d.Mode)
		}
		return fmt.Errorf("set outage: mode %q is none of %v", m, names)
	}
	o.current.Store(&outages[i])
	return nil
}

// before is the part of the switch that is the CA's edge.
func (o *Outage) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if edge := o.current.Load().edge; edge != nil {
			edge(next, w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// within is the part of the switch that is in the CA.
func (o *Outage) within(next *interior) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if within := o.current.Load().within; within != nil {
			within(next, w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// listen puts the switch before l: while the CA is down, a new connection is
// closed before it can say anything.
func (o *Outage) listen(l net.Listener) net.Listener { return &listener{l, o} }

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

// ServeHTTP is the switch: GET shows the mode in force, POST with ?mode= puts
// another in force. It refuses those whom [LocalOnly] refuses.
func (o *Outage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	LocalOnly(http.HandlerFunc(o.serve)).ServeHTTP(w, r)
}

func (o *Outage) serve(w http.ResponseWriter, r *http.Request) {
	mode := r.FormValue("mode")
	switch {
	case r.Method == http.MethodPost:
		if err := o.Set(Mode(mode)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	case r.Method != http.MethodGet || mode != "":
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "method not allowed: the mode is set with POST", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintf(w, "outage: %s\n", o.Mode())
}

// LocalOnly lets requests to next that come from this machine, by address and by
// the name it was asked under, and of those that change something none that
// another site's page has made.
func LocalOnly(next http.Handler) http.Handler {
	same := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r) {
			http.Error(w, "this obeys its own machine only", http.StatusForbidden)
			return
		}
		same.ServeHTTP(w, r)
	})
}

// local reports whether r comes from this machine.
func local(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() {
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
