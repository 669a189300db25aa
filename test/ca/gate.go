package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// gate holds requests back, on demand, before the CA sees them, and keeps a
// list of those that were answered.
type gate struct {
	mu sync.Mutex // guards what follows
	// path is the prefix of the requests to be held; empty: none. skip more of
	// them pass before.
	path string
	skip int
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
		if !g.pass(r) {
			return // the client has gone
		}
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.requests = append(g.requests, request{r.Method, r.URL.Path, answer.status})
	})
}

// pass returns when r may go on: false if its client has gone meanwhile.
func (g *gate) pass(r *http.Request) bool {
	g.mu.Lock()
	if g.path == "" || !strings.HasPrefix(r.URL.Path, g.path) {
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
// N wait. GET /hold says how many do.
func (g *gate) hold(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Method == http.MethodPost {
		skip, err := strconv.Atoi(r.FormValue("skip"))
		if err != nil || r.FormValue("path") == "" {
			http.Error(w, "want path and skip", http.StatusBadRequest)
			return
		}
		g.path, g.skip = r.FormValue("path"), skip
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

// statusWriter keeps the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
