package acmehttp

import (
	"context"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Explain says for which cause an exchange that was not a session's failed with
// err, given the last phase that it had reached; ctx is the exchange's.
func Explain(ctx context.Context, err error, reached probe.Phase) *probe.CallError {
	return callError(classify(ctx, err, reached))
}
