package acmehttp

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestBoundOnCalls(t *testing.T) {
	a := newAuthority(t)
	s := a.session(t, "https://ca.example")
	for range maxCalls {
		if _, err := do(t.Context(), s, "GET", "http://ca.example/"); err == nil {
			t.Fatal("http is not refused")
		}
	}
	_, err := do(t.Context(), s, "GET", "http://ca.example/")
	if err == nil || !strings.Contains(err.Error(), "too many calls") || len(s.Calls()) != maxCalls {
		t.Errorf("%d calls, and error %v", len(s.Calls()), err)
	}
}

func TestUnsendableURLs(t *testing.T) {
	a := newAuthority(t)
	for url, cause := range map[string]probe.Cause{
		"https://ca.example/" + strings.Repeat("x", maxURL): probe.CauseTooLarge,
		"https:///x":               probe.CauseOther,
		"gopher://ca.example/1":    probe.CauseScheme,
		"/relative":                probe.CauseScheme,
		"file:///etc/hostname":     probe.CauseScheme,
		"https:opaque.example/dir": probe.CauseOther,
	} {
		s := a.session(t, "https://ca.example")
		_, err := do(t.Context(), s, "GET", url)
		call := wantError(t, s, err, probe.PhaseRequest, cause)
		if len(call.URL) > maxRecordedURL {
			t.Errorf("recorded %d bytes of URL", len(call.URL))
		}
	}
	for _, url := range []string{"", "https://", ":", "dir"} {
		if _, err := NewTransport(Options{DirectoryURL: url}); err == nil {
			t.Errorf("NewTransport accepts the directory %q", url)
		}
	}
}

// TestOversizedDirectory has a CA that says as much as it can.
func TestOversizedDirectory(t *testing.T) {
	a := newAuthority(t)
	srv := a.serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/dir" {
			var b strings.Builder
			for i := range 10_000 {
				fmt.Fprintf(&b, `,"/authz/%d"`, i)
			}
			fmt.Fprintf(w, `{"finalize":"/dir","certificate":"/%s","authorizations":[%s]}`, strings.Repeat("y", 3000), b.String()[1:])
			return
		}
		fmt.Fprint(w, `{"newNonce":"/same","newAccount":"/same","newOrder":"/order","keyChange":"/dir","renewalInfo":"/same"`)
		for i := range 10_000 {
			fmt.Fprintf(w, `,"x%d":"/x/%d"`, i, i)
		}
		fmt.Fprint(w, `}`)
	})
	s := a.session(t, srv.URL)
	for _, step := range []struct {
		method, path string
		want         probe.CallName
	}{
		{"GET", "/dir", probe.CallDirectory}, {"POST", "/same", probe.CallNewNonce}, {"POST", "/order", probe.CallNewOrder},
		{"POST", "/x/1", probe.CallUnknown}, {"POST", "/dir", probe.CallDirectory}, {"POST", "/same/x", probe.CallRenewalInfo},
		{"POST", "/authz/1", probe.CallAuthz}, {"POST", "/authz/9999", probe.CallUnknown},
		{"POST", "/" + strings.Repeat("y", 3000), probe.CallUnknown},
	} {
		if _, err := do(t.Context(), s, step.method, srv.URL+step.path); err != nil {
			t.Fatal(err)
		}
		calls := s.Calls()
		if got := calls[len(calls)-1].Name; got != step.want {
			t.Errorf("%s %.20s is named %q, want %q", step.method, step.path, got, step.want)
		}
	}
	if n := len(s.names.names); n > maxNames {
		t.Errorf("%d URLs learnt, at most %d wanted", n, maxNames)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := do(ctx, s, "POST", srv.URL+"/order"); err == nil {
		t.Error("a canceled request succeeds")
	}
}
