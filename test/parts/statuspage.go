package parts

import (
	"encoding/pem"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// StatusPage is what a CA says of itself, in the JSON of Statuspage, over TLS at
// 127.0.0.1. It has one component, ACME.
type StatusPage struct {
	// URL of the summary.
	URL string

	server *httptest.Server
	text   atomic.Pointer[string] // empty: 503
}

// StartStatusPage starts one that says that all is well.
func StartStatusPage(tb testing.TB) *StatusPage {
	tb.Helper()
	return (*Namespace)(nil).StartStatusPage(tb)
}

// StartStatusPage is [StartStatusPage] in the namespace.
func (n *Namespace) StartStatusPage(tb testing.TB) *StatusPage {
	tb.Helper()
	listener, err := n.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := new(StatusPage)
	s.Say("operational", nil)
	s.server = &httptest.Server{Listener: listener, Config: &http.Server{
		Handler: s, ErrorLog: log.New(tb.Output(), "", 0), ReadHeaderTimeout: Timeout,
	}}
	s.server.StartTLS()
	tb.Cleanup(s.server.Close)
	s.URL = s.server.URL + "/api/v2/summary.json"
	return s
}

func (s *StatusPage) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	text := *s.text.Load()
	if text == "" {
		http.Error(w, "no status", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte(text)) // the client has gone: nobody to tell
}

// Say has it say so of the component, with an incident that was published then; nil:
// none.
func (s *StatusPage) Say(state string, published *time.Time) {
	incidents := ""
	if published != nil {
		incidents = fmt.Sprintf(`{"name": "ACME fails", "created_at": %q, "shortlink": "https://status.example/1", "components": [{"name": "ACME"}]}`, published.Format(time.RFC3339))
	}
	text := fmt.Sprintf(`{"page": {}, "status": {"indicator": "none"}, "components": [{"name": "ACME", "status": %q}], "incidents": [%s]}`, state, incidents)
	s.text.Store(&text)
}

// Fail has it say nothing any more.
func (s *StatusPage) Fail() { s.text.Store(new(string)) }

// Roots writes a file, in PEM, of the roots that the CA with that one and its status
// page need.
func (s *StatusPage) Roots(tb testing.TB, rootFile string) (bundle string) {
	tb.Helper()
	root, err := os.ReadFile(rootFile)
	if err != nil {
		tb.Fatal(err)
	}
	bundle = filepath.Join(tb.TempDir(), "roots.pem")
	write(tb, bundle, append(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})...))
	return bundle
}
