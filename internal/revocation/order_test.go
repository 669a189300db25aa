package revocation

import (
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestOrder has a URL answer with one list after another.
func TestOrder(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	// list is one that was made then and is good for a day.
	list := func(number string, minutes int, flaws ...probe.FlawKind) probe.CRL {
		f := probe.CRL{Issuer: "CN=ca", Number: number, ThisUpdate: at(minutes), NextUpdate: at(minutes + 24*60)}
		for _, w := range flaws {
			f.Flaws = append(f.Flaws, probe.Flaw{Flaw: w})
		}
		return f
	}
	other := list("1", 100)
	other.Issuer = "CN=another"
	endless := list("5", 0)
	endless.NextUpdate = time.Time{}
	type answer struct {
		minute int
		crl    probe.CRL
		want   string // empty, "older", or a part of the flaw's detail
	}
	for name, answers := range map[string][]answer{
		"the same":                        {{0, list("5", 0), ""}, {60 * 20, list("5", 0), ""}},
		"one after the other":             {{0, list("5", 0), ""}, {60, list("6", 55), ""}, {120, list("8", 110), ""}},
		"two of one second":               {{0, list("5", 0), ""}, {1, list("6", 0), ""}, {2, list("5", 0), "older"}},
		"long numbers":                    {{0, list(strings.Repeat("9", 40), 0), ""}, {60, list("1"+strings.Repeat("0", 40), 55), ""}},
		"an older one for a while":        {{0, list("6", 0), ""}, {5, list("5", -60), "older"}, {10, list("6", 0), ""}, {60, list("5", -60), "older"}},
		"an older one for too long":       {{0, list("6", 0), ""}, {61, list("5", -60), "it is older than the list of 2026-11-01T12:00:00Z, which was here more than 1h0m0s ago, at 2026-11-01T12:00:00Z"}},
		"seen late":                       {{300, list("6", 0), ""}, {305, list("5", -60), "older"}},
		"the number falls":                {{0, list("6", 0), ""}, {5, list("5", 4), "its number is lower than 6, and its thisUpdate is after that list's, 2026-11-01T12:00:00Z"}, {65, list("5", 4), "its number is lower"}},
		"the number falls and rises":      {{0, list("6", 0), ""}, {5, list("5", 4), "its number is lower"}, {10, list("7", 9), ""}, {70, list("8", 69), ""}},
		"thisUpdate goes back":            {{0, list("6", 0), ""}, {5, list("7", -1), "its number is higher than 6, and its thisUpdate is before that list's"}},
		"the same number twice":           {{0, list("6", 0), ""}, {5, list("6", 4), "there was another list with its number, of 2026-11-01T12:00:00Z"}},
		"the same number, before":         {{0, list("6", 0), ""}, {5, list("6", -4), "there was another list with its number"}},
		"without numbers":                 {{0, list("", 0, probe.FlawCRLNumber), ""}, {5, list("", 4, probe.FlawCRLNumber), ""}, {10, list("", 0, probe.FlawCRLNumber), "older"}},
		"without a number for once":       {{0, list("6", 0), ""}, {5, list("", 4, probe.FlawCRLNumber), ""}, {10, list("7", 9), ""}},
		"another issuer":                  {{0, list("6", 0), ""}, {5, other, ""}, {6, other, ""}},
		"not signed by who must":          {{0, list("6", 0), ""}, {5, list("9", 400, probe.FlawCRLSignature), ""}, {10, list("7", 9), ""}},
		"of another URL":                  {{0, list("6", 0), ""}, {5, list("9", 4, probe.FlawCRLIDP), ""}, {10, list("7", 9), ""}},
		"of the future":                   {{0, list("6", 0), ""}, {5, list("9", 400, probe.FlawCRLStale), ""}, {10, list("7", 9), ""}},
		"of another content type":         {{0, list("6", 0), ""}, {65, list("5", -5, probe.FlawCRLContentType), "it is older"}},
		"until the latest has expired":    {{0, list("6", 0), ""}, {24*60 - 1, list("1", 24*60-2), "its number is lower"}, {24 * 60, list("1", 24*60-2), ""}, {24*60 + 5, list("2", 24*60+4), ""}},
		"without nextUpdate, in six days": {{0, endless, ""}, {6 * 24 * 60, list("4", 6*24*60-1), "its number is lower than 5"}, {7 * 24 * 60, list("4", 7*24*60-1), ""}},
		"unreadable":                      {{0, list("6", 0), ""}, {5, probe.CRL{Flaws: []probe.Flaw{{Flaw: probe.FlawCRLUnreadable}}}, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var latest *probe.LatestCRL
			for _, a := range answers {
				before := len(a.crl.Flaws)
				latest = Order(&a.crl, latest, at(a.minute))
				got := ""
				if a.crl.Older {
					got = "older"
				}
				for _, f := range a.crl.Flaws[before:] {
					if f.Flaw != probe.FlawCRLRollback {
						t.Errorf("minute %d: a flaw %+v", a.minute, f)
					}
					got += f.Detail
				}
				if got != a.want && (a.want == "" || a.want == "older" || !strings.Contains(got, a.want)) {
					t.Errorf("minute %d: %q, want %q", a.minute, got, a.want)
				}
			}
		})
	}
}
