package fakeca

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"path"
	"strconv"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// answer is a response before it is written.
type answer struct {
	status int
	header http.Header
	object map[string]any // encoded as JSON, unless nil
	body   []byte
	nonce  bool // has a Replay-Nonce
}

// found returns an answer with an object (RFC 8555 §7.1).
func found(status int, object map[string]any) *answer {
	return &answer{status: status, header: http.Header{"Content-Type": {"application/json"}}, object: object, nonce: true}
}

// failed returns an answer with a problem document.
func failed(p *Problem) *answer {
	return &answer{
		status: p.status(),
		header: http.Header{"Content-Type": {"application/problem+json"}},
		object: p.object(),
		nonce:  true, // RFC 8555 §6.5: also, and above all, in errors
	}
}

func (a *answer) with(name, value string) *answer {
	if value != "" {
		a.header.Set(name, value)
	}
	return a
}

// ServeHTTP answers one request, rightly or as the armed faults say.
func (ca *CA) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	m, h, payload, errJWS := parse(body)
	if r.Method != http.MethodPost || errJWS != nil {
		payload = nil
	}
	ca.mu.Lock()
	target := ca.paths[r.URL.Path]
	if under := ca.paths[path.Dir(r.URL.Path)]; under.call == probe.CallRenewalInfo {
		target = under // RFC 9773 §4.1: the last element says which certificate
	}
	call := target.call
	switch {
	case call == "":
		call = probe.CallUnknown
	case call == probe.CallAuthz && deactivates(payload):
		call = probe.CallDeactivateAuthz
	}
	f, played := ca.take(call)
	ca.requests = append(ca.requests, Request{
		Call: call, Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Payload: payload, Fault: played,
	})
	ca.mu.Unlock()

	if f.Hang {
		select {
		case <-r.Context().Done():
		case <-ca.ctx.Done():
		}
		hangUp(r, f.Reset)
		return
	}
	if f.Delay > 0 && !ca.wait(r.Context(), f.Delay) {
		return
	}
	if f.HangUp == BeforeHeaders {
		hangUp(r, f.Reset)
		return
	}
	a := f.replacement()
	if a == nil {
		a = ca.process(r, request{route: target, call: call, message: m, header: h, payload: payload, broken: errJWS, fault: &f})
	}
	ca.write(w, r, a, &f)
}

// deactivates reports whether a payload deactivates its object (RFC 8555 §7.5.2).
func deactivates(payload []byte) bool {
	var p struct{ Status string }
	return json.Unmarshal(payload, &p) == nil && p.Status == "deactivated"
}

// write sends a, as f has it.
func (ca *CA) write(w http.ResponseWriter, r *http.Request, a *answer, f *Fault) {
	if a.object != nil {
		if f.Edit != nil {
			f.Edit(a.object)
		}
		a.body, _ = json.Marshal(a.object)
	}
	out := w.Header()
	maps.Copy(out, a.header)
	if a.nonce && !f.DropNonce {
		ca.mu.Lock()
		out.Set("Replay-Nonce", ca.nonce())
		ca.mu.Unlock()
		out.Set("Cache-Control", "no-store")
		out.Set("Link", `<`+ca.URL()+`>;rel="index"`)
	}
	for name, values := range f.Header {
		out[http.CanonicalHeaderKey(name)] = values
	}
	switch {
	case f.Oversize > 0:
		out.Del("Content-Length")
		w.WriteHeader(a.status)
		_, _ = io.CopyN(w, filler{}, f.Oversize)
		return
	case f.GzipBomb > 0:
		a.body = bomb(f.GzipBomb)
		out.Set("Content-Encoding", "gzip")
	}
	if r.Method == http.MethodHead || a.status == http.StatusNoContent {
		w.WriteHeader(a.status)
		return
	}
	out.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	if !f.Truncate && f.HangUp != AfterHeaders && f.BodyDelay == 0 {
		_, _ = w.Write(a.body)
		return
	}
	half := len(a.body) / 2
	_, _ = w.Write(a.body[:half])
	_ = http.NewResponseController(w).Flush()
	if f.BodyDelay > 0 && !ca.wait(r.Context(), f.BodyDelay) {
		return
	}
	if f.HangUp == AfterHeaders {
		hangUp(r, f.Reset)
		return
	}
	if f.Truncate {
		panic(http.ErrAbortHandler) // ends the response here, without a log line
	}
	_, _ = w.Write(a.body[half:])
}

// filler is blanks without end: to a JSON decoder, a document that is about to
// begin.
type filler struct{}

func (filler) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// bomb packs n blanks.
func bomb(n int64) []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.CopyN(z, filler{}, n)
	_ = z.Close()
	return packed.Bytes()
}
