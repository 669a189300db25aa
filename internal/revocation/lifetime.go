package revocation

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Lifetime is for how long an answer with the header says that a cache which many share
// may have it, counted from when it was made; zero: it does not say, or must not be
// kept. "If the cache is shared and the s-maxage response directive is present, use its
// value, or if the max-age response directive is present, use its value, or if the
// Expires response header field is present, use its value minus the value of the Date
// response header field" (RFC 9111 §4.2.1). It is at most 10 years.
func Lifetime(h http.Header) time.Duration {
	said := map[string]string{}
	for _, line := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			name = strings.ToLower(name)
			if _, twice := said[name]; !twice {
				said[name] = strings.Trim(value, `"`)
			}
		}
	}
	for _, never := range []string{"no-store", "no-cache", "private"} {
		if _, ok := said[never]; ok {
			return 0
		}
	}
	for _, name := range []string{"s-maxage", "max-age"} {
		if value, ok := said[name]; ok {
			seconds, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return 0
			}
			return time.Duration(min(seconds, 10*365*24*3600)) * time.Second
		}
	}
	expires, err := http.ParseTime(h.Get("Expires"))
	made, failed := http.ParseTime(h.Get("Date"))
	if err != nil || failed != nil {
		return 0
	}
	return min(max(expires.Sub(made), 0), 10*365*24*time.Hour)
}
