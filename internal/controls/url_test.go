package controls_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/controls"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// one asks the only control of corp, and holds what is true of all of them.
func one(t *testing.T, o controls.Options) probe.Control {
	t.Helper()
	asker := controls.New(o)
	if !asker.Configured("corp") {
		t.Fatal("no control is configured")
	}
	before := time.Now()
	answers := asker.Ask(t.Context(), "corp")
	if len(answers) != 1 {
		t.Fatalf("answers: %+v", answers)
	}
	got := answers[0]
	if got.Asked.Before(before) || got.Asked.Add(got.Duration).After(time.Now()) || got.Duration <= 0 {
		t.Errorf("asked at %s for %s, the test began at %s", got.Asked, got.Duration, before)
	}
	return got
}

// check holds liveness and error of an answer; no phase: there must be no error.
func check(t *testing.T, got probe.Control, alive bool, phase probe.Phase, cause probe.Cause) {
	t.Helper()
	if got.Alive != alive {
		t.Errorf("alive: %t, error %v", got.Alive, got.Error)
	}
	switch {
	case phase == "" && got.Error != nil:
		t.Errorf("error %v", got.Error)
	case phase != "" && (got.Error == nil || got.Error.Phase != phase || got.Error.Cause != cause):
		t.Errorf("error %v, want %s: %s", got.Error, phase, cause)
	}
}

// TestURL holds what a URL has to do to be alive, over real sockets.
func TestURL(t *testing.T) {
	t.Parallel()
	slow, slowTLS := web(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	fine, fineTLS := web(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	broken, brokenTLS := web(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	endless, _ := web(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	})
	long, _ := web(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 512<<10))
	})
	var followed atomic.Bool
	leads, _ := web(t, func(w http.ResponseWriter, r *http.Request) {
		followed.Store(followed.Load() || r.URL.Path == "/there")
		http.Redirect(w, r, "/there", http.StatusFound)
	})
	wantsUs := httptest.NewUnstartedServer(http.NotFoundHandler())
	wantsUs.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	wantsUs.Config.ErrorLog = quiet
	wantsUs.StartTLS()
	t.Cleanup(wantsUs.Close)
	hangUp := raw(t, func(net.Conn) {})
	babble := raw(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.corp.example ESMTP\r\n") })

	tests := []struct {
		name, url string
		alive     bool
		phase     probe.Phase // empty: no error
		cause     probe.Cause
	}{
		{"http", fine, true, "", ""},
		{"https, nobody trusts it", fineTLS, true, "", ""},
		{"a status of 503", broken, true, "", ""},
		{"a status of 503 over TLS", brokenTLS, true, "", ""},
		{"a redirect", leads, true, "", ""},
		{"an endless body", endless, true, "", ""},
		{"a header without end", long, false, probe.PhaseResponse, probe.CauseTooLarge},
		{"refused", "https://" + closed(t), false, probe.PhaseConnect, probe.CauseRefused},
		{"a blackhole", "http://" + blackhole(t), false, probe.PhaseResponse, probe.CauseTimeout},
		{"a blackhole for TLS", "https://" + blackhole(t), false, probe.PhaseTLS, probe.CauseTimeout},
		{"hung up", "http://" + hangUp, false, probe.PhaseResponse, probe.CauseClosed},
		{"hung up in the handshake", "https://" + hangUp, false, probe.PhaseTLS, probe.CauseClosed},
		{"no HTTP", "http://" + babble, false, probe.PhaseResponse, probe.CauseOther},
		{"no TLS", "https://" + babble, false, probe.PhaseTLS, probe.CauseOther},
		{"a web server without TLS", strings.Replace(fine, "http:", "https:", 1), false, probe.PhaseTLS, probe.CauseOther},
		{"slow", slow, false, probe.PhaseResponse, probe.CauseTimeout},
		{"slow, but with a certificate", slowTLS, true, probe.PhaseResponse, probe.CauseTimeout},
		{"refuses us after its certificate", wantsUs.URL, true, probe.PhaseResponse, probe.CauseOther},
	}
	// All at once, for some take as long as they may.
	var list []string
	for _, test := range tests {
		list = append(list, test.url)
	}
	answers := controls.New(controls.Options{Config: load(t, urls(list...))}).Ask(t.Context(), "corp")
	if len(answers) != len(tests) {
		t.Fatalf("%d answers", len(answers))
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := answers[i]
			check(t, got, test.alive, test.phase, test.cause)
			if got.Kind != probe.ControlURL || got.Target != test.url {
				t.Errorf("%s %q", got.Kind, got.Target)
			}
			if test.cause == probe.CauseTimeout && got.Duration < controls.Timeout {
				t.Errorf("given up after %s", got.Duration)
			}
		})
	}
	if followed.Load() {
		t.Error("the redirect was followed")
	}
}

// TestRequest holds what a control is sent.
func TestRequest(t *testing.T) {
	seen := make(chan string, 1)
	plain, _ := web(t, func(_ http.ResponseWriter, r *http.Request) {
		seen <- fmt.Sprint(r.Method, " ", r.URL, " ", r.UserAgent(), " ", r.Close)
	})
	got := one(t, controls.Options{Config: load(t, urls(plain+"/up")), UserAgent: "acme_exporter/1"})
	check(t, got, true, "", "")
	if s := <-seen; s != "HEAD /up acme_exporter/1 true" {
		t.Error(s)
	}
}

// TestHostNotFound holds that a host is found through the resolver, and what is said
// if it is not there or the resolver is silent.
func TestHostNotFound(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		answer dns.HandlerFunc
		cause  probe.Cause
	}{
		{"NXDOMAIN", says(dns.RcodeNameError), probe.CauseNotFound},
		{"silence", silent, probe.CauseTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := nameServer(t, test.answer)
			resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, "udp", server)
				if err == nil {
					t.Cleanup(func() { conn.Close() }) // a lookup lasts 5 s, whoever has left
				}
				return conn, err
			}}
			got := one(t, controls.Options{Config: load(t, urls("https://www.gone.example/")), Resolver: resolver})
			check(t, got, false, probe.PhaseDNS, test.cause)
		})
	}
}

// TestShown holds that what is kept of a directory's URL is no secret and not long.
func TestShown(t *testing.T) {
	address := closed(t)
	for path, want := range map[string]string{
		`acme?key="hunter2`:            "https://" + address + "/acme",
		strings.Repeat("long/", 100):   "https://" + address + "/long/long/",
		"WSZ4jW9PJZbpKXdVc2mVt3a/acme": "https://" + address + "/[removed]/acme",
	} {
		got := one(t, controls.Options{Config: load(t,
			"  other: {directory_url: 'https://"+address+"/"+path+"', probes: {directory: 1m}}")})
		if !strings.HasPrefix(got.Target, want) || strings.Contains(got.Target, "hunter") || len(got.Target) > 200 {
			t.Errorf("%d bytes: %s", len(got.Target), got.Target)
		}
		check(t, got, false, probe.PhaseConnect, probe.CauseRefused)
	}
}

// proxy runs one that reaches whom it is told to, or answers with status, and
// returns its URL.
func proxy(t *testing.T, status int) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known := r.Header.Get("Proxy-Authorization") != "" && (r.Method != http.MethodConnect || r.Header.Get("X-Token") == "hunter3")
		if !known || status != 0 {
			w.WriteHeader(max(status, http.StatusProxyAuthRequired))
			return
		}
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusTeapot) // the origin's answer, as it were
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer there.Close()
		here, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer here.Close()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, buffered); there.Close() }()
		_, _ = io.Copy(here, there)
	}))
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "http://", "http://me:hunter2@", 1)
}

// TestProxy holds that a proxy which is alive is no proof of what lies behind it.
func TestProxy(t *testing.T) {
	_, fine := web(t, func(http.ResponseWriter, *http.Request) {})
	dead := "https://" + closed(t)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for _, test := range []struct {
		name, url, proxy string
		alive            bool
		phase            probe.Phase
		cause            probe.Cause
	}{
		{"alive", fine, proxy(t, 0), true, "", ""},
		{"alive, without TLS", "http://www.corp.example", proxy(t, 0), true, "", ""},
		{"it reaches nobody", dead, proxy(t, 0), false, probe.PhaseConnect, probe.CauseOther},
		{"it reaches nobody, without TLS", "http://www.corp.example", proxy(t, http.StatusBadGateway), false, probe.PhaseResponse, probe.CauseOther},
		{"it does not know us", "http://www.corp.example", proxy(t, http.StatusProxyAuthRequired), false, probe.PhaseResponse, probe.CauseOther},
		{"its own certificate", fine, secure.URL, false, probe.PhaseTLS, probe.CauseOther},
		{"refused", fine, "http://" + closed(t), false, probe.PhaseConnect, probe.CauseRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			proxy := "proxy_url: '" + test.proxy + "', proxy_connect_header: {X-Token: [hunter3]}"
			for which, c := range map[string]string{
				"controls": "controls: {urls: ['" + test.url + "'], " + proxy + "}",
				"target":   "  other: {directory_url: '" + test.url + "', probes: {directory: 1m}, " + proxy + "}",
			} {
				if which == "target" && !strings.HasPrefix(test.url, "https:") {
					continue
				}
				got := one(t, controls.Options{Config: load(t, c)})
				check(t, got, test.alive, test.phase, test.cause)
				if b := fmt.Sprintf("%+v %v", got, got.Error); strings.Contains(b, "hunter") {
					t.Errorf("%s: a secret is in %s", which, b)
				}
			}
		})
	}
}

// TestLeaves holds that nothing stays open of a handshake that was given up.
func TestLeaves(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	hole := raw(t, func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		close(left)
	})
	check(t, one(t, controls.Options{Config: load(t, urls("https://"+hole))}), false, probe.PhaseTLS, probe.CauseTimeout)
	select {
	case <-left:
	case <-time.After(20 * time.Second):
		t.Fatal("the connection is still open")
	}
}
