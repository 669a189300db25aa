package acmehttp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// lateListener delays the first bytes that are read of each connection, and so
// the TLS handshake.
type lateListener struct {
	net.Listener
	delay time.Duration
}

func (l lateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lateConn{Conn: c, delay: l.delay}, nil
}

type lateConn struct {
	net.Conn
	once  sync.Once
	delay time.Duration
}

func (c *lateConn) Read(b []byte) (int, error) {
	c.once.Do(func() { <-time.After(c.delay) })
	return c.Conn.Read(b)
}

// The delays that TestInjectedDelays injects. Slack is shorter than any of them, so
// that one in the wrong phase is seen.
const (
	inDNS, inTLS, inAnswer, inBody = 60 * time.Millisecond, 80 * time.Millisecond, 100 * time.Millisecond, 120 * time.Millisecond
	slack                          = 50 * time.Millisecond
)

// TestInjectedDelays holds that each delay is in the phase to which it belongs,
// and in no other. A busy machine makes any part longer now and then, and none
// shorter: so no part may ever be too short, and each has to be right once.
func TestInjectedDelays(t *testing.T) {
	a := newAuthority(t)
	names := resolver(t, map[string][]string{"ca.example.": {"127.0.0.1"}})
	dial := names.Dial
	names.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		<-time.After(inDNS)
		return dial(ctx, network, address)
	}
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			srv := a.serve(t, func(w http.ResponseWriter, _ *http.Request) {
				<-time.After(inAnswer)
				fmt.Fprint(w, "{")
				_ = http.NewResponseController(w).Flush()
				<-time.After(inBody)
				fmt.Fprint(w, "}")
			}, func(s *httptest.Server) {
				s.EnableHTTP2 = version == "HTTP/2.0"
				s.Listener = lateListener{s.Listener, inTLS}
			})
			url := "https://ca.example" + srv.URL[strings.LastIndexByte(srv.URL, ':'):]
			var late []string // parts that were always too long
			for range 20 {
				s := a.session(t, url, func(o *Options) { o.Resolver, o.Family = names, probe.IPv4 })
				for range 2 {
					if _, err := do(t.Context(), s, "GET", url+"/dir"); err != nil {
						t.Fatal(err)
					}
				}
				var now []string
				for _, p := range delayed(t, s.Calls()) {
					if p.got < p.want-p.late-time.Millisecond {
						t.Fatalf("%s took %v, want %v", p.name, p.got, p.want)
					}
					if p.got > p.want+slack {
						now = append(now, p.name)
					}
				}
				if late == nil {
					late = now
				}
				late = slices.DeleteFunc(late, func(name string) bool { return !slices.Contains(now, name) })
				if len(late) == 0 {
					return
				}
			}
			t.Errorf("always took %v more than they should: %v", slack, late)
		})
	}
}

// part is a part of a call's time.
type part struct {
	name      string
	got, want time.Duration
	late      time.Duration // of the hook at its start, whose time is in the part before
}

// delayed returns the parts of two calls, of which the first opened the connection.
func delayed(t *testing.T, calls []probe.Call) []part {
	t.Helper()
	c := calls[0].Connection
	if c.DNS == nil || c.Connect == nil || c.TLS == nil {
		t.Fatalf("phases are missing: %+v", c)
	}
	parts := []part{
		{"dns", c.DNS.Duration, inDNS, 0}, {"connect", c.Connect.Duration, 0, 0}, {"tls", c.TLS.Duration, inTLS, 0},
		{"after tls", calls[0].Ready - c.TLS.Start - c.TLS.Duration, 0, 0},
	}
	for i := range calls {
		first := calls[i].FirstByte - calls[i].Ready
		n := strconv.Itoa(i + 1)
		parts = append(parts,
			part{"first byte " + n, first, inAnswer, 0},
			part{"body " + n, calls[i].End - calls[i].FirstByte, inBody, max(first-inAnswer, 0)},
			part{"processing " + n, calls[i].Processing(), inAnswer + inBody, 0})
	}
	return append(parts, part{"ready, reused", calls[1].Ready - calls[1].Start, 0, 0})
}

// TestNothingOutlivesTheRequest lets the time be over in a handshake: the
// connection is closed, and nothing that happens later is recorded.
func TestNothingOutlivesTheRequest(t *testing.T) {
	a := newAuthority(t)
	cert := a.valid(t)
	gone, release := make(chan error, 1), make(chan struct{})
	url := listen(t, func(c net.Conn) {
		<-release
		tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		err := tc.Handshake()
		if err == nil {
			_, err = tc.Read(make([]byte, 1))
		}
		gone <- err
	})
	s := a.session(t, url, func(o *Options) { o.Reuse = true }) // so that no Close of the session helps
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	_, err := do(ctx, s, "GET", url+"/dir")
	before := wantError(t, s, err, probe.PhaseTLS, probe.CauseTimeout)
	span := before.Connection.TLS
	if span == nil || before.End-span.Start-span.Duration > 50*time.Millisecond {
		t.Errorf("the handshake did not last as long as the call: %+v", before)
	}
	if took := before.End - before.Start; took > short+time.Second {
		t.Errorf("took %v, allowed %v", took, short)
	}
	close(release)
	select {
	case err := <-gone:
		if err == nil {
			t.Error("a request arrived after the end")
		}
	case <-time.After(5 * time.Second):
		t.Error("the connection outlives the request")
	}
	eventually(t, "the pool is empty", func() bool {
		s.pool.mu.Lock()
		defer s.pool.mu.Unlock()
		return len(s.pool.conns) == 0
	})
	if d := cmp.Diff(before, s.Calls()[0]); d != "" {
		t.Errorf("changed afterwards:\n%s", d)
	}
}

// TestAnswerAfterTheEnd ends the request as the answer comes in: some servers
// answer because we give up, and net/http hands on what it reads while it closes
// the connection. That is no answer to the request.
func TestAnswerAfterTheEnd(t *testing.T) {
	a := newAuthority(t)
	srv := a.serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }, http1)
	s := a.session(t, srv.URL)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	came := make(chan struct{})
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() {
		s.pool.mu.Lock() // which closing the connection needs
		cancel()
		close(came)
	}})
	done := make(chan error, 1)
	go func() {
		_, err := do(ctx, s, "GET", srv.URL+"/dir")
		done <- err
	}()
	<-came
	<-time.After(short) // for the answer to be read meanwhile
	s.pool.mu.Unlock()
	if call := wantError(t, s, <-done, probe.PhaseResponse, probe.CauseCanceled); call.Status != 0 {
		t.Errorf("status %d of what came too late", call.Status)
	}

	r := newRecord()
	r.ctx = ctx
	hooks := httptrace.ContextClientTrace(r.trace(t.Context()))
	hooks.GotConn(httptrace.GotConnInfo{})
	hooks.GotFirstResponseByte()
	c := probe.Call{End: r.clock.elapsed()}
	if r.fill(&c, true); c.FirstByte != 0 {
		t.Errorf("first byte at %v of what came too late", c.FirstByte)
	}
}

func newRecord() *record {
	return &record{clock: &clock{now: time.Now()}, ctx: context.Background(), named: true, phase: probe.PhaseRequest}
}

// TestLateHooks calls every hook after the call has ended, as net/http does for
// a dial that nobody waits for.
func TestLateHooks(t *testing.T) {
	r := newRecord()
	hooks := httptrace.ContextClientTrace(r.trace(t.Context()))
	hooks.GetConn("")
	hooks.DNSStart(httptrace.DNSStartInfo{})
	var call probe.Call
	call.End = r.clock.elapsed()
	phase := r.fill(&call, true)
	late := func() {
		hooks.DNSDone(httptrace.DNSDoneInfo{})
		hooks.ConnectStart("", "")
		hooks.ConnectDone("", "", nil)
		hooks.TLSHandshakeStart()
		hooks.TLSHandshakeDone(tls.ConnectionState{}, nil)
		hooks.GotConn(httptrace.GotConnInfo{})
		hooks.GotFirstResponseByte()
		hooks.GetConn("")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(late)
	}
	again := probe.Call{End: call.End}
	if got := r.fill(&again, false); got != phase || phase != probe.PhaseDNS {
		t.Errorf("phase %q became %q", phase, got)
	}
	wg.Wait()
	last := probe.Call{End: call.End}
	r.fill(&last, false)
	for _, got := range []probe.Call{again, last} {
		if d := cmp.Diff(call, got); d != "" {
			t.Errorf("a late hook changed the call:\n%s", d)
		}
	}
}

// TestLosingDial has a dial that goes on while an idle connection carries the
// call, and then a connection that turned out to be dead.
func TestLosingDial(t *testing.T) {
	r := newRecord()
	hooks := httptrace.ContextClientTrace(r.trace(t.Context()))
	hooks.GetConn("")
	hooks.DNSStart(httptrace.DNSStartInfo{})
	hooks.DNSDone(httptrace.DNSDoneInfo{})
	hooks.ConnectStart("", "")
	hooks.GotConn(httptrace.GotConnInfo{Reused: true})
	hooks.ConnectDone("", "", nil)
	hooks.TLSHandshakeStart()
	c := probe.Call{End: r.clock.elapsed()}
	if phase := r.fill(&c, false); phase != probe.PhaseResponse {
		t.Errorf("the losing dial set the phase to %q", phase)
	}
	if c.Connection.DNS != nil || c.Connection.Connect != nil || c.Connection.TLS != nil || !c.Connection.Reused {
		t.Errorf("a reused connection has phases: %+v", c.Connection)
	}
	ready := c.Ready
	hooks.GetConn("") // the idle one was dead
	hooks.DNSStart(httptrace.DNSStartInfo{})
	hooks.DNSDone(httptrace.DNSDoneInfo{})
	hooks.GotConn(httptrace.GotConnInfo{})
	c = probe.Call{End: r.clock.elapsed()}
	r.fill(&c, true)
	if c.Ready <= ready || c.Connection.Reused || c.Connection.DNS == nil {
		t.Errorf("the second connection is not what is recorded: %+v", c)
	}
}

// BenchmarkAccuracy reports the 99th percentile of |measured - injected| for an
// answer that a server delays, with 1 and 50 runs in parallel, each on a fresh
// connection. Injected is what the server says it has taken, since its own
// timer is late at times.
func BenchmarkAccuracy(b *testing.B) {
	const delay = 100 * time.Millisecond
	a := newAuthority(b)
	srv := a.serve(b, func(w http.ResponseWriter, _ *http.Request) {
		start := time.Now()
		<-time.After(delay)
		fmt.Fprint(w, strconv.FormatInt(int64(time.Since(start)), 10))
	})
	for _, runs := range []int{1, 50} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			tr := a.transport(b, srv.URL)
			var mu sync.Mutex
			var errs []time.Duration
			var wg sync.WaitGroup
			for i := range runs {
				wg.Go(func() {
					// Runs have a splayed start, and so do these.
					<-time.After(9 * delay * time.Duration(i) / time.Duration(runs))
					for range (b.N + runs - 1) / runs {
						off, err := accuracy(b.Context(), tr, srv.URL)
						if err != nil {
							b.Error(err)
							return
						}
						mu.Lock()
						errs = append(errs, off...)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			slices.Sort(errs)
			for _, q := range []int{50, 99} {
				b.ReportMetric(errs[len(errs)*q/100].Seconds()*1000, fmt.Sprintf("p%d-ms", q))
			}
		})
	}
}

// accuracy makes one run of nine calls.
func accuracy(ctx context.Context, tr *Transport, url string) ([]time.Duration, error) {
	s := tr.Session(time.Now())
	defer s.Close()
	var off []time.Duration
	for i := range 9 {
		text, err := do(ctx, s, "GET", url+"/dir")
		if err != nil {
			return nil, err
		}
		injected, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, err
		}
		call, _ := s.Call(i)
		off = append(off, (call.Processing() - time.Duration(injected)).Abs())
	}
	return off, nil
}

// BenchmarkOverhead compares a call through a session with the same call
// through net/http alone, on a connection that is open.
func BenchmarkOverhead(b *testing.B) {
	a := newAuthority(b)
	order := `{"status":"ready","expires":"2026-11-03T10:00:00Z","identifiers":[{"type":"dns","value":"a.example"}],` +
		`"authorizations":["/authz/1"],"finalize":"/finalize/1"}`
	srv := a.serve(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Replay-Nonce", "oFvnlFP1wIhRlYS2jTaXbA")
		fmt.Fprint(w, order)
	})
	call := func(b *testing.B, client *http.Client) {
		ctx := WithExchange(b.Context(), NewExchange(probe.StepOrder, probe.CallOrder))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/order/1", strings.NewReader(order))
		if err != nil {
			b.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(res.Body); err != nil {
			b.Fatal(err)
		}
		res.Body.Close()
	}
	b.Run("net/http", func(b *testing.B) {
		plain := &http.Transport{TLSClientConfig: a.client(), ForceAttemptHTTP2: true}
		defer plain.CloseIdleConnections()
		client := &http.Client{Transport: plain}
		b.ReportAllocs()
		for b.Loop() {
			call(b, client)
		}
	})
	b.Run("session", func(b *testing.B) {
		tr := a.transport(b, srv.URL, func(o *Options) { o.Reuse = true })
		s := tr.Session(time.Now())
		defer func() { s.Close() }()
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			if n%9 == 8 { // an issuance is nine calls
				s.Close()
				s = tr.Session(time.Now())
			}
			call(b, s.Client())
		}
	})
}
