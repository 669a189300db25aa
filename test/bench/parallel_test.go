package bench

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// TestParallelClients holds that the CA of the demo and of these tests stands
// clients that work in parallel, which Pebble alone does not.
func TestParallelClients(t *testing.T) {
	ca := parts.StartPebble(t, parts.Ports{}, "-smooth", "-authz-reuse=100", "-always-valid", "-quiet")
	client := newReference(t, ca.CA)
	ctx, cancel := context.WithTimeout(t.Context(), parts.Timeout)
	defer cancel()
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 50 {
				c := *client // what belongs to one issuance is the copy's
				c.pollDelay = time.Millisecond
				name := strings.ToLower(rand.Text()) + ".acme-probe.example"
				if _, err := c.issue(ctx, name, "http-01"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}
