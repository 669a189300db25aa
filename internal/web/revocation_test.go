package web

import (
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestPairLastRevocation holds that a pair's page says what has come of its last
// revocation, and other pairs' pages nothing.
func TestPairLastRevocation(t *testing.T) {
	o := options(&fakeRunner{statuses: busy(time.Now())})
	pair := o.Runner.Status()[0].Pair
	page := historyURL(pair)
	if body := get(t, New(o), page).Body.String(); strings.Contains(body, "last revocation") {
		t.Error("a revocation, and nobody knows of any")
	}
	at := time.Now().Add(-26 * time.Hour)
	last := &probe.LastRevocation{Serial: "<2a>", Reason: probe.ReasonSuperseded, At: at}
	o.LastRevocation = func(p probe.Pair) *probe.LastRevocation {
		if p != pair {
			return nil
		}
		return last
	}
	shows := func(watched ...probe.WatchedRevocation) string {
		last.Watched = watched
		_, said, _ := strings.Cut(get(t, New(o), page).Body.String(), "The last revocation was at ")
		_, said, _ = strings.Cut(said, "</time>: ")
		said, _, _ = strings.Cut(said, "</p>")
		return said
	}
	const serial = "serial &lt;2a&gt;, reason superseded."
	for _, tt := range []struct {
		watched []probe.WatchedRevocation
		want    string
	}{
		{nil, serial},
		{[]probe.WatchedRevocation{{Via: probe.ViaCRL}, {Via: probe.ViaOCSP, Shown: at.Add(90 * time.Second)}},
			serial + " The revocation list does not show it yet, after 1 d 2 h. OCSP showed it after 1 min 30 s."},
		{[]probe.WatchedRevocation{{Via: probe.ViaCRL, GivenUp: "revocation_missing"}},
			serial + " The revocation list did not show it, and is not watched any more (revocation_missing)."},
		{[]probe.WatchedRevocation{{Via: probe.ViaOCSP}}, serial + " OCSP could not be asked whether it shows it, and is not watched any more."},
	} {
		if strings.Contains(tt.want, "could not") {
			last.At = time.Now().Add(-probe.WatchLife)
		}
		if got := shows(tt.watched...); got != tt.want {
			t.Errorf("said %q, want %q", got, tt.want)
		}
	}
	other := o.Runner.Status()[1].Pair
	if body := get(t, New(o), historyURL(other)).Body.String(); strings.Contains(body, "last revocation") {
		t.Errorf("%s has another pair's", other)
	}
}
