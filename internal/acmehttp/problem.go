package acmehttp

import (
	"encoding/json"
	"errors"
	"mime"
	"regexp"
	"strings"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What is kept of a problem document.
const (
	maxType        = 200  // bytes
	maxDetail      = 1000 // bytes
	maxIdentifier  = 255  // bytes
	maxSubproblems = 100
	maxAnchor      = 100 // bytes
)

// anchored is a URL without a query whose fragment consists of words, as the anchors
// of documents do and tokens do not.
var anchored = regexp.MustCompile(
	`https?://[^\s"'<>()?#]+#([a-z]{1,20}[0-9]{0,2}(?:-[a-z]{1,20}[0-9]{0,2})*)[.,;:]?(?:[\s"'<>()\]]|$)`)

// problemOf returns the problem document of an answer; nil: it has none. Some
// CAs call theirs application/json; these count if the status is an error and
// they have a type of ACME's.
func problemOf(status int, contentType string, body []byte) *probe.Problem {
	if contentType == "" || len(body) == 0 || status < 400 && !strings.Contains(contentType, "problem") {
		return nil // what every good answer comes to, and so is not decoded twice
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && media == "" {
		return nil
	}
	switch media {
	case "application/problem+json":
		return ParseProblem(body)
	case "application/json":
		p, urn := parseProblem(body)
		if !urn {
			return nil
		}
		p.Mislabeled = true
		return p
	}
	return nil
}

// ParseProblem reads a problem document, as an answer or as the error member of
// an order, an authorization or a challenge, in the form that may be kept and
// shown: bounded, and scrubbed of everything that looks like a secret. It
// returns nil if document is not a JSON object.
func ParseProblem(document []byte) *probe.Problem {
	p, _ := parseProblem(document)
	return p
}

// parseProblem also reports whether the type is one of ACME's.
func parseProblem(document []byte) (p *probe.Problem, urn bool) {
	type wire struct {
		Type       string `json:"type"`
		Title      string `json:"title"`
		Detail     string `json:"detail"`
		Identifier struct {
			Value string `json:"value"`
		} `json:"identifier"`
	}
	var w struct {
		wire
		Status      int    `json:"status"`
		Subproblems []wire `json:"subproblems"`
	}
	if err := json.Unmarshal(document, &w); err != nil {
		// A member of another type is left out; the rest has been read.
		mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err)
		if !ok || mismatch.Field == "" {
			return nil, false
		}
	} else if !isObject(document) {
		return nil, false
	}
	p = &probe.Problem{}
	p.Type, urn = shortType(w.Type)
	p.Detail = Scrub(w.Detail, maxDetail)
	if p.Detail == "" {
		p.Detail = Scrub(w.Title, maxDetail)
	}
	if p.Type == "rateLimited" {
		p.Anchor = anchorOf(w.Detail)
	}
	if w.Status >= 100 && w.Status <= 599 {
		p.Status = w.Status
	}
	for _, sub := range w.Subproblems[:min(len(w.Subproblems), maxSubproblems)] {
		s := probe.Subproblem{Detail: Scrub(sub.Detail, maxDetail), Identifier: Scrub(sub.Identifier.Value, maxIdentifier)}
		s.Type, _ = shortType(sub.Type)
		p.Subproblems = append(p.Subproblems, s)
	}
	return p, urn
}

// anchorOf returns the anchor of the first document that detail, as it was sent,
// refers to by one; empty: there is none. Scrub removes it with all other fragments.
func anchorOf(detail string) string {
	m := anchored.FindStringSubmatch(detail[:min(len(detail), 4*maxDetail)])
	if m == nil || len(m[1]) > maxAnchor {
		return ""
	}
	return m[1]
}

// isObject tells an object from null, which json.Unmarshal takes for one.
func isObject(document []byte) bool {
	return strings.HasPrefix(strings.TrimLeft(string(document[:min(len(document), 64)]), " \t\r\n"), "{")
}

// shortType returns a problem's type without the prefix of RFC 8555 §6.7, or of
// the drafts before it, and whether it had one. No type is "about:blank" (RFC
// 7807 §4.2).
func shortType(t string) (string, bool) {
	for _, prefix := range []string{"urn:ietf:params:acme:error:", "urn:acme:error:"} {
		if len(t) > len(prefix) && strings.EqualFold(t[:len(prefix)], prefix) {
			return Scrub(t[len(prefix):], maxType), true
		}
	}
	if t == "" {
		return "about:blank", false
	}
	return Scrub(t, maxType), false
}
