package prober

import (
	"context"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// recordLife is how long it is tried to remove records: unlike an authorization
// they do not end by themselves, and a name server may be away for a weekend.
const recordLife = 7 * 24 * time.Hour

// followWithdrawRecords removes the follow-up's records. The CA has nothing to do
// with it, and is not asked anything.
func followWithdrawRecords(ctx context.Context, r *run) error {
	return r.step(probe.StepPublication, "", func() error {
		return unpublished(ctx, r.Records.Withdraw(ctx, r.FollowUp.Records), "")
	})
}
