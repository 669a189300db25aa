package revocation

import (
	"net/http"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxValidator is how long a validator may be that is kept.
const maxValidator = 256

// Validators returns what the server calls the version that it answered with: its
// entity tag and the time of its last change (RFC 9110 §8.8), as the header has them.
// Either is empty if it is not there, or cannot be read. The time is empty too if
// another version could have the same one: it is to the second, and tells versions apart
// only where the answer's Date "is at least one second after" it (§8.8.2.2).
func Validators(h http.Header) (etag, modified string) {
	if e := h.Get("ETag"); len(e) <= maxValidator && isEntityTag(e) {
		etag = e
	}
	changed, err := http.ParseTime(h.Get("Last-Modified"))
	made, failed := http.ParseTime(h.Get("Date"))
	if err == nil && failed == nil && made.Sub(changed) >= time.Second {
		modified = h.Get("Last-Modified")
	}
	return etag, modified
}

// isEntityTag reports whether s is an entity tag (RFC 9110 §8.8.3) of ASCII alone.
func isEntityTag(s string) bool {
	s = strings.TrimPrefix(s, "W/")
	return len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' &&
		!strings.ContainsFunc(s[1:len(s)-1], func(c rune) bool { return c < 0x21 || c > 0x7e || c == '"' })
}

// Conditions returns the header fields with which a server answers 304 while its list is
// the one that was read, and nil where it cannot be asked that. "When generating a
// conditional request for validation, a client MUST send the relevant entity tags", and
// it SHOULD send the time of the last change too (RFC 9111 §4.3.1).
func Conditions(read *probe.ReadList) http.Header {
	if read.Untrue || read.ETag == "" && read.LastModified == "" {
		return nil
	}
	h := http.Header{}
	if read.ETag != "" {
		h.Set("If-None-Match", read.ETag)
	}
	if read.LastModified != "" {
		h.Set("If-Modified-Since", read.LastModified)
	}
	return h
}
