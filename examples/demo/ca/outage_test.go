package ca_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

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
		{name: "another machine", remote: "192.0.2.1:40000", host: "127.0.0.1:1234", query: "mode=down", status: 403, mode: ca.Off},
		{name: "another name for this machine", remote: "127.0.0.1:40000", host: "rebound.example:1234", query: "mode=down", status: 403, mode: ca.Off},
		{name: "another site's page", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", site: "cross-site", query: "mode=down", status: 403, mode: ca.Off},
		{name: "no such mode", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", query: "mode=fire", status: 400, mode: ca.Off},
		{name: "another method", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", query: "mode=down", method: "PUT", status: 405, mode: ca.Off},
		{name: "only asking", remote: "127.0.0.1:40000", host: "127.0.0.1:1234", status: 200, mode: ca.Off},
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

// TestOutage goes through the modes at a real CA.
func TestOutage(t *testing.T) {
	authority, err := ca.Start(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := authority.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.APIRoot())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(client.CloseIdleConnections)

	// call returns the status, 0 for no answer.
	call := func(method, url string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", "test")
		req.Header.Set("Content-Type", "application/jose+json")
		resp, err := client.Do(req)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	directory := authority.DirectoryURL()
	base, err := url.Parse(directory)
	if err != nil {
		t.Fatal(err)
	}
	newOrder := strings.TrimSuffix(directory, base.Path) + "/order-plz"

	for _, step := range []struct {
		mode      ca.Mode
		get, post int
	}{
		{ca.Off, 200, 400},
		{ca.Errors, 200, 500},
		{ca.Down, 0, 0},
		{ca.Off, 200, 400},
	} {
		if err := authority.Outage.Set(step.mode); err != nil {
			t.Fatal(err)
		}
		if got := call(http.MethodGet, directory); got != step.get {
			t.Errorf("mode %s: GET directory: %d, want %d", step.mode, got, step.get)
		}
		if got := call(http.MethodPost, newOrder); got != step.post {
			t.Errorf("mode %s: POST new-order: %d, want %d", step.mode, got, step.post)
		}
	}
}
