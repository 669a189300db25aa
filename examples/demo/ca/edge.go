package ca

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// SlowFactor is how many times as long an answer takes in the mode Slow.
	SlowFactor = 50
	// distant is what an answer of a CA takes that is not on this machine: less
	// than that is not multiplied.
	distant = 20 * time.Millisecond
)

// slow holds what next answers until the answer has taken SlowFactor times as
// long.
func slow(next http.Handler, w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	a := newAnswer()
	next.ServeHTTP(a, r)
	took := time.Since(start)
	if wait(r.Context(), SlowFactor*max(took, distant)-took) != nil {
		return // the client has gone
	}
	a.send(w)
}

// page is what a content network shows instead of what it cannot reach.
const page = `<!DOCTYPE html>
<html><head><title>%[1]d</title></head>
<body><h1>Error %[1]d</h1><p>The origin web server did not answer as it should.</p></body></html>
`

// cdnError answers in the CA's place: 520, which content networks have made up,
// to those who were already talking to it, and 503 to the others.
func cdnError(_ http.Handler, w http.ResponseWriter, r *http.Request) {
	status := http.StatusServiceUnavailable
	if r.Method == http.MethodPost {
		status = 520
	}
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.Header().Set("Cache-Control", "private, no-store")
	w.WriteHeader(status)
	fmt.Fprintf(w, page, status)
}
