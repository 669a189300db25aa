package ca_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/acme"
	"github.com/letsencrypt/pebble/v2/core"
	"github.com/letsencrypt/pebble/v2/db"

	"github.com/acme-exporter/acme_exporter/examples/demo/ca"
)

// TestSwitchRefusesOthers holds that nobody from elsewhere, and no page of
// another site, can make the CA fail.
func TestSwitchRefusesOthers(t *testing.T) {
	tests := []struct {
		name, remote, host, site, query, method string
		status                                  int
		mode                                    ca.Mode
	}{
		{name: "this machine", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", query: "mode=down", status: 200, mode: ca.Down},
		{name: "this machine by name, IPv6", remote: "[::1]:40000", host: "localhost:1234", query: "mode=slow", status: 200, mode: ca.Slow},
		{name: "its own page", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", site: "same-origin", query: "mode=slow", status: 200, mode: ca.Slow},
		{name: "another machine", remote: "192.0.2.1:40000", host: "127.0.0.1:1234", query: "mode=down", status: 403, mode: ca.Off},
		{name: "another name for this machine", remote: "127.0.0.1:40000", host: "rebound.example:1234", query: "mode=down", status: 403, mode: ca.Off},
		{name: "another site's page", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", site: "cross-site", query: "mode=down", status: 403, mode: ca.Off},
		{name: "another port's page", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", site: "same-site", query: "mode=down", status: 403, mode: ca.Off},
		{name: "no such mode", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", query: "mode=fire", status: 400, mode: ca.Off},
		{name: "no mode", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", status: 400, mode: ca.Off},
		{name: "another method", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", query: "mode=down", method: "PUT", status: 405, mode: ca.Off},
		{name: "a link", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", query: "mode=down", method: "GET", status: 405, mode: ca.Off},
		{name: "only asking", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", method: "GET", status: 200, mode: ca.Off},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			outage := ca.NewOutage()
			method := test.method
			if method == "" {
				method = http.MethodPost
			}
			r := httptest.NewRequest(method, "http://"+test.host+"/outage?"+test.query, nil)
			r.RemoteAddr = test.remote
			if test.site != "" {
				r.Header.Set("Sec-Fetch-Site", test.site)
			}
			w := httptest.NewRecorder()
			outage.ServeHTTP(w, r)
			if w.Code != test.status || outage.Mode() != test.mode {
				t.Errorf("status %d, mode %q; want %d, %q", w.Code, outage.Mode(), test.status, test.mode)
			}
		})
	}
}

// call is a request and what there is to see of the answer.
type call struct {
	method, path string
	status       int    // 0: none
	kind         string // Content-Type, to the semicolon
	nonce        bool
	text         string // a part of the body
}

// TestOutage goes through the modes at a real CA, as whoever cannot sign sees
// them: such a one makes nothing invalid.
func TestOutage(t *testing.T) {
	var store *db.MemoryStore
	authority, err := ca.Start(ca.Options{Within: func(next http.Handler, s *db.MemoryStore) http.Handler {
		store = s
		return next
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := authority.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	authz := &core.Authorization{ID: "1", Authorization: acme.Authorization{Status: acme.StatusPending}, ExpiresDate: time.Now().Add(time.Hour)}
	order := &core.Order{ID: "1", AccountID: "1"} // of no names: it is ready
	_, err1 := store.AddChallenge(&core.Challenge{ID: "1", Authz: authz, Challenge: acme.Challenge{Status: acme.StatusPending}})
	_, err2 := store.AddOrder(order)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.APIRoot())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(client.CloseIdleConnections)

	const directory, nonce, newOrder, account, challenge, finalize = "/dir", "/nonce-plz", "/order-plz", "/my-account/1", "/chalZ/1", "/finalize-order/1"
	const document, problem, page = "application/json", "application/problem+json", "text/html"
	well := []call{
		{"GET", directory, 200, document, false, newOrder},
		{"HEAD", nonce, 200, "", true, ""},
		{"POST", newOrder, 400, problem, true, "badSignatureAlgorithm"},
		{"POST", challenge, 400, problem, true, "badSignatureAlgorithm"},
		{"POST", finalize, 400, problem, true, "badSignatureAlgorithm"},
	}
	for _, step := range []struct {
		mode  ca.Mode
		calls []call
	}{
		{ca.Off, well},
		{ca.DatabaseDown, []call{
			well[0],
			well[1],
			{"POST", newOrder, 500, problem, true, `:serverInternal","detail":"Error creating new order","status":500`},
			{"POST", account, 500, problem, true, `:serverInternal","detail":"Unable to validate JWS","status":500`},
		}},
		// They concern nobody but those who prove who they are.
		{ca.ValidationDown, well},
		{ca.ResolverDown, well},
		{ca.SigningDown, well},
		{ca.SigningDownSync, well},
		{ca.Slow, well},
		{ca.CDNError, []call{
			{"GET", directory, 503, page, false, "<h1>Error 503</h1>"},
			{"HEAD", nonce, 503, page, false, ""},
			{"POST", newOrder, 520, page, false, "<h1>Error 520</h1>"},
		}},
		{ca.Down, []call{{"GET", directory, 0, "", false, ""}, {"POST", newOrder, 0, "", false, ""}}},
		{ca.Off, well},
	} {
		if err := authority.Outage.Set(step.mode); err != nil {
			t.Fatal(err)
		}
		for _, want := range step.calls {
			start := time.Now()
			checkCall(t, client, authority.DirectoryURL(), step.mode, want)
			least := time.Duration(0)
			switch {
			case step.mode == ca.Slow:
				least = time.Second
			case step.mode == ca.DatabaseDown && want.path == newOrder:
				least = ca.DatabaseDelay
			}
			if took := time.Since(start); took < least {
				t.Errorf("mode %s: %s %s took %v, want %v or more", step.mode, want.method, want.path, took, least)
			}
		}
	}
	if authz.Status != acme.StatusPending || order.Error != nil {
		t.Errorf("nobody signed, and the authorization is %s, and the order's error %v", authz.Status, order.Error)
	}
}

func checkCall(t *testing.T, client *http.Client, directory string, mode ca.Mode, want call) {
	t.Helper()
	// A challenge's acceptance, in form.
	body := strings.NewReader(`{"protected":"e30","payload":"e30","signature":"AA"}`)
	req, err := http.NewRequestWithContext(t.Context(), want.method, strings.TrimSuffix(directory, "/dir")+want.path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "test")
	req.Header.Set("Content-Type", "application/jose+json")
	got := call{method: want.method, path: want.path, text: want.text}
	resp, err := client.Do(req)
	if err == nil {
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		got.status = resp.StatusCode
		got.kind, _, _ = strings.Cut(resp.Header.Get("Content-Type"), ";")
		got.nonce = resp.Header.Get("Replay-Nonce") != ""
		if !strings.Contains(string(text), want.text) {
			got.text = string(text)
		}
		if (resp.Header.Get("Link") != "") != want.nonce {
			t.Errorf("mode %s: %s %s has the links %q", mode, want.method, want.path, resp.Header.Values("Link"))
		}
	}
	if got != want {
		t.Errorf("mode %s: got %+v, want %+v", mode, got, want)
	}
}
