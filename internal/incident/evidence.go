package incident

import "github.com/acme-exporter/acme_exporter/internal/probe"

// runSize bounds the JSON of one run as evidence, in bytes: that of an incident
// is at most twice that.
const runSize = 32 << 10

// keepRun returns r as evidence. Texts were scrubbed when they were recorded, and
// nonces, signatures and tokens never were; validators' addresses go here, and
// follow-ups, which hold records and say nothing of the failure.
func keepRun(r *probe.Result) probe.EvidenceRun { return probe.Bounded(r, runSize) }
