package waterfall

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestFactsBeside holds what is said of what a run has read beside the API, with each
// flaw after what it is of.
func TestFactsBeside(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	until := from.Add(7 * 24 * time.Hour)
	wrong := func(kind probe.FlawKind) []probe.Flaw { return []probe.Flaw{{Flaw: kind, Detail: "so it is\x1b[31m"}} }
	r := &probe.Result{Facts: probe.Facts{
		CRLs: []probe.CRL{
			{URL: "http://c/1.crl", Issuer: "CN=ca", ThisUpdate: from, NextUpdate: until, Number: "4096", Entries: 1, Bytes: 345, Sharded: true, Older: true},
			{URL: "http://c/1.crl", ThisUpdate: from, NextUpdate: until, Unchanged: true},
			{URL: "http://c/2.crl", Flaws: wrong(probe.FlawCRLUnreadable)},
			{URL: "http://c/3.crl", Issuer: "CN=ca", ThisUpdate: from, Entries: 2, Bytes: 1, Flaws: append(wrong(probe.FlawCRLStale), wrong(probe.FlawCRLNumber)...)},
		},
		OCSP: []probe.OCSP{
			{URL: "http://o", Method: "GET", Status: probe.OCSPGood, ThisUpdate: from, NextUpdate: until, Bytes: 300},
			{URL: "http://o", Method: "POST", Status: probe.OCSPRevoked, RevokedAt: from, ThisUpdate: from, Delegated: true, Bytes: 300},
			{URL: "http://o", Method: "GET", Bytes: 5, Flaws: wrong(probe.FlawOCSPStatus)},
		},
		Issuers: []probe.Issuer{{URL: "http://a", Subject: "CN=ca", NotAfter: until, Bytes: 600}, {URL: "http://b", Flaws: wrong(probe.FlawAIAUnreadable)}},
		Sites: []probe.Site{
			{Kind: probe.SiteExpired, URL: "https://s", Serial: "0a", Issuer: "CN=ca", NotAfter: from}, {Kind: probe.SiteValid, URL: "https://v", Flaws: wrong(probe.FlawSiteValid)},
		},
		StatusPage: &probe.StatusPage{
			URL: "https://st", Format: probe.Statuspage, Overall: probe.ServiceMajor, Bytes: 12,
			Components: []probe.Component{
				{Name: "ACME", State: probe.ServicePartial}, {Name: "CRL", State: probe.ServiceOperational, Watched: true}, {Name: "Mail", State: probe.ServiceOperational},
			},
			Announcements: []probe.Announcement{
				{Name: "ACME fails", Start: from, URL: "https://st/1"}, {Name: "Mail is late", Start: from, End: until},
			},
		},
	}}
	want := []string{
		"revocation list: http://c/1.crl: number 4096, of 2026-11-23 06:00 UTC until 2026-11-30 06:00 UTC, 1 entry, 345 bytes, by CN=ca, for its own URL, older than one before",
		"revocation list: http://c/1.crl: of 2026-11-23 06:00 UTC until 2026-11-30 06:00 UTC, still the one that was read before",
		"! revocation list: http://c/2.crl: it cannot be read",
		"! flaw: crl_unreadable: so it is",
		"! revocation list: http://c/3.crl: of 2026-11-23 06:00 UTC, 2 entries, 1 byte, by CN=ca",
		"! flaw: crl_stale: so it is",
		"! flaw: crl_number: so it is",
		"OCSP: http://o by GET: good, of 2026-11-23 06:00 UTC until 2026-11-30 06:00 UTC, signed by the issuer, 300 bytes",
		"OCSP: http://o by POST: revoked since 2026-11-23 06:00 UTC, of 2026-11-23 06:00 UTC, signed by a delegate, 300 bytes",
		"! OCSP: http://o by GET: it says nothing of the certificate, 5 bytes",
		"! flaw: ocsp_status: so it is",
		"issuer: http://a: CN=ca, until 2026-11-30, 600 bytes",
		"! issuer: http://b: it cannot be read",
		"! flaw: aia_unreadable: so it is",
		"test site: https://s: has to be expired, until 2026-11-23 06:00 UTC, by CN=ca, serial 0a",
		"! test site: https://v: has to be valid",
		"! flaw: site_valid: so it is",
		"status page: https://st (statuspage): overall major_outage, ACME partial_outage, CRL operational, 1 other component, 12 bytes",
		"announced: ACME fails: published 2026-11-23 06:00 UTC, goes on, https://st/1",
		"announced: Mail is late: published 2026-11-23 06:00 UTC, over since 2026-11-30 06:00 UTC",
	}
	var got []string
	for _, f := range facts(r) {
		line := f.Label + ": " + strings.ReplaceAll(f.Value, "\uFFFD[31m", "")
		if f.Bad {
			line = "! " + line
		}
		got = append(got, line)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if strings.Contains(fmt.Sprint(facts(r)), "\x1b") {
		t.Error("a control character is shown")
	}

	r = &probe.Result{Facts: probe.Facts{CRLs: make([]probe.CRL, 100)}}
	if list := facts(r); len(list) != shownBeside+1 || list[shownBeside].Value != "and 90 more" {
		t.Errorf("%d facts of a hundred lists", len(list))
	}
}
