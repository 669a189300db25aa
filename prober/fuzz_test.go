package prober

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// fit fails the test if what was read can be neither stored nor shown.
func fit(t *testing.T, read any, texts ...string) {
	t.Helper()
	if _, err := json.Marshal(read); err != nil {
		t.Errorf("%+v cannot be stored: %v", read, err)
	}
	for _, s := range texts {
		if len(s) > maxQuoted || !utf8.ValidString(s) {
			t.Errorf("%q is too long, or no text", s)
		}
	}
}

// TestRenewalYears holds that a window whose years are none in UTC is not taken: what
// holds them could not be stored.
func TestRenewalYears(t *testing.T) {
	t.Parallel()
	for _, window := range []string{
		`"start": "0000-01-01T00:00:00+23:59", "end": "2026-01-01T00:00:00Z"`, `"start": "2026-01-01T00:00:00Z", "end": "9999-12-31T23:59:59-23:59"`,
	} {
		found, err := readRenewal([]byte(`{"suggestedWindow": {` + window + `}}`))
		if err == nil || !strings.Contains(err.Error(), "years that cannot be written down") {
			t.Errorf("%s: %+v, %v", window, found, err)
		}
	}
}

// FuzzRenewalInfo reads whatever a CA may answer when it is asked when to renew.
func FuzzRenewalInfo(f *testing.F) {
	f.Add([]byte(`{"suggestedWindow": {"start": "2026-01-02T03:04:05Z", "end": "2026-01-02T04:04:05.5+02:00"}, "explanationURL": "https://ca.example/incident?x=1"}`))
	f.Add([]byte(`{"suggestedWindow": {"start": "0000-01-01T00:00:00+23:59", "end": "9999-12-31T23:59:59-23:59"}}`))
	f.Add([]byte(`{"suggestedWindow": null, "explanationURL": 7}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		found, err := readRenewal(body)
		if err != nil {
			return
		}
		fit(t, found, found.ExplanationURL)
		if !found.Start.Before(found.End) || found.ExplanationURL != "" && !strings.HasPrefix(strings.ToLower(found.ExplanationURL), "https://") {
			t.Errorf("%+v", found)
		}
	})
}

// FuzzDirectory reads whatever a CA may have for a directory.
func FuzzDirectory(f *testing.F) {
	f.Add([]byte(`{"newNonce": "https://ca.example/n", "newAccount": "https://ca.example/a", "newOrder": "https://ca.example/o", "revokeCert": "https://ca.example/r",
		"meta": {"termsOfService": "https://ca.example/tos", "website": "https://ca.example", "caaIdentities": ["ca.example"], "externalAccountRequired": true,
		"profiles": {"classic": "https://ca.example/classic", "\xff": "x"}}, "Xz": "random"}`))
	f.Add([]byte(`{"newNonce": null, "meta": {"caaIdentities": null, "profiles": null}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var d directory
		if json.Unmarshal(body, &d) != nil {
			return
		}
		facts := d.facts()
		texts := append([]string{facts.TermsOfService, facts.Website}, facts.CAAIdentities...)
		fit(t, facts, append(texts, facts.Profiles...)...)
		if len(facts.Endpoints) > len(directoryFields) || len(facts.CAAIdentities) > maxListed || len(facts.Profiles) > maxListed {
			t.Errorf("%+v", facts)
		}
	})
}
