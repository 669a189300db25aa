package revocation

import (
	"net/http"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestLifetime(t *testing.T) {
	const date, later = "Mon, 23 Nov 2026 12:00:00 GMT", "Mon, 23 Nov 2026 18:00:00 GMT"
	for _, tt := range []struct {
		header http.Header
		want   time.Duration
	}{
		{nil, 0},
		{http.Header{"Cache-Control": {"public, Max-Age=7200"}}, 2 * time.Hour},
		{http.Header{"Cache-Control": {"max-age=7200", "s-maxage=\"60\""}}, time.Minute},
		{http.Header{"Cache-Control": {"max-age=60"}, "Date": {date}, "Expires": {later}}, time.Minute},
		{http.Header{"Cache-Control": {"max-age=7200, no-cache"}, "Date": {date}, "Expires": {later}}, 0},
		{http.Header{"Cache-Control": {"max-age=soon"}}, 0},
		{http.Header{"Cache-Control": {"max-age=18446744073709551615"}}, 10 * 365 * 24 * time.Hour},
		{http.Header{"Date": {date}, "Expires": {later}}, 6 * time.Hour},
		{http.Header{"Date": {later}, "Expires": {date}}, 0},
		{http.Header{"Date": {date}, "Expires": {"0"}}, 0},
		{http.Header{"Expires": {later}}, 0},
	} {
		if got := Lifetime(tt.header); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.header, got, tt.want)
		}
	}
}

// TestOrderOfCachedLists holds that an older list is nobody's fault as long as its
// answer allows caches to have it, but for a day at most.
func TestOrderOfCachedLists(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		lifetime, after time.Duration
		flawed          bool
	}{
		{0, time.Hour, false}, {0, time.Hour + time.Second, true},
		{time.Minute, time.Hour, false}, {time.Minute, 2 * time.Hour, true},
		{6 * time.Hour, 6 * time.Hour, false}, {6 * time.Hour, 7 * time.Hour, true},
		{72 * time.Hour, 24 * time.Hour, false}, {72 * time.Hour, 25 * time.Hour, true},
	} {
		latest := &probe.LatestCRL{Issuer: "CA", Number: "2", ThisUpdate: now, NextUpdate: now.Add(96 * time.Hour), SeenAt: now}
		f := &probe.CRL{Issuer: "CA", Number: "1", ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(90 * time.Hour), Lifetime: tt.lifetime}
		if Order(f, latest, now.Add(tt.after)); len(f.Flaws) > 0 != tt.flawed || f.Older == tt.flawed {
			t.Errorf("%s after, with a lifetime of %s: older %v, flaws %v", tt.after, tt.lifetime, f.Older, f.Flaws)
		}
	}
}
