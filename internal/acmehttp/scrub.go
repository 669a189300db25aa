package acmehttp

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is taken out of texts that come from elsewhere. What cannot be told from
// a secret goes too: a text is for people, who can do without.
var (
	// A URL's user info and everything from its query or fragment on.
	userInfo = regexp.MustCompile(`://[^\s/"'<>@]*@`)
	queries  = regexp.MustCompile(`([^\s"'<>(])[?#][^\s"'<>?#][^\s"'<>]*`)
	// A JSON object in base64url begins with eyJ: a JWT or its parts.
	jwts = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){0,4}`)
	// RFC 8555 §8.3: what follows is a challenge's token.
	wellKnown = regexp.MustCompile(`(/\.well-known/acme-challenge/)[^\s"'<>,]+`)
	tokens    = regexp.MustCompile(`[A-Za-z0-9_+=-]{20,}`)
)

const removed = "[removed]"

// Scrub returns text in a form that may be kept and shown: on one line, at most
// limit bytes long, without the queries of URLs and without anything that looks
// like a token, a nonce, a key or a JWT.
func Scrub(text string, limit int) string {
	const slack = 4 // what is removed makes room
	cut := len(text) > slack*limit
	text = clean(text, slack*limit)
	if cut {
		// Half a token might not be known for one.
		if i := strings.LastIndexByte(text, ' '); i > 0 {
			text = text[:i]
		}
	}
	text = userInfo.ReplaceAllString(text, "://")
	text = queries.ReplaceAllString(text, "$1")
	text = jwts.ReplaceAllString(text, removed)
	text = wellKnown.ReplaceAllString(text, "${1}"+removed)
	text = scrubTokens(text)
	return clean(text, limit)
}

// scrubTokens removes long runs of the alphabets of base64 and hex, unless they
// are labels of a host name.
func scrubTokens(text string) string {
	var b strings.Builder
	last := 0
	for _, m := range tokens.FindAllStringIndex(text, -1) {
		if !secret(text, m[0], m[1]) {
			continue
		}
		b.WriteString(text[last:m[0]])
		b.WriteString(removed)
		last = m[1]
	}
	if last == 0 {
		return text
	}
	b.WriteString(text[last:])
	return b.String()
}

// secret reports whether text[start:end] looks like a token.
func secret(text string, start, end int) bool {
	run := text[start:end]
	lower := strings.ContainsFunc(run, unicode.IsLower)
	upper := strings.ContainsFunc(run, unicode.IsUpper)
	digit := strings.ContainsFunc(run, unicode.IsDigit)
	if len(run) < 32 {
		return lower && upper && digit
	}
	if upper || strings.ContainsAny(run, "+=") {
		return true
	}
	// Lower case, beside a dot that is followed by more: a label of a name.
	before := start > 1 && text[start-1] == '.' && text[start-2] > ' '
	after := end+1 < len(text) && text[end] == '.' && text[end+1] > ' '
	return !before && !after
}

// clean returns text on one line, valid, and at most limit bytes long.
func clean(text string, limit int) string {
	cut := len(text) > limit
	if !cut && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return text
	}
	if cut {
		end := limit - len("…")
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:max(end, 0)]
	}
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if cut {
		text += "…"
	}
	return text
}
