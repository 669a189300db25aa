package acmehttp

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// get makes one request by GET that belongs to e.
func get(t *testing.T, s *Session, e *Exchange, url string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(WithExchange(t.Context(), e), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(req)
	if err == nil {
		res.Body.Close()
	}
	return err
}

// Only what is signed anyhow may come without TLS, and only from where the
// configuration says if that is a private network.
func TestPlainHTTP(t *testing.T) {
	a := newAuthority(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "list") }))
	t.Cleanup(srv.Close)
	api := a.serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }).URL
	for _, tt := range []struct {
		call    probe.CallName
		chosen  bool
		learnt  bool
		cause   probe.Cause
		allowed bool
	}{
		{call: probe.CallCRL, chosen: true, allowed: true},
		{call: probe.CallOCSP, chosen: true, allowed: true},
		{call: probe.CallAIA, chosen: true, allowed: true},
		{call: probe.CallSite, chosen: true, cause: probe.CauseScheme},
		{call: probe.CallNewOrder, chosen: true, cause: probe.CauseScheme},
		{call: probe.CallCRL, cause: probe.CauseAddress},
		{call: probe.CallCRL, learnt: true, allowed: true},
	} {
		s := a.session(t, api)
		if tt.learnt {
			if err := get(t, s, NewExchange("", ""), api); err != nil {
				t.Fatal(err)
			}
		}
		e := NewExchange(probe.StepCRL, tt.call)
		e.Chosen = tt.chosen
		err := get(t, s, e, srv.URL)
		switch {
		case tt.allowed && (err != nil || string(e.Response.Body) != "list"):
			t.Errorf("%+v: %v", tt, err)
		case !tt.allowed:
			wantError(t, s, err, probe.PhaseRequest, tt.cause)
		}
	}
}

// The directory's own host and port is where its certificate is seen: not over
// plain HTTP.
func TestPlainHTTPIsNotTheDirectorys(t *testing.T) {
	a := newAuthority(t)
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	s := a.session(t, "https://"+strings.TrimPrefix(srv.URL, "http://"))
	wantError(t, s, get(t, s, NewExchange(probe.StepCRL, probe.CallCRL), srv.URL), probe.PhaseRequest, probe.CauseAddress)
}

func TestStream(t *testing.T) {
	a := newAuthority(t)
	body := bytes.Repeat([]byte("x"), 3<<20)
	status := http.StatusOK
	chunked := false
	srv := a.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		if chunked {
			w.(http.Flusher).Flush()
		}
		w.Write(body)
	})
	fetch := func(limit int64, read func(io.Reader)) (*Session, *Exchange, error) {
		s := a.session(t, srv.URL)
		e := NewExchange(probe.StepCRL, probe.CallCRL)
		e.Chosen, e.Limit, e.Read = true, limit, read
		return s, e, get(t, s, e, srv.URL+"/crl")
	}
	var got int64
	all := func(r io.Reader) { got, _ = io.Copy(io.Discard, r) }

	s, e, err := fetch(4<<20, all)
	if err != nil || got != 3<<20 || len(e.Response.Body) != 0 || s.Calls()[0].Bytes != 3<<20 {
		t.Errorf("%v, %d bytes, body of %d, call %+v", err, got, len(e.Response.Body), s.Calls()[0])
	}
	s, _, err = fetch(4<<20, func(r io.Reader) { _, _ = io.ReadFull(r, make([]byte, 10)) })
	if err != nil || s.Calls()[0].Bytes != 10 || !s.Calls()[0].Answered() {
		t.Errorf("stopped early: %v, %+v", err, s.Calls()[0])
	}
	s, _, err = fetch(2<<20, all)
	wantError(t, s, err, probe.PhaseBody, probe.CauseTooLarge)
	chunked = true
	s, _, err = fetch(2<<20, all)
	wantError(t, s, err, probe.PhaseBody, probe.CauseTooLarge)
	if got > 2<<20 {
		t.Errorf("read %d bytes, more than the limit", got)
	}
	status, body = http.StatusNotFound, []byte("not here")
	got = 0
	_, e, err = fetch(4<<20, all)
	if err != nil || got != 0 || string(e.Response.Body) != "not here" {
		t.Errorf("an error was streamed: %v, %d bytes, %q", err, got, e.Response.Body)
	}
}

// A certificate that nobody could trust is seen, where it is what is asked for.
func TestAnyCertificate(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	old := time.Now().Add(-48 * time.Hour)
	srv := a.serve(t, func(http.ResponseWriter, *http.Request) {}, func(s *httptest.Server) {
		s.TLS.Certificates = append(s.TLS.Certificates[:0], other.leaf(t, old, old.Add(time.Hour)))
	})
	s := a.session(t, "https://ca.example/directory")
	e := NewExchange(probe.StepSite, probe.CallSite)
	e.Chosen = true
	wantError(t, s, get(t, s, e, srv.URL), probe.PhaseTLS, probe.CauseExpired)

	e.AnyCertificate = true
	if err := get(t, s, e, srv.URL); err != nil {
		t.Fatal(err)
	}
	if e.Response.TLS == nil || len(e.Response.TLS.PeerCertificates) != 2 {
		t.Errorf("TLS %+v", e.Response.TLS)
	}
	if c := s.Calls()[1]; c.Connection.TLS == nil || c.Connection.TLSVersion == "" {
		t.Errorf("the handshake is not recorded: %+v", c.Connection)
	}
	if api := s.APICertificate(); api != nil {
		t.Errorf("taken for the API's: %+v", api)
	}
}
