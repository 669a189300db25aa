package acmehttp

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestRecord(t *testing.T) {
	a := newAuthority(t)
	date := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	var agent string
	srv := a.serve(t, func(w http.ResponseWriter, r *http.Request) {
		agent = r.UserAgent()
		w.Header().Set("Date", date.Format(http.TimeFormat))
		w.Header().Set("Retry-After", date.Add(3*time.Second).Format(http.TimeFormat))
		w.Header().Set("Replay-Nonce", "oFvnlFP1wIhRlYS2jTaXbA")
		w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"type":"urn:acme:error:serverInternal","detail":"see https://u:p@x.example/a?jwt=b","status":200}`)
	})
	start := time.Now().Add(-time.Second)
	s := a.transport(t, srv.URL).Session(start)
	defer s.Close()
	e := &Exchange{Step: probe.StepFinalization, Call: probe.CallFinalize, Attempt: 2, RetryCause: "bad_nonce", CallIndex: -1}
	req, err := http.NewRequestWithContext(WithExchange(t.Context(), e), http.MethodPost, srv.URL+"/f/1?secret=1#x", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "somebody else")
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if agent != "acme_exporter/test" || req.Header.Get("User-Agent") != "somebody else" {
		t.Errorf("sent User-Agent %q, and left %q in the request", agent, req.Header.Get("User-Agent"))
	}
	got, ok := s.Call(e.CallIndex)
	if !ok || e.CallIndex != 0 {
		t.Fatalf("no call %d", e.CallIndex)
	}
	if e.Response == nil || e.Response.Status != 503 || e.Response.Header.Get("Replay-Nonce") == "" {
		t.Errorf("response %+v", e.Response)
	}
	c := got.Connection
	if c.Reused || c.Connect == nil || c.TLS == nil || c.DNS != nil || c.Remote != srv.Listener.Addr().String() ||
		c.Family != probe.IPv4 || c.HTTPVersion != "HTTP/2.0" || c.TLSVersion != "TLS 1.3" || c.KeyExchange != "X25519MLKEM768" {
		t.Errorf("connection %+v", c)
	}
	if !(got.Start >= time.Second && got.Start <= c.Connect.Start && c.Connect.Start+c.Connect.Duration <= c.TLS.Start &&
		c.TLS.Start+c.TLS.Duration <= got.Ready && got.Ready < got.FirstByte && got.FirstByte <= got.End) {
		t.Errorf("offsets in disorder: %+v", got)
	}
	retryAfter := 3 * time.Second
	want := probe.Call{
		Name: probe.CallFinalize, Step: probe.StepFinalization, Method: "POST", URL: srv.URL + "/f/1",
		Attempt: 2, RetryCause: "bad_nonce", Status: 503, Bytes: int64(len(e.Response.Body)), RetryAfter: &retryAfter, Date: date, Nonce: true,
		Problem: &probe.Problem{Type: "serverInternal", Detail: "see https://x.example/a", Status: 200},
		Start:   got.Start, Ready: got.Ready, FirstByte: got.FirstByte, End: got.End, Connection: c,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("call (-want +got):\n%s", d)
	}
	if !got.Answered() {
		t.Error("the call does not count as answered")
	}
}

func TestExchange(t *testing.T) {
	a := newAuthority(t)
	srv := a.serve(t, issuance)
	s := a.session(t, srv.URL)
	get := func(e *Exchange, method, path string) {
		t.Helper()
		if _, err := do(WithExchange(t.Context(), e), s, method, srv.URL+path); err != nil {
			t.Fatal(err)
		}
	}
	e := NewExchange(probe.StepOrder, probe.CallNewOrder)
	e.Attempt, e.RetryCause = 1, "bad_nonce"
	get(e, "GET", "/dir") // the client discovers on the way
	get(e, "POST", "/c")
	index, response := e.CallIndex, e.Response
	get(e, "HEAD", "/a") // and fetches a nonce
	get(e, "GET", "/a")
	if e.CallIndex != index || index != 1 || e.Response != response || !strings.Contains(string(response.Body), "authorizations") {
		t.Errorf("a nonce on the way overwrote call %d and response %s", e.CallIndex, e.Response.Body)
	}
	own := NewExchange(probe.StepNonce, probe.CallNewNonce)
	get(own, "HEAD", "/a")
	if own.CallIndex != 4 || own.Response == nil {
		t.Errorf("a nonce asked for is call %d, with response %+v", own.CallIndex, own.Response)
	}
	step := NewExchange(probe.StepNonce, "")
	get(step, "HEAD", "/a")
	if step.CallIndex != 5 {
		t.Errorf("a nonce in its step is call %d", step.CallIndex)
	}
	get(NewExchange(probe.StepDeactivation, probe.CallDeactivateAuthz), "POST", "/g")
	get(NewExchange(probe.StepDeactivation, ""), "POST", "/k") // learnt from the authorization
	calls := s.Calls()
	if got, want := names(calls), "directory new-order new-nonce new-nonce new-nonce new-nonce deactivate-authz challenge"; got != want {
		t.Errorf("calls %q, want %q", got, want)
	}
	for i, want := range []int{1, 1, 0, 0} {
		if calls[i].Attempt != want || calls[i].Step != probe.StepOrder {
			t.Errorf("call %d has attempt %d in step %q, want %d", i, calls[i].Attempt, calls[i].Step, want)
		}
	}
}

func TestExchangesInParallel(t *testing.T) {
	a := newAuthority(t)
	srv := a.serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })
	s := a.session(t, srv.URL)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 10 {
				path := fmt.Sprintf("/%d/%d", g, i)
				e := NewExchange(probe.StepAuthorization, probe.CallAuthz)
				if _, err := do(WithExchange(t.Context(), e), s, "POST", srv.URL+path); err != nil {
					t.Error(err)
					return
				}
				call, _ := s.Call(e.CallIndex)
				if !strings.HasSuffix(call.URL, path) || string(e.Response.Body) != path {
					t.Errorf("%s got call %s and response %q", path, call.URL, e.Response.Body)
				}
				_ = s.Calls()
				_ = s.APICertificate()
			}
		})
	}
	wg.Wait()
	calls := s.Calls()
	if len(calls) != 80 {
		t.Errorf("%d calls recorded, want 80", len(calls))
	}
	for i := range calls[1:] {
		if calls[i+1].Start < calls[i].Start {
			t.Errorf("call %d started before call %d", i+1, i)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	a := newAuthority(t)
	var elsewhere atomic.Int32
	srv := a.serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/dir" {
			elsewhere.Add(1)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
	})
	s := a.session(t, srv.URL)
	if _, err := do(t.Context(), s, "GET", srv.URL+"/dir"); err != nil {
		t.Fatal(err)
	}
	calls := s.Calls()
	if len(calls) != 1 || calls[0].Status != 301 || elsewhere.Load() != 0 {
		t.Errorf("calls %+v, and %d elsewhere", calls, elsewhere.Load())
	}
}

func TestCredentialsInURLsAreNotSent(t *testing.T) {
	a := newAuthority(t)
	var authorization string
	srv := a.serve(t, func(_ http.ResponseWriter, r *http.Request) { authorization = r.Header.Get("Authorization") })
	s := a.session(t, srv.URL)
	if _, err := do(t.Context(), s, "GET", strings.Replace(srv.URL, "https://", "https://user:pass@", 1)+"/x"); err != nil {
		t.Fatal(err)
	}
	call, _ := s.Call(0)
	if authorization != "" || strings.Contains(call.URL, "pass") {
		t.Errorf("sent Authorization %q, recorded URL %q", authorization, call.URL)
	}
}

// TestConnections holds that a session opens its own connection unless told to
// share, uses it for all its calls, and leaves none behind.
func TestConnections(t *testing.T) {
	a := newAuthority(t)
	for _, reuse := range []bool{false, true} {
		for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(fmt.Sprintf("reuse %v %s", reuse, version), func(t *testing.T) {
				var mu sync.Mutex
				open, opened := map[net.Conn]bool{}, 0
				srv := a.serve(t, issuance, func(s *httptest.Server) {
					s.EnableHTTP2 = version == "HTTP/2.0"
					s.Config.ConnState = func(c net.Conn, state http.ConnState) {
						mu.Lock()
						defer mu.Unlock()
						switch state {
						case http.StateNew:
							open[c] = true
							opened++
						case http.StateClosed:
							delete(open, c)
						}
					}
				})
				tr := a.transport(t, srv.URL, func(o *Options) { o.Reuse = reuse })
				for run := range 3 {
					s := tr.Session(time.Now())
					for i, path := range []string{"/dir", "/a", "/c"} {
						if _, err := do(t.Context(), s, "GET", srv.URL+path); err != nil {
							t.Fatal(err)
						}
						c, _ := s.Call(i)
						want := i > 0 || run > 0 && reuse
						if c.Connection.Reused != want || (c.Connection.TLS == nil) != want || (c.Connection.Connect == nil) != want {
							t.Errorf("run %d, call %d: connection %+v, want it reused: %v", run, i, c.Connection, want)
						}
						if c.Connection.TLSVersion == "" || c.Connection.Remote == "" || c.Connection.HTTPVersion != version {
							t.Errorf("run %d, call %d: connection %+v", run, i, c.Connection)
						}
					}
					if s.APICertificate() == nil {
						t.Errorf("run %d saw no certificate", run)
					}
					s.Close()
				}
				tr.Close()
				want := 3
				if reuse {
					want = 1
				}
				if mu.Lock(); opened != want {
					t.Errorf("%d connections, want %d", opened, want)
				}
				mu.Unlock()
				eventually(t, "every connection is closed", func() bool {
					mu.Lock()
					defer mu.Unlock()
					return len(open) == 0
				})
			})
		}
	}
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("it never comes to pass that %s", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// TestReloadInMidRun closes a shared transport while a session uses it.
func TestReloadInMidRun(t *testing.T) {
	a := newAuthority(t)
	srv := a.serve(t, issuance)
	tr := a.transport(t, srv.URL, func(o *Options) { o.Reuse = true })
	for range 2 {
		s := tr.Session(time.Now())
		for range 2 {
			if _, err := do(t.Context(), s, "GET", srv.URL+"/dir"); err != nil {
				t.Error(err)
			}
			tr.Close()
		}
		s.Close()
	}
}

func TestCloseInMidCall(t *testing.T) {
	a := newAuthority(t)
	arrived := make(chan struct{})
	srv := a.serve(t, func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-r.Context().Done() })
	s := a.session(t, srv.URL)
	done := make(chan error, 1)
	go func() {
		_, err := do(t.Context(), s, "GET", srv.URL+"/dir")
		done <- err
	}()
	<-arrived
	calls := s.Calls()
	if len(calls) != 1 || calls[0].Error == nil || calls[0].Answered() || calls[0].Ready == 0 || calls[0].End < calls[0].Ready {
		t.Errorf("in flight: %+v", calls)
	}
	s.Close()
	s.Close()
	after := s.Calls()
	if after[0].Error == nil || after[0].Error.Cause != probe.CauseCanceled || after[0].Error.Phase != probe.PhaseResponse {
		t.Errorf("after Close: %+v", after[0].Error)
	}
	if err := <-done; err == nil {
		t.Error("the request went on after Close")
	}
	if d := cmp.Diff(after, s.Calls()); d != "" {
		t.Errorf("recorded after Close:\n%s", d)
	}
	_, err := do(t.Context(), s, "GET", srv.URL+"/dir")
	if ce, ok := errors.AsType[*probe.CallError](err); !ok || ce.Cause != probe.CauseCanceled || len(s.Calls()) != 1 {
		t.Errorf("a request after Close: %v", err)
	}
}
