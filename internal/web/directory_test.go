package web

import (
	"bytes"
	"encoding/json"
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
	o.DirectoryChanges = changesOf(1)
	body := get(t, New(o), "/").Body.String()
	want := `The directory last changed at <time datetime="2026-07-01T12:00:00Z">2026-07-01 12:00:00 UTC</time>: ` +
		`terms_of_service: &lt;b&gt;a&lt;/b&gt; → b; profiles: short added; endpoints: keyChange removed.`
	if strings.Count(body, "last changed") != 1 || !strings.Contains(body, want) || strings.Contains(body, "Changes before that") {
		t.Errorf("the index has no %q, or it is there of another target, or more than once", want)
	}
	o.DirectoryChanges = changesOf(maxChangesShown + 5)
	body = get(t, New(o), "/").Body.String()
	earlier := `<li><time datetime="2026-07-01T11:59:00Z">2026-07-01 11:59:00 UTC</time>: terms_of_service: &lt;b&gt;a&lt;/b&gt;`
	if strings.Count(body, "last changed") != 1 || !strings.Contains(body, want) || strings.Count(body, "Changes before that") != 1 ||
		!strings.Contains(body, earlier) || strings.Count(body, "keyChange removed") != 1+maxChangesShown {
		t.Errorf("the index has no %q, or not %d changes in all", earlier, 1+maxChangesShown)
	}
}

// changesOf tells of so many changes of the target corp, a minute apart.
func changesOf(n int) func(target string) []*probe.DirectoryChange {
	return func(target string) (list []*probe.DirectoryChange) {
		for i := range n {
			if target == "corp" {
				list = append(list, &probe.DirectoryChange{At: time.Date(2026, 7, 1, 12, -i, 0, 0, time.UTC), Fields: []probe.FieldChange{
					{Field: "terms_of_service", From: "<b>a</b>", To: "b"}, {Field: "profiles", To: "short"}, {Field: "endpoints", From: "keyChange"},
				}})
			}
		}
		return list
	}
}

// TestAPIDirectoryChanges holds that the API tells of each target which changes its directory
// had, that there was none, or nothing where nobody would know.
func TestAPIDirectoryChanges(t *testing.T) {
	o := hostileOptions(time.Now())
	told := func() map[string]json.RawMessage {
		t.Helper()
		var answer struct {
			Targets []struct {
				Target  string          `json:"target"`
				Changes json.RawMessage `json:"directory_changes"`
			} `json:"targets"`
		}
		if err := json.Unmarshal(get(t, New(o), "/api/v1/targets").Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		all := map[string]json.RawMessage{}
		for _, target := range answer.Targets {
			all[target.Target] = target.Changes
		}
		return all
	}
	if got := told()["corp"]; got != nil {
		t.Errorf("changes %s, and nobody knows of any", got)
	}
	o.DirectoryChanges = changesOf(0)
	if got := string(told()["corp"]); got != "[]" {
		t.Errorf("changes %s, want that there were none", got)
	}
	o.DirectoryChanges = changesOf(2)
	var want bytes.Buffer
	if err := json.Indent(&want, []byte(`[
		{"at": "2026-07-01T12:00:00Z", "fields": [{"field": "terms_of_service", "from": "\u003cb\u003ea\u003c/b\u003e", "to": "b"}, {"field": "profiles", "to": "short"}, {"field": "endpoints", "from": "keyChange"}]},
		{"at": "2026-07-01T11:59:00Z", "fields": [{"field": "terms_of_service", "from": "\u003cb\u003ea\u003c/b\u003e", "to": "b"}, {"field": "profiles", "to": "short"}, {"field": "endpoints", "from": "keyChange"}]}
	]`), "      ", "  "); err != nil {
		t.Fatal(err)
	}
	if got := string(told()["corp"]); got != want.String() {
		t.Errorf("changes %s, want %s", got, want.String())
	}
}
