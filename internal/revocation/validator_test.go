package revocation

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestValidators(t *testing.T) {
	const before, date = "Mon, 23 Nov 2026 11:59:59 GMT", "Mon, 23 Nov 2026 12:00:00 GMT"
	long := `"` + strings.Repeat("e", maxValidator-2) + `"`
	for _, tt := range []struct {
		etag, changed, date string
		wantETag, wantTime  string
	}{
		{"", "", date, "", ""},
		{`"a b"`, before, date, "", before},
		{`"1-a"`, before, date, `"1-a"`, before},
		{`W/"1"`, "", "", `W/"1"`, ""},
		{`""`, date, date, `""`, ""}, // another one may come in the same second
		{"1", before, "", "", ""},
		{`"`, "yesterday", date, "", ""},
		{`"a"b"`, "", date, "", ""},
		{"\"\xe4\"", "", date, "", ""},
		{long, "", date, long, ""},
		{long + "e", "", date, "", ""},
	} {
		h := http.Header{}
		for name, value := range map[string]string{"ETag": tt.etag, "Last-Modified": tt.changed, "Date": tt.date} {
			if value != "" {
				h.Set(name, value)
			}
		}
		if etag, changed := Validators(h); etag != tt.wantETag || changed != tt.wantTime {
			t.Errorf("%v: %q and %q, want %q and %q", h, etag, changed, tt.wantETag, tt.wantTime)
		}
	}
}

func TestConditions(t *testing.T) {
	for _, tt := range []struct {
		read probe.ReadList
		want http.Header
	}{
		{probe.ReadList{}, nil},
		{probe.ReadList{ETag: `"1"`, Untrue: true}, nil},
		{probe.ReadList{ETag: `"1"`}, http.Header{"If-None-Match": {`"1"`}}},
		{probe.ReadList{LastModified: "then"}, http.Header{"If-Modified-Since": {"then"}}},
		{probe.ReadList{ETag: `"1"`, LastModified: "then"}, http.Header{"If-None-Match": {`"1"`}, "If-Modified-Since": {"then"}}},
	} {
		if diff := cmp.Diff(tt.want, Conditions(&tt.read)); diff != "" {
			t.Errorf("%+v: %s", tt.read, diff)
		}
	}
}
