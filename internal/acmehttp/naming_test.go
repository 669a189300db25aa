package acmehttp

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// scripted answers each path with what the script says.
func scripted(script map[string]func(w http.ResponseWriter, base string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, ok := script[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		answer(w, "https://"+r.Host)
	}
}

func object(format string, header ...string) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, base string) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], strings.ReplaceAll(header[i+1], "BASE", base))
		}
		fmt.Fprint(w, strings.ReplaceAll(format, "BASE", base))
	}
}

// issuance is a CA whose paths say nothing about what they are for.
var issuance = scripted(map[string]func(http.ResponseWriter, string){
	"/dir": object(`{"newNonce":"BASE/a","newAccount":"BASE/b","newOrder":"BASE/c","revokeCert":"/d",
		"keyChange":"BASE/e","renewalInfo":"BASE/f","meta":{"termsOfService":"BASE/tos"}}`),
	"/a":       object(``, "Replay-Nonce", "nonce"),
	"/b":       object(`{"status":"valid"}`, "Location", "BASE/acct/1"),
	"/acct/1":  object(`{"status":"valid"}`),
	"/c":       object(`{"status":"pending","authorizations":["BASE/g","h"],"finalize":"BASE/i#x"}`, "Location", "/j?id=1"),
	"/g":       object(`{"challenges":[{"type":"http-01","url":"BASE/k"},{"type":"dns-01","url":"BASE/l"}]}`),
	"/h":       object(`{"challenges":[{"type":"http-01","url":"BASE/m"}]}`),
	"/k":       object(`{"status":"pending"}`),
	"/l":       object(`{"status":"pending"}`),
	"/m":       object(`{"status":"pending"}`),
	"/i":       object(`{"status":"processing"}`, "Location", "BASE/j?id=1"),
	"/j":       object(`{"status":"valid","certificate":"BASE/n"}`),
	"/n":       object(`-----BEGIN CERTIFICATE-----`, "Link", `<BASE/n/1>;rel="alternate", </dir>;rel="index"`, "Link", `<n/2>; title="a,b"; rel="x alternate"`),
	"/n/1":     object(`-----BEGIN CERTIFICATE-----`),
	"/n/2":     object(`-----BEGIN CERTIFICATE-----`),
	"/d":       object(``),
	"/e":       object(``),
	"/f/a.b":   object(`{}`),
	"/unknown": object(`{}`),
})

func TestNaming(t *testing.T) {
	a := newAuthority(t)
	steps := []struct {
		method, path string
		want         probe.CallName
	}{
		{"POST", "/c", probe.CallUnknown}, // not learnt yet
		{"GET", "/dir", probe.CallDirectory},
		{"HEAD", "/a", probe.CallNewNonce},
		{"GET", "/a", probe.CallNewNonce},
		{"POST", "/b", probe.CallNewAccount},
		{"POST", "/acct/1", probe.CallAccount},
		{"POST", "/c", probe.CallNewOrder},
		{"POST", "/j?id=1", probe.CallOrder},
		{"POST", "/j?id=2", probe.CallUnknown},
		{"POST", "/g", probe.CallAuthz},
		{"POST", "/h", probe.CallAuthz},
		{"POST", "/k", probe.CallChallenge},
		{"POST", "/l", probe.CallChallenge},
		{"POST", "/m", probe.CallChallenge},
		{"POST", "/i", probe.CallFinalize},
		{"POST", "/n", probe.CallCertificate},
		{"POST", "/n/1", probe.CallCertificate},
		{"POST", "/n/2", probe.CallCertificate}, // "n/2" is relative to "/"
		{"POST", "/d", probe.CallRevokeCert},
		{"POST", "/e", probe.CallKeyChange},
		{"GET", "/f/a.b", probe.CallRenewalInfo},
		{"GET", "/f", probe.CallUnknown},
		{"GET", "/dir#fragment", probe.CallDirectory},
		{"POST", "/unknown", probe.CallUnknown},
	}
	for _, proto := range []struct {
		name    string
		options []func(*httptest.Server)
		version string
	}{{"h2", nil, "HTTP/2.0"}, {"h1", []func(*httptest.Server){http1}, "HTTP/1.1"}} {
		t.Run(proto.name, func(t *testing.T) {
			srv := a.serve(t, issuance, proto.options...)
			s := a.session(t, srv.URL)
			for _, step := range steps {
				if _, err := do(t.Context(), s, step.method, srv.URL+step.path); err != nil {
					t.Fatalf("%s %s: %v", step.method, step.path, err)
				}
				calls := s.Calls()
				got := calls[len(calls)-1]
				if got.Name != step.want {
					t.Errorf("%s %s is named %q, want %q", step.method, step.path, got.Name, step.want)
				}
				if got.Connection.HTTPVersion != proto.version {
					t.Errorf("%s %s went over %s, want %s", step.method, step.path, got.Connection.HTTPVersion, proto.version)
				}
				if strings.ContainsAny(got.URL, "?#") {
					t.Errorf("recorded URL %q has a query or a fragment", got.URL)
				}
			}
		})
	}
}

// FuzzRegistry holds that no answer makes the registry panic, grow beyond its
// bound or forget the directory.
func FuzzRegistry(f *testing.F) {
	for _, seed := range []string{
		`{"newNonce":"/a","newAccount":"https://x/b","newOrder":5,"renewalInfo":"/r/"}`,
		`{"authorizations":["/a","%zz","//x"],"finalize":"/f","certificate":"/dir"}`,
		`{"challenges":[{"url":"/c"},{"url":""},null]}`,
		`[`, `null`, ``, `{"newNonce":"`, "{\"finalize\":\"\x00\"}",
	} {
		f.Add([]byte(seed), `<n>;rel="alternate"`)
	}
	base, err := url.Parse("https://ca.example/dir")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, link string) {
		r := newRegistry(base)
		header := http.Header{"Link": {link}, "Location": {link}}
		for _, name := range probe.Calls() {
			r.learn(base, name, http.StatusOK, header, body)
		}
		if got := r.lookup(urlKey(base)); got != probe.CallDirectory {
			t.Errorf("the directory is now %q", got)
		}
		if len(r.names) > maxNames {
			t.Errorf("%d names, at most %d wanted", len(r.names), maxNames)
		}
	})
}
