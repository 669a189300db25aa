package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
)

// gate holds requests back, on demand, before the CA sees them, or the CA's
// answers to them, and keeps a list of those that were answered.
type gate struct {
	mu sync.Mutex // guards what follows
	// path is the prefix of the requests to be held; empty: none. skip more of
	// them pass before.
	path string
	skip int
	// answers says that it is the answers that are held.
	answers bool
	// open is closed when those that wait may go on.
	open     chan struct{}
	waiting  int
	requests []request
}

// request is one that the CA has answered.
type request struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Status int    `json:"status"`
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

// wrap puts the gate before next.
func (g *gate) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.pass(r, false) {
			return // the client has gone
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		g.mu.Lock()
		g.requests = append(g.requests, request{r.Method, r.URL.Path, answer.Code})
		g.mu.Unlock()
		if !g.pass(r, true) {
			return
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the client has gone: nobody to tell
	})
}

// pass returns when r, or the answer to it, may go on: false if its client has
// gone meanwhile.
func (g *gate) pass(r *http.Request, answer bool) bool {
	g.mu.Lock()
	if g.path == "" || g.answers != answer || !strings.HasPrefix(r.URL.Path, g.path) {
		g.mu.Unlock()
		return true
	}
	if g.skip > 0 {
		g.skip--
		g.mu.Unlock()
		return true
	}
	open := g.open
	g.waiting++
	g.mu.Unlock()

	passed := false
	select {
	case <-open:
		passed = true
	case <-r.Context().Done():
	}
	g.mu.Lock()
	g.waiting--
	g.mu.Unlock()
	return passed
}

// hold is POST /hold?path=PREFIX&skip=N: all requests below PREFIX but the next
// N wait; with answers=true, the answers to them. GET /hold says how many do.
func (g *gate) hold(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Method == http.MethodPost {
		skip, err := strconv.Atoi(r.FormValue("skip"))
		if err != nil || r.FormValue("path") == "" {
			http.Error(w, "want path and skip", http.StatusBadRequest)
			return
		}
		g.path, g.skip, g.answers = r.FormValue("path"), skip, r.FormValue("answers") == "true"
	}
	answer(w, g.waiting)
}

// release is POST /release: nothing is held any more.
func (g *gate) release(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.path = ""
	close(g.open)
	g.open = make(chan struct{})
	answer(w, g.waiting)
}

// list is GET /requests: those that were answered, in order.
func (g *gate) list(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	answer(w, g.requests)
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody to tell
}
