package acmehttp

import (
	"net/http"
	"testing"
	"time"
)

// FuzzRetryAfter reads whatever a server may have for a Retry-After and a Date.
func FuzzRetryAfter(f *testing.F) {
	f.Add("3", "Mon, 23 Nov 2026 12:00:00 GMT")
	f.Add("86400000000000000000000", "")
	f.Add("Mon, 23 Nov 2026 13:00:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT")
	f.Add(" -1 ", "Sun Nov  6 08:49:37 1994")
	f.Fuzz(func(t *testing.T, value, date string) {
		at, _ := http.ParseTime(date) // zero: none
		if d := retryAfter(value, at); d != nil && (*d < 0 || *d > maxRetryAfter) {
			t.Errorf("%q after %q: %s", value, date, *d)
		}
		if _, err := at.MarshalJSON(); err != nil {
			t.Errorf("%q cannot be stored: %v", date, err)
		}
		if at.After(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%q is %s", date, at)
		}
	})
}
