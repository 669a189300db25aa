package publish

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
)

// TestZoneShared holds that those who wait for a look share what came of it, an
// error too, unless only the time of who looked was over.
func TestZoneShared(t *testing.T) {
	found, failed := dnsclient.Zone{Name: "probe.test"}, errors.New("SERVFAIL")
	for _, test := range []struct {
		name   string
		zone   dnsclient.Zone
		err    error
		cut    bool
		shared bool
	}{
		{"found", found, nil, false, true},
		{"found at the last moment", found, nil, true, true},
		{"failed", dnsclient.Zone{}, failed, false, true},
		{"cut", dnsclient.Zone{}, context.DeadlineExceeded, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New(config.Responders{}, &dnsclient.Client{}) // whose looks fail at once
				l, _ := p.lookup("probe.test")
				type outcome struct {
					zone string
					err  error
				}
				outcomes := make(chan outcome, 1)
				go func() {
					zone, err := p.zone(t.Context(), "probe.test")
					outcomes <- outcome{zone.Name, err}
				}()
				synctest.Wait()
				l.zone, l.err, l.cut = test.zone, test.err, test.cut
				close(l.done)
				got := <-outcomes
				if shared := got == (outcome{test.zone.Name, test.err}); shared != test.shared {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}
