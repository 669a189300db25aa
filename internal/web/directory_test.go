package web

import (
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestIndexDirectoryChange holds that the index says when a target's directory changed
// and in what, in words that cannot be markup.
func TestIndexDirectoryChange(t *testing.T) {
	o := options(&fakeRunner{statuses: busy(time.Now())})
	if body := get(t, New(o), "/").Body.String(); strings.Contains(body, "last changed") {
		t.Error("a change, and nobody knows of any")
	}
	o.DirectoryChange = func(target string) *probe.DirectoryChange {
		if target != "corp" {
			return nil
		}
		return &probe.DirectoryChange{At: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), Fields: []probe.FieldChange{
			{Field: "terms_of_service", From: "<b>a</b>", To: "b"}, {Field: "profiles", To: "short"}, {Field: "endpoints", From: "keyChange"},
		}}
	}
	body := get(t, New(o), "/").Body.String()
	want := `The directory last changed at <time datetime="2026-07-01T12:00:00Z">2026-07-01 12:00:00 UTC</time>: ` +
		`terms_of_service: &lt;b&gt;a&lt;/b&gt; → b; profiles: short added; endpoints: keyChange removed.`
	if strings.Count(body, "last changed") != 1 || !strings.Contains(body, want) {
		t.Errorf("the index has no %q, or it is there of another target", want)
	}
}
