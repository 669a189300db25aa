package prober

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/statuspage"
)

// TestStatusPage has a server that says what a status page may say.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	const page = `{"page":{},"status":{"indicator":"major"},"components":[{"name":"ACME","status":"partial_outage"},{"name":"Mail","status":"operational"}],` +
		`"incidents":[{"name":"x","created_at":"` + "NOW" + `","shortlink":"https://stspg.io/x","components":[{"name":"ACME"}]}]}`
	for name, tt := range map[string]struct {
		answer     http.HandlerFunc
		components []string
		kind       probe.FailureKind // empty: it passes
		detail     string
		advice     string
		news       int
	}{
		"read":        {answer: text(page), news: 1},
		"watched":     {answer: text(page), components: []string{"acme"}, news: 1},
		"about Mail":  {answer: text(page), components: []string{"Mail"}},
		"no such":     {answer: text(page), components: []string{"ACME", "Fax"}, kind: probe.FailureClient, detail: `it has no component "Fax"`, advice: `name one that it has: "ACME", "Mail"`, news: 1},
		"a feed":      {answer: text("<rss/>"), components: []string{"ACME"}, kind: probe.FailureClient, detail: `it has no component "ACME"`, advice: "remove components: the page has none"},
		"for people":  {answer: text("<!DOCTYPE html><html></html>"), kind: probe.FailureProtocol, detail: "it is neither the JSON of status.io or Statuspage nor a feed"},
		"gone":        {answer: http.NotFound, kind: probe.FailureCall},
		"elsewhere":   {answer: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, kind: probe.FailureCall},
		"without end": {answer: text(strings.Repeat(" ", statuspage.MaxPage+1)), kind: probe.FailureCall},
		"hangs":       {answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, kind: probe.FailureCall},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := statusRequest(t, tt.answer, tt.components)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if name == "hangs" {
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
			}
			facts := Run(ctx, req)
			if len(facts.Calls) != 1 || facts.Calls[0].Name != probe.CallStatusPage || len(facts.Steps) != 1 || facts.Steps[0].Name != probe.StepStatusPage || facts.API != nil {
				t.Errorf("calls %+v, steps %+v, API %+v", facts.Calls, facts.Steps, facts.API)
			}
			read := tt.kind == "" || tt.kind == probe.FailureClient
			if read != (facts.StatusPage != nil) || read && len(facts.StatusPage.Announcements) != tt.news {
				t.Errorf("read %+v", facts.StatusPage)
			}
			if tt.kind == "" {
				if facts.Failure != nil {
					t.Errorf("failure %+v", facts.Failure)
				}
				return
			}
			object := objectStatusPage
			if tt.kind == probe.FailureCall {
				object = ""
			}
			if f := wantFailure(t, facts, probe.StepStatusPage, tt.kind, object, tt.detail); f.Advice != tt.advice {
				t.Errorf("advice %q, want %q", f.Advice, tt.advice)
			}
		})
	}
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.ReplaceAll(s, "NOW", time.Now().UTC().Format(time.RFC3339))))
	}
}

// statusRequest is that of a run that reads a status page from answer.
func statusRequest(t *testing.T, answer http.HandlerFunc, components []string) Request {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	b := newBench(t, fakeca.Options{})
	req := b.request(probe.ProberStatusPage)
	transport, err := acmehttp.NewTransport(acmehttp.Options{DirectoryURL: b.target.DirectoryURL, TLSConfig: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.Close)
	req.HTTP = transport.Session(req.Start)
	t.Cleanup(req.HTTP.Close)
	req.Pair.Module.StatusPage = &config.StatusPage{URL: server.URL + "/summary.json", Components: components}
	return req
}
