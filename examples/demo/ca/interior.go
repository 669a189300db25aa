package ca

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"sync"

	"github.com/letsencrypt/pebble/v2/acme"
	"github.com/letsencrypt/pebble/v2/db"
)

// The paths of Pebble's at which something fails.
const (
	noncePath     = "/nonce-plz"
	newOrderPath  = "/order-plz"
	orderPath     = "/my-order/"
	finalizePath  = "/finalize-order/"
	challengePath = "/chalZ/"
)

// interior is Pebble, for clients that work in parallel and for those who make a
// part of it fail.
//
// It lets one request at a time into Pebble, which needs it: displaying an
// authorization locks it and then the store, looking for a valid one or for an
// order locks the store and then authorizations, and the two stop each other for
// ever.
type interior struct {
	mu     sync.Mutex // guards what follows
	pebble http.Handler
	store  *db.MemoryStore
	// pollOrder is the Retry-After of processing orders in seconds; 0: none.
	pollOrder int
}

func (in *interior) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "read the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	in.mu.Lock()
	defer in.mu.Unlock()
	in.pebble.ServeHTTP(w, r)
}

// addNonce gives the answer to r what every answer to a POST of a CA has: a fresh
// nonce, and where the directory is.
func (in *interior) addNonce(w http.ResponseWriter, r *http.Request) {
	head := r.Clone(r.Context())
	head.Method, head.Body, head.ContentLength = http.MethodHead, http.NoBody, 0
	head.URL.Path = noncePath
	a := newAnswer()
	in.ServeHTTP(a, head)
	a.passHeader(w)
}

// verified has Pebble check the nonce and the signature of r, by sending it to
// kind, a path below which nothing has an empty name: nothing comes of it, and the
// signature is still held against the URL that the client has asked for. It
// reports whether they are good; if not, w has Pebble's answer. The caller has
// in.mu.
func (in *interior) verified(w http.ResponseWriter, r *http.Request, kind string) bool {
	nowhere := r.Clone(r.Context())
	nowhere.URL.Path, nowhere.URL.RawPath = kind, ""
	a := newAnswer()
	in.pebble.ServeHTTP(a, nowhere)
	if a.status != http.StatusNotFound {
		a.send(w)
		return false
	}
	a.passHeader(w)
	return true
}

// changes reports whether r is a POST that asks for a change, and no POST-as-GET
// (RFC 8555 §6.3). The body can be read again.
func changes(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	r.Body = io.NopCloser(bytes.NewReader(body))
	var jws struct{ Payload string }
	if err != nil || json.Unmarshal(body, &jws) != nil {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(jws.Payload)
	return err == nil && len(payload) > 0
}

// answer is one that is held back.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}, status: http.StatusOK} }

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// passHeader passes on what does not depend on the body.
func (a *answer) passHeader(w http.ResponseWriter) {
	for _, name := range []string{"Replay-Nonce", "Link", "Cache-Control"} {
		for _, value := range a.header.Values(name) {
			w.Header().Add(name, value)
		}
	}
}

// send passes all of it on.
func (a *answer) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // the client has gone: nobody to tell
}

func writeProblem(w http.ResponseWriter, problem *acme.ProblemDetails) {
	writeJSON(w, "application/problem+json", problem.HTTPStatus, problem)
}

func writeJSON(w http.ResponseWriter, contentType string, status int, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody to tell
}
