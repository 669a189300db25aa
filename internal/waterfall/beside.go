package waterfall

import (
	"fmt"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// shownBeside is how many things of one kind are shown that a run has read beside the
// API.
const shownBeside = 10

// beside says what the run has read of what a CA publishes beside its API, and what is
// wrong with it.
func beside(r *probe.Result) (list []Fact) {
	each := func(label string, n int, show func(i int) (value string, flaws []probe.Flaw)) {
		for i := range min(n, shownBeside) {
			value, flaws := show(i)
			list = append(list, Fact{Label: label, Value: value, Bad: len(flaws) > 0})
			for _, f := range flaws {
				list = append(list, Fact{Label: "flaw", Value: string(f.Flaw) + ": " + f.Detail, Bad: true})
			}
		}
		if n > shownBeside {
			list = append(list, Fact{Label: label, Value: fmt.Sprintf("and %d more", n-shownBeside)})
		}
	}
	each("revocation list", len(r.CRLs), func(i int) (string, []probe.Flaw) { return crl(&r.CRLs[i]), r.CRLs[i].Flaws })
	each("OCSP", len(r.OCSP), func(i int) (string, []probe.Flaw) { return ocsp(&r.OCSP[i]), r.OCSP[i].Flaws })
	each("issuer", len(r.Issuers), func(i int) (string, []probe.Flaw) { return issuer(&r.Issuers[i]), r.Issuers[i].Flaws })
	each("test site", len(r.Sites), func(i int) (string, []probe.Flaw) { return site(&r.Sites[i]), r.Sites[i].Flaws })
	if s := r.StatusPage; s != nil {
		list = append(list, Fact{Label: "status page", Value: statusPage(s)})
		each("announced", len(s.Announcements), func(i int) (string, []probe.Flaw) { return announcement(&s.Announcements[i]), nil })
	}
	return list
}

// said is what is at the URL in a few words, without those that are empty.
func said(url string, words ...string) string {
	var there []string
	for _, w := range words {
		if w != "" {
			there = append(there, w)
		}
	}
	return url + ": " + strings.Join(there, ", ")
}

// goodFor is from when until when something is good.
func goodFor(from, until time.Time) string {
	s := "of " + minute(from)
	if !until.IsZero() {
		s += " until " + minute(until)
	}
	return s
}

func crl(c *probe.CRL) string {
	if c.ThisUpdate.IsZero() {
		return said(c.URL, "it cannot be read")
	}
	if c.Unchanged {
		return said(c.URL, goodFor(c.ThisUpdate, c.NextUpdate), "still the one that was read before")
	}
	number, sharded, older := "", "", ""
	if c.Number != "" {
		number = "number " + c.Number
	}
	if c.Sharded {
		sharded = "for its own URL"
	}
	if c.Older {
		older = "older than one before"
	}
	return said(c.URL, number, goodFor(c.ThisUpdate, c.NextUpdate), entries(c.Entries), count(int(c.Bytes), "byte"), "by "+c.Issuer, sharded, older)
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func ocsp(o *probe.OCSP) string {
	if o.Status == "" {
		return said(o.URL+" by "+o.Method, "it says nothing of the certificate", count(int(o.Bytes), "byte"))
	}
	status, signer := string(o.Status), "signed by the issuer"
	if !o.RevokedAt.IsZero() {
		status += " since " + minute(o.RevokedAt)
	}
	if o.Delegated {
		signer = "signed by a delegate"
	}
	return said(o.URL+" by "+o.Method, status, goodFor(o.ThisUpdate, o.NextUpdate), signer, count(int(o.Bytes), "byte"))
}

func issuer(i *probe.Issuer) string {
	if i.Subject == "" {
		return said(i.URL, "it cannot be read")
	}
	return said(i.URL, i.Subject, "until "+day(i.NotAfter), count(int(i.Bytes), "byte"))
}

func site(s *probe.Site) string {
	if s.Serial == "" {
		return said(s.URL, "has to be "+string(s.Kind))
	}
	return said(s.URL, "has to be "+string(s.Kind), "until "+minute(s.NotAfter), "by "+s.Issuer, "serial "+s.Serial)
}

// statusPage is how the CA says that it is, with the components that are watched and
// those that are not well.
func statusPage(s *probe.StatusPage) string {
	overall := ""
	if s.Overall != "" {
		overall = "overall " + string(s.Overall)
	}
	words := []string{overall}
	well := 0
	for _, c := range s.Components {
		if c.State == probe.ServiceOperational && !c.Watched || len(words) > shownBeside {
			well++
			continue
		}
		words = append(words, c.Name+" "+string(c.State))
	}
	if well > 0 {
		words = append(words, count(well, "other component"))
	}
	return said(fmt.Sprintf("%s (%s)", s.URL, s.Format), append(words, count(int(s.Bytes), "byte"))...)
}

func announcement(a *probe.Announcement) string {
	ended := "goes on"
	if !a.End.IsZero() {
		ended = "over since " + minute(a.End)
	}
	return said(a.Name, "published "+minute(a.Start), ended, a.URL)
}

// minute is t to the minute, in UTC.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
