package metrics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var (
	listing = probe.Pair{Target: "corp", Module: "crl"}
	asking  = probe.Pair{Target: "corp", Module: "ocsp"}
)

// beside is the pair with that prober.
func beside(name probe.Pair, prober probe.Prober) config.Pair {
	p := configured(name, "1")
	p.Module = &config.Module{Prober: prober}
	return p
}

// read is a run that read what is published.
func read(name probe.Pair, prober probe.Prober, at time.Time) *probe.Result {
	return &probe.Result{
		Version: probe.Version, ID: probe.NewID(at), Pair: name, Prober: prober, Trigger: probe.TriggerTick, ConfigHash: "1", Start: at,
		Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess},
		Facts: probe.Facts{
			CRLs: []probe.CRL{
				{ThisUpdate: time.Unix(2000, 0), NextUpdate: time.Unix(9000, 0), Number: "12", Entries: 5, Bytes: 700},
				{ThisUpdate: time.Unix(1000, 0), NextUpdate: time.Unix(9500, 0), Number: "9", Entries: 2, Bytes: 900},
				{URL: "http://ca.example/broken.crl", Flaws: []probe.Flaw{{Flaw: probe.FlawCRLUnreadable}}},
			},
			OCSP: []probe.OCSP{
				{Method: "GET", Status: probe.OCSPRevoked, ThisUpdate: time.Unix(3000, 0), NextUpdate: time.Unix(8000, 0)},
				{Method: "POST", Status: probe.OCSPGood, ThisUpdate: time.Unix(2500, 0), NextUpdate: time.Unix(8500, 0)},
				{Method: "GET", Flaws: []probe.Flaw{{Flaw: probe.FlawOCSPUnreadable}}},
			},
			Calls: []probe.Call{{Name: probe.CallOCSP, Method: "POST", Status: 200, Ready: 1, End: 2}},
		},
	}
}

var besideNames = []string{
	"acme_crl_read_timestamp_seconds", "acme_crl_this_update_timestamp_seconds", "acme_crl_next_update_timestamp_seconds", "acme_crl_number", "acme_crl_entries", "acme_crl_size_bytes",
	"acme_ocsp_this_update_timestamp_seconds", "acme_ocsp_next_update_timestamp_seconds", "acme_ocsp_certificate_revoked",
	"acme_request_retries_total",
}

func TestBeside(t *testing.T) {
	m, reg := newMetricsOf(t, Options{Histograms: Classic})
	m.Apply([]config.Pair{beside(listing, probe.ProberCRL), beside(asking, probe.ProberOCSP)})
	if got := values(t, reg, besideNames...); len(got) > 0 {
		t.Errorf("there before anything was read: %v", got)
	}
	m.Observe(read(listing, probe.ProberCRL, start))
	m.Observe(read(asking, probe.ProberOCSP, start))
	end := func(r *probe.Result) float64 { return float64(r.End().UnixMilli()) / 1000 }
	want := map[string]float64{
		"acme_crl_read_timestamp_seconds{}":        end(read(listing, probe.ProberCRL, start)),
		"acme_crl_this_update_timestamp_seconds{}": 1000, "acme_crl_next_update_timestamp_seconds{}": 9000,
		"acme_crl_number{}": 9, "acme_crl_entries{}": 7, "acme_crl_size_bytes{}": 900,
		"acme_ocsp_this_update_timestamp_seconds{}": 2500, "acme_ocsp_next_update_timestamp_seconds{}": 8000,
		"acme_ocsp_certificate_revoked{}": 1,
	}
	if diff := cmp.Diff(want, values(t, reg, besideNames...)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	// What cannot be read leaves what was read, and what is not there now goes.
	unread := read(listing, probe.ProberCRL, start.Add(time.Minute))
	unread.CRLs = unread.CRLs[2:]
	m.Observe(unread)
	older := read(listing, probe.ProberCRL, start.Add(-time.Minute))
	older.CRLs[0].Entries = 77
	m.Restore(older)
	if diff := cmp.Diff(want, values(t, reg, besideNames...)); diff != "" {
		t.Errorf("after nothing was read: -want +got:\n%s", diff)
	}
	bare := read(listing, probe.ProberCRL, start.Add(2*time.Minute))
	bare.CRLs = []probe.CRL{{ThisUpdate: time.Unix(4000, 0), Bytes: 10}}
	m.Observe(bare)
	got := values(t, reg, besideNames[:6]...)
	if diff := cmp.Diff(map[string]float64{
		"acme_crl_read_timestamp_seconds{}":        end(bare),
		"acme_crl_this_update_timestamp_seconds{}": 4000, "acme_crl_entries{}": 0, "acme_crl_size_bytes{}": 10,
	}, got); diff != "" {
		t.Errorf("without number and nextUpdate: -want +got:\n%s", diff)
	}

	changed := beside(listing, probe.ProberCRL)
	changed.Hash = "2"
	m.Apply([]config.Pair{changed})
	if got := values(t, reg, besideNames...); len(got) > 0 {
		t.Errorf("there after the configuration changed: %v", got)
	}
}
