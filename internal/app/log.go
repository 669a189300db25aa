package app

import (
	"log/slog"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// logObserver writes a line for each run: a warning for one that failed, since
// that is what somebody will look for.
type logObserver struct{ logger *slog.Logger }

// Observe implements runner.Observer.
func (o logObserver) Observe(r *probe.Result) {
	attrs := []any{
		"target", r.Target, "module", r.Module, "run", r.ID, "trigger", r.Trigger,
		"duration", r.Duration.Round(time.Millisecond),
	}
	if r.FollowUp != "" {
		attrs = append(attrs, "follow_up", r.FollowUp, "parent", r.Parent)
	}
	if p := r.Perspectives; p.Few() {
		o.logger.Warn("Validators came from fewer networks than expected", append(slices.Clone(attrs), "name", p.Identifier, "networks", p.Networks, "minimum", p.Minimum)...)
	}
	if r.MissingRevocation() == probe.ViaAPI {
		o.logger.Warn("Revocation given up: the certificate stays valid", append(slices.Clone(attrs), "serial", r.Revocation.Serial, "reason", r.Revocation.Reason)...)
	}
	v := r.Verdict
	switch v.Outcome {
	case probe.OutcomeSuccess:
		o.logger.Debug("Probe succeeded", attrs...)
	case probe.OutcomeSkipped:
		if r.FollowUp == probe.FollowUpWatchRevocation && r.Failure != nil && r.Failure.Kind == probe.FailurePending {
			o.logger.Debug("Revocation does not show yet", append(attrs, "summary", v.Summary)...)
			return
		}
		o.logger.Info("Probe skipped", append(attrs, "stage", v.Stage, "reason", v.Reason, "summary", v.Summary)...)
	default:
		o.logger.Warn("Probe failed", append(attrs, "stage", v.Stage, "reason", v.Reason, "fault", v.Fault, "summary", v.Summary)...)
	}
}

// Restore implements runner.Observer; what happened before a restart has been
// logged before it.
func (o logObserver) Restore(*probe.Result) {}

// Schedule implements runner.Observer.
func (o logObserver) Schedule(p probe.Pair, next time.Time, missed bool) {
	if missed {
		o.logger.Warn("Tick missed: the run before it is still in flight", "target", p.Target, "module", p.Module, "next", next)
	}
}
