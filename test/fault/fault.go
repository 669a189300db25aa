// Package fault makes a CA's HTTP handler misbehave, call by call, as it is told to
// while it runs. It stands before the CA and knows little of ACME: what the CA answers
// is the CA's own, unless a fault says otherwise.
package fault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
)

// Fault is one way to misbehave. The zero value of each field changes nothing.
type Fault struct {
	// Path is the prefix of the calls that meet it. The first Skip of them do not, and
	// neither do those after the next Times; 0: all do.
	Path  string `json:"path"`
	Skip  int    `json:"skip,omitempty"`
	Times int    `json:"times,omitempty"`

	// The first of these that is there happens instead of the CA's answer, which is
	// never asked for.
	Reset    bool   `json:"reset,omitempty"`    // the connection, or the stream of HTTP/2
	Hang     bool   `json:"hang,omitempty"`     // until the client goes
	BadNonce bool   `json:"badNonce,omitempty"` // with a fresh nonce
	Problem  string `json:"problem,omitempty"`  // its type without the prefix, with Status
	HTML     bool   `json:"html,omitempty"`     // a content network's page, with Status or 200
	Redirect string `json:"redirect,omitempty"` // to there, with 302

	// RetryAfter comes with whatever is answered.
	RetryAfter string `json:"retryAfter,omitempty"`

	// The others are done to the CA's own answer.
	Status    int            `json:"status,omitempty"`
	Set       map[string]any `json:"set,omitempty"` // members of a JSON object
	DropNonce bool           `json:"dropNonce,omitempty"`
	Pad       int            `json:"pad,omitempty"`      // so many spaces behind the body
	Truncate  bool           `json:"truncate,omitempty"` // the second half of the body never comes, and the connection is closed
	Stall     bool           `json:"stall,omitempty"`    // nor does it, and the connection is not
}

// Injector has the faults that are in force, none at first.
type Injector struct {
	// Nonce is the path at which the CA hands out nonces.
	Nonce string

	mu     sync.Mutex // guards what follows
	faults []*armed
}

// armed is a fault and how many calls of its path there were.
type armed struct {
	Fault
	calls int
}

// Wrap puts the injector before next.
func (i *Injector) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := i.take(r.URL.Path)
		if f == nil {
			next.ServeHTTP(w, r)
			return
		}
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		switch {
		case f.Reset:
			panic(http.ErrAbortHandler)
		case f.Hang:
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		case f.BadNonce:
			w.Header().Set("Replay-Nonce", i.nonce(next, r))
			f.problem(w, "badNonce", http.StatusBadRequest)
		case f.Problem != "":
			w.Header().Set("Replay-Nonce", i.nonce(next, r))
			f.problem(w, f.Problem, f.Status)
		case f.HTML:
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(max(f.Status, http.StatusOK))
			fmt.Fprint(w, "<!DOCTYPE html><title>A page of the edge</title>\n")
		case f.Redirect != "":
			http.Redirect(w, r, f.Redirect, http.StatusFound)
		default:
			f.change(w, r, next)
		}
	})
}

// take returns the fault that a call meets; nil: none.
func (i *Injector) take(path string) *Fault {
	i.mu.Lock()
	defer i.mu.Unlock()
	var met *Fault
	for _, a := range i.faults {
		if !strings.HasPrefix(path, a.Path) {
			continue
		}
		a.calls++
		if n := a.calls - a.Skip; met == nil && n > 0 && (a.Times == 0 || n <= a.Times) {
			met = &a.Fault
		}
	}
	return met
}

// nonce asks the CA for a nonce.
func (i *Injector) nonce(ca http.Handler, r *http.Request) string {
	asked := r.Clone(r.Context())
	asked.Method, asked.Body = http.MethodHead, http.NoBody
	asked.URL.Path, asked.RequestURI = i.Nonce, i.Nonce
	answer := httptest.NewRecorder()
	ca.ServeHTTP(answer, asked)
	return answer.Header().Get("Replay-Nonce")
}

// problem answers with a problem document.
func (f *Fault) problem(w http.ResponseWriter, kind string, status int) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client has gone: nobody to tell
		"type": "urn:ietf:params:acme:error:" + kind, "detail": "in words", "status": status,
	})
}

// change answers as the CA does, but for what the fault changes.
func (f *Fault) change(w http.ResponseWriter, r *http.Request, ca http.Handler) {
	answer := httptest.NewRecorder()
	ca.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	if object := map[string]any{}; len(f.Set) > 0 && json.Unmarshal(body, &object) == nil {
		maps.Copy(object, f.Set)
		body, _ = json.Marshal(object) // it was JSON before
	}
	body = append(body, bytes.Repeat([]byte(" "), f.Pad)...)
	maps.Copy(w.Header(), answer.Header())
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.DropNonce {
		w.Header().Del("Replay-Nonce")
	}
	status := answer.Code
	if f.Status != 0 {
		status = f.Status
	}
	if status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if !f.Truncate && !f.Stall {
		_, _ = w.Write(body) // the client has gone: nobody to tell
		return
	}
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	if f.Stall {
		<-r.Context().Done()
	}
	panic(http.ErrAbortHandler)
}

// ServeHTTP is POST ?list=JSON: these faults are in force, and no others; a call meets
// the first that is for it.
func (i *Injector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	decoder := json.NewDecoder(strings.NewReader(r.FormValue("list")))
	decoder.DisallowUnknownFields()
	var list []Fault
	if err := decoder.Decode(&list); err != nil {
		http.Error(w, "want list, an array of faults: "+err.Error(), http.StatusBadRequest)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faults = nil
	for _, f := range list {
		i.faults = append(i.faults, &armed{Fault: f})
	}
	fmt.Fprintf(w, "%d\n", len(list))
}
