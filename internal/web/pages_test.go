package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func request(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

// hostile is a result whose CA tries to get into the page.
const hostile = `</p><script>alert(1)</script>"'><img src=x onerror=alert(2)>`

// busy are pairs in every state, as of now.
func busy(now time.Time) []probe.Status {
	corp, le := probe.Pair{Target: "corp", Module: "nonce"}, probe.Pair{Target: "letsencrypt", Module: "validate_http"}
	followUp := result(corp, "r5", now.Add(-10*time.Second), probe.OutcomeFailure)
	followUp.Parent, followUp.FollowUp, followUp.Trigger = "r4", probe.FollowUpDeactivateAuthz, probe.TriggerFollowUp
	bad := result(le, "s1", now.Add(-3*time.Hour), probe.OutcomeFailure)
	bad.Calls[0].Problem = &probe.Problem{Type: "rejectedIdentifier", Detail: hostile}
	bad.Verdict.Summary = "The CA said: " + hostile
	return []probe.Status{
		{
			Pair: corp, Prober: probe.ProberNonce, Environment: "staging", Interval: 30 * time.Second,
			NextDue: now.Add(18 * time.Second), Recent: []*probe.Result{
				followUp,
				result(corp, "r4", now.Add(-12*time.Second), probe.OutcomeSuccess),
				result(corp, "r3", now.Add(-150*time.Second), probe.OutcomeFailure),
				result(corp, "r2", now.Add(-49*time.Hour), probe.OutcomeSkipped),
			},
		},
		{Pair: probe.Pair{Target: "corp", Module: "order"}, Prober: probe.ProberOrder, Environment: "staging"},
		{
			Pair: le, Prober: probe.ProberValidate, Environment: "production", Interval: 5 * time.Minute,
			Running: now.Add(-4 * time.Second), NextDue: now.Add(-time.Second), Recent: []*probe.Result{bad},
		},
	}
}

// bare is a page without what is in its style and its script.
func bare(page string) string {
	for _, name := range []string{"style", "script"} {
		head, rest, _ := strings.Cut(page, "<"+name+">")
		_, tail, _ := strings.Cut(rest, "</"+name+">")
		page = head + "<" + name + "/>" + tail
	}
	return page
}

func TestPagesGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(options(&fakeRunner{statuses: busy(time.Now())}))
		for path, name := range map[string]string{"/": "index.html", "/runs/r4": "run.html", "/runs/r5": "followup.html", "/runs/s1": "hostile.html"} {
			w := get(t, h, path)
			if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%s: %d, Content-Type %q", path, w.Code, w.Header().Get("Content-Type"))
			}
			golden(t, name, bare(w.Body.String()))
		}
	})
}

func TestIndexWithNothingConfigured(t *testing.T) {
	if w := get(t, New(options(&fakeRunner{})), "/"); w.Code != 200 || !strings.Contains(w.Body.String(), "Nothing is configured.") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// forbidden is what would be more than text on a page; what is quoted within an
// attribute is text.
var forbidden = regexp.MustCompile(`(?i)<script>|<img|\sstyle=|<(?:[^>"]|"[^"]*")*\son\w+=|javascript:|url\(|<iframe`)

// TestPagesAreInert holds that what a CA says stays text, and that the policy
// of each page allows its own style and script and nothing else.
func TestPagesAreInert(t *testing.T) {
	h := New(hostileOptions(time.Now()))
	for _, path := range append(hostilePages, "/", "/runs/r4", "/runs/s1", historyURL(probe.Pair{Target: "letsencrypt", Module: "validate_http"})) {
		w := get(t, h, path)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
			continue
		}
		body := w.Body.String()
		if found := forbidden.FindString(bare(body)); found != "" {
			t.Errorf("%s: %q", path, found)
		}
		if n, m := strings.Count(body, "<style>"), strings.Count(body, "<script>"); n != 1 || m != 1 {
			t.Errorf("%s: %d style elements, %d scripts", path, n, m)
		}
		hash := func(name string) string {
			_, rest, _ := strings.Cut(body, "<"+name+">")
			content, _, _ := strings.Cut(rest, "</"+name+">")
			sum := sha256.Sum256([]byte(content))
			return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		}
		want := "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src " + hash("style") + "; script-src " + hash("script")
		if got := w.Header().Get("Content-Security-Policy"); got != want {
			t.Errorf("%s: policy %q, want %q", path, got, want)
		}
		if !strings.Contains(body, "<script>"+scriptText+"</script>") {
			t.Errorf("%s: another script", path)
		}
	}
	if body := get(t, h, "/").Body.String(); !strings.Contains(body, "&lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt;") {
		t.Error("the index does not show what the CA said")
	}
}

func TestRunAsJSON(t *testing.T) {
	statuses := busy(time.Now().Truncate(time.Second).UTC())
	h := New(options(&fakeRunner{statuses: statuses}))
	want, err := json.Marshal(statuses[2].Recent[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/runs/s1.json", "/runs/s1?format=json"} {
		w := get(t, h, path)
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d, Content-Type %q", path, w.Code, w.Header().Get("Content-Type"))
		}
		var got probe.Result
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(&got)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(again)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 119 * time.Second: "119 s", 2 * time.Minute: "2 min", 119 * time.Minute: "119 min",
		2 * time.Hour: "2 h", 47 * time.Hour: "47 h", 48 * time.Hour: "2 d",
	} {
		if got := brief(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
