package runner

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What a follow-up that is given up has left behind is for somebody to undo by
// hand, who needs to know what it is.
func TestGivenUpIsTold(t *testing.T) {
	var log bytes.Buffer
	handler := slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "created" {
			return slog.Attr{}
		}
		return a
	}})
	store := newMemory()
	bubble(t, Options{Store: store, Logger: slog.New(handler)}, func(h *harness) {
		h.run = func(_ context.Context, job Job) probe.Facts {
			if job.FollowUp != nil {
				return failed(probe.FailureLocal)
			}
			one, two := authz("1"), authz("2")
			one.More = []string{"https://ca.example/authz/1b"}
			two.Kind, two.URL, two.Expires = probe.FollowUpWithdrawRecords, "", time.Now().Add(time.Hour)
			two.Records = []probe.Record{{Name: "_acme-challenge.www.corp.example", Value: "digest"}}
			for _, f := range []probe.FollowUp{one, two} {
				if err := job.FollowUps.Add(f); err != nil {
					t.Error(err)
				}
			}
			return probe.Facts{}
		}
		h.start(configured(interval(0)))
		h.trigger(time.Minute)
		h.sleepTo(25 * time.Hour)
		if left := store.keys(bucketFollowUps); len(left) != 0 {
			t.Errorf("still stored: %v", left)
		}
		h.stop()
	})
	want := `level=WARN msg="follow-up given up" target=ca module=a kind=withdraw_records records="[_acme-challenge.www.corp.example. TXT \"digest\"]" attempts=6
level=WARN msg="follow-up given up" target=ca module=a kind=deactivate_authz urls="[https://ca.example/authz/1 https://ca.example/authz/1b]" attempts=29
`
	var got strings.Builder
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "given up") {
			got.WriteString(line)
		}
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}
