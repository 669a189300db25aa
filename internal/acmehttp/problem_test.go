package acmehttp

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestProblem(t *testing.T) {
	const (
		problem = "application/problem+json"
		plain   = "application/json; charset=utf-8"
	)
	tests := []struct {
		name, media, body string
		want              *probe.Problem
	}{
		{"ours", problem, `{"type":"urn:ietf:params:acme:error:badNonce","detail":"JWS has an invalid anti-replay nonce","status":400}`,
			&probe.Problem{Type: "badNonce", Detail: "JWS has an invalid anti-replay nonce", Status: 400}},
		{"legacy", problem, `{"type":"urn:acme:error:serverInternal"}`, &probe.Problem{Type: "serverInternal"}},
		{"of another kind", problem, `{"type":"https://x.example/p?q=1","title":"no"}`, &probe.Problem{Type: "https://x.example/p", Detail: "no"}},
		{"without a type", problem, `{}`, &probe.Problem{Type: "about:blank"}},
		{"prefix alone", problem, `{"type":"urn:acme:error:"}`, &probe.Problem{Type: "urn:acme:error:"}},
		{"mislabeled", plain, `{"type":"urn:ietf:params:acme:error:malformed"}`, &probe.Problem{Type: "malformed", Mislabeled: true}},
		{"JSON of something else", plain, `{"type":"dns","detail":"x"}`, nil},
		{"HTML", "text/html", `{"type":"urn:ietf:params:acme:error:malformed"}`, nil},
		{"no media type", "", `{"type":"urn:ietf:params:acme:error:malformed"}`, nil},
		{"not JSON", problem, `<html>`, nil},
		{"cut off", problem, `{"type":"urn:acme:error:malformed"`, nil},
		{"an array", problem, `[{}]`, nil},
		{"null", problem, ` null`, nil},
		{"a string", problem, `"x"`, nil},
		{"empty", problem, ``, nil},
		{"fields of other types", problem, `{"type":"urn:acme:error:malformed","status":"400","detail":["x"]}`, &probe.Problem{Type: "malformed"}},
		{"impossible status", problem, `{"type":"urn:acme:error:malformed","status":-5}`, &probe.Problem{Type: "malformed"}},
		{"compound", problem, `{"type":"urn:ietf:params:acme:error:compound","subproblems":[
			{"type":"urn:ietf:params:acme:error:caa","detail":"no","identifier":{"type":"dns","value":"a.example"}},{}]}`,
			&probe.Problem{Type: "compound", Subproblems: []probe.Subproblem{{Type: "caa", Detail: "no", Identifier: "a.example"}, {Type: "about:blank"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, problemOf(400, tt.media, []byte(tt.body))); d != "" {
				t.Errorf("problem (-want +got):\n%s", d)
			}
		})
	}
}

func TestProblemOfASuccess(t *testing.T) {
	body := []byte(`{"type":"urn:ietf:params:acme:error:malformed"}`)
	if p := problemOf(200, "application/json", body); p != nil {
		t.Errorf("a success has the problem %+v", p)
	}
	if p := problemOf(200, "application/problem+json", body); p == nil {
		t.Error("a problem document is not one because of its status")
	}
}

func TestProblemIsBounded(t *testing.T) {
	subs := make([]map[string]string, 2*maxSubproblems)
	for i := range subs {
		subs[i] = map[string]string{"type": strings.Repeat("t ", 200), "detail": strings.Repeat("d ", 1000)}
	}
	document, err := json.Marshal(map[string]any{"type": strings.Repeat("€ ", 5000), "detail": strings.Repeat("€ ", 5000), "subproblems": subs})
	if err != nil {
		t.Fatal(err)
	}
	p := ParseProblem(document)
	if len(p.Type) > maxType || len(p.Detail) > maxDetail || len(p.Subproblems) != maxSubproblems ||
		len(p.Subproblems[0].Type) > maxType || len(p.Subproblems[0].Detail) > maxDetail {
		t.Errorf("type %d, detail %d, %d subproblems of type %d, detail %d", len(p.Type), len(p.Detail), len(p.Subproblems),
			len(p.Subproblems[0].Type), len(p.Subproblems[0].Detail))
	}
	if !utf8.ValidString(p.Detail) || !strings.HasSuffix(p.Detail, "…") {
		t.Errorf("cut badly: %q", p.Detail[len(p.Detail)-10:])
	}
}

func TestScrub(t *testing.T) {
	const (
		jwt   = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
		token = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
		print = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
	)
	for in, want := range map[string]string{
		"no more than text": "no more than text",
		"What? No. 5 # 6":   "What? No. 5 # 6",
		"https://x.example/a/b?jwt=" + jwt + " unpause":                                            "https://x.example/a/b unpause",
		`"https://u:p@x.example/a?b=c#d"`:                                                          `"https://x.example/a"`,
		"portal.example/sfe/v1/unpause?jwt=abc.":                                                   "portal.example/sfe/v1/unpause",
		"https://x.example/unpause/" + jwt:                                                         "https://x.example/unpause/[removed]",
		"token " + token + ".":                                                                     "token [removed].",
		token + "." + print + " != x":                                                              "[removed].[removed] != x",
		"nonce oFvnlFP1wIhRlYS2jTaXbA":                                                             "nonce [removed]",
		"http://a.example/.well-known/acme-challenge/abc":                                          "http://a.example/.well-known/acme-challenge/[removed]",
		"key deadbeefdeadbeefdeadbeefdeadbeefdeadbeef":                                             "key [removed]",
		"key deadbeefdeadbeefdeadbeefdeadbeefdeadbeef. x":                                          "key [removed]. x",
		"NXDOMAIN looking up TXT for _acme-challenge.abcdefghijklmnopqrstuvwxyz234567.fra.example": "NXDOMAIN looking up TXT for _acme-challenge.abcdefghijklmnopqrstuvwxyz234567.fra.example",
		"urn:ietf:params:acme:error:userActionRequired":                                            "urn:ietf:params:acme:error:userActionRequired",
		"two\nlines\x00\x1b[31m\xff":                                                               "two lines  [31m ",
		"dial tcp 127.0.0.1:443: connect: connection refused":                                      "dial tcp 127.0.0.1:443: connect: connection refused",
	} {
		if got := Scrub(in, 1000); got != want {
			t.Errorf("Scrub(%q) = %q, want %q", in, got, want)
		}
	}
	// A token that the bound on the input cuts in two.
	if got := Scrub(strings.Repeat(token+" ", 100), 30); strings.Contains(got, token[:12]) {
		t.Errorf("left half a token: %q", got)
	}
	long := strings.Repeat(strings.Repeat("a", 18)+" ", 3)
	if got := Scrub(long+token, 15); strings.Contains(got, token[:3]) || len(got) > 15 {
		t.Errorf("left the beginning of a token: %q", got)
	}
}

// The anchor of a rateLimited problem names the limit; nothing else of a URL gets
// into it.
func TestAnchor(t *testing.T) {
	const see = "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-11-02 10:00:00 UTC: see "
	for detail, want := range map[string]string{
		see + "https://letsencrypt.org/docs/rate-limits/#new-orders-per-account":                        "new-orders-per-account",
		see + "https://letsencrypt.org/docs/rate-limits/#new-certificates-per-exact-set-of-identifiers": "new-certificates-per-exact-set-of-identifiers",
		see + "https://letsencrypt.org/docs/rate-limits/#new-registrations-per-ipv6-range.":             "new-registrations-per-ipv6-range",
		see + "[http://ca.example/limits#orders](http://ca.example/other#others)":                       "orders",
		see + "https://ca.example/docs and https://ca.example/limits#orders, please":                    "orders",
		see + "https://letsencrypt.org/docs/rate-limits/":                                               "",
		see + "https://ca.example/limits?a=b#orders":                                                    "",
		see + "https://ca.example/limits#orders?jwt=abc":                                                "",
		see + "https://ca.example/limits#jwt=abc":                                                       "",
		see + "https://ca.example/limits#eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x":                        "",
		see + "https://ca.example/limits#abc.def":                                                       "",
		see + "https://ca.example/limits#deadbeefdeadbeefdeadbeefdeadbeefdeadbeef":                      "",
		see + "https://ca.example/limits#6ba7b810-9dad-11d1-80b4-00c04fd430c8":                          "",
		see + "https://ca.example/limits#" + strings.Repeat("orders-", 20) + "end":                      "",
		see + "https://ca.example/limits#-":                                                             "",
		"ticket #orders":                                                                                "",
		strings.Repeat("x", 1<<16) + " https://ca.example/limits#orders":                                "",
	} {
		for typ, want := range map[string]string{"rateLimited": want, "malformed": ""} {
			document, err := json.Marshal(map[string]string{"type": "urn:ietf:params:acme:error:" + typ, "detail": detail})
			if err != nil {
				t.Fatal(err)
			}
			if p := ParseProblem(document); p.Anchor != want {
				t.Errorf("%s, %.200q: anchor %q, want %q", typ, detail, p.Anchor, want)
			}
		}
	}
}

func FuzzAnchor(f *testing.F) {
	plain := regexp.MustCompile(`^[a-z0-9-]{0,100}$`)
	f.Fuzz(func(t *testing.T, detail string) {
		anchor := anchorOf(detail)
		if !plain.MatchString(anchor) {
			t.Errorf("the anchor of %q is %q", detail, anchor)
		}
		if at := strings.LastIndex(detail, "#"+anchor); anchor != "" && (at < 0 || !strings.Contains(detail[:at], "://")) {
			t.Errorf("%q has no URL with the anchor %q", detail, anchor)
		}
		for word := range strings.SplitSeq(anchor, "-") {
			if len(word) > 22 {
				t.Errorf("the anchor of %q has the word %q, which may be a token", detail, word)
			}
		}
	})
}

func FuzzProblem(f *testing.F) {
	for _, seed := range []string{
		`{"type":"urn:ietf:params:acme:error:rateLimited","detail":"unpause at https://x.example/?jwt=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x","status":429}`,
		`{"type":"urn:acme:error:serverInternal","subproblems":[{"identifier":{"value":"a"}}]}`,
		`{"status":"x","detail":5}`, `null`, `[]`, `{"detail":"\ud800 \u2028 eyJ"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p := ParseProblem(body)
		if p == nil {
			return
		}
		for text, limit := range map[string]int{p.Type: maxType, p.Detail: maxDetail} {
			if len(text) > limit || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("%q is not bounded, valid and on one line", text)
			}
			if jwts.MatchString(text) {
				t.Errorf("%q has a token", text)
			}
		}
		if p.Type == "" || len(p.Subproblems) > maxSubproblems {
			t.Errorf("problem %+v", p)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	date := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"0": 0, "3": 3 * time.Second, " 60 ": time.Minute, "86400": 24 * time.Hour,
		"99999999999":                    maxRetryAfter,
		"99999999999999999999999999":     maxRetryAfter,
		"Mon, 02 Nov 2026 10:00:30 GMT":  30 * time.Second,
		"Mon, 02 Nov 2026 09:00:00 GMT":  0,
		"Mon, 02 Nov 9999 09:00:00 GMT":  maxRetryAfter,
		"Monday, 02-Nov-26 10:01:00 GMT": time.Minute,
	} {
		if got := retryAfter(value, date); got == nil || *got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
	for _, value := range []string{"", " ", "-1", "1.5", "1h", "soon", "0x10", "+5"} {
		if got := retryAfter(value, date); got != nil {
			t.Errorf("%q: %v, want it unreadable", value, *got)
		}
	}
	if got := retryAfter(time.Now().Add(time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), time.Time{}); got == nil ||
		*got < 59*time.Minute || *got > time.Hour {
		t.Errorf("without a Date: %v", got)
	}
}
