package metrics

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Document returns docs/metrics.md, made from the declarations.
func Document() string {
	d := newDeclarer(prometheus.NewRegistry(), Both)
	declare(d)
	answer := newDeclarer(prometheus.NewRegistry(), Classic)
	declareAnswer(answer)

	var b strings.Builder
	b.WriteString(introduction)
	for _, part := range []struct {
		title string
		scope scope
	}{
		{"Of a pair", ofPair},
		{"Of a target", ofTarget},
		{"Of the exporter", ofExporter},
	} {
		fmt.Fprintf(&b, "\n### %s\n\n", part.title)
		writeTable(&b, slices.DeleteFunc(slices.Clone(d.families), func(f family) bool { return f.scope != part.scope }))
	}
	fmt.Fprintf(&b, histograms, nativeFactor, maxNativeBuckets)
	writeBounds(&b, d.families)
	fmt.Fprintf(&b, cost, steadyPair, publicationSeries, revocationSeries, conditionalSeries, worstPair, worstRevoking, steadyLimit, worstLimit, steadyTarget, worstTarget, targetLimit)
	b.WriteString(answers)
	writeTable(&b, answer.families)
	return b.String()
}

// writeTable writes families as a Markdown table.
func writeTable(b *strings.Builder, families []family) {
	b.WriteString("| family | type | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families {
		labels := make([]string, len(f.labels))
		for i, l := range f.labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.name, f.kind, strings.Join(labels, ", "), f.help)
	}
}

// writeBounds writes the bounds of the classic histograms as a Markdown table.
func writeBounds(b *strings.Builder, families []family) {
	b.WriteString("| family | upper bounds in seconds |\n|---|---|\n")
	for _, f := range families {
		if f.bounds == nil {
			continue
		}
		bounds := make([]string, len(f.bounds))
		for i, v := range f.bounds {
			bounds[i] = strconv.FormatFloat(v, 'f', -1, 64)
		}
		fmt.Fprintf(b, "| `%s` | %s, +Inf |\n", f.name, strings.Join(bounds, ", "))
	}
}

// What one issuing pair costs in series, in the classic form: steady after
// issuances that succeed, worst when every call has had every status and
// steps have failed for twenty reasons. What the target has is counted once for
// all its pairs, however many; here all rate limits are known, and there was an
// incident (13 series, one fewer while it goes on, one fewer where the CA has told of none, 9 if there never was one). Runs whose records are elsewhere add the histogram of a step,
// and lose the gauges of validators' networks. Revocations add the histograms of their
// call and of both ways in which they show. A test counts them again.
const (
	steadyPair, steadyTarget = 322, 72
	worstPair, worstTarget   = 462, 73
	publicationSeries        = 11
	revocationSeries         = 48
	worstRevoking            = 520      // all in all
	conditionalSeries        = 10       // of the checks that not all pairs make
	steadyLimit, worstLimit  = 400, 520 // of a pair
	targetLimit              = 73
)

const introduction = `# Metrics

This page is generated from the declarations in internal/metrics; a test holds the two equal.

## /metrics

Every series of a target carries the labels ` + "`target` and `environment`" + `, those of a pair (a module on a target) also
` + "`module`" + `. The tables name the labels beyond these. Durations are in seconds, timestamps in seconds since 1970.

What was not measured is absent, never 0. A gauge keeps what was measured last: a run that issues nothing leaves the
dates of the last certificate as they are. A skipped run (the CA said that we ask too often, our own budget of its rate
limits is used up, or the CA does not offer what the module wants) is no evidence: it counts in ` + "`acme_probes_total`" + `
and moves the time of the last run, and the state ages.
After a restart gauges show the last runs of before; counters and histograms start at 0, but for those of incidents and
of certificates that failed a check or must not have been issued, which go on, as do the state and the incidents themselves: they are as they were
before ` + "`/-/ready`" + ` says so. A pair that is removed from the configuration loses all its series. One whose configuration changed keeps its counters and histograms, and loses
the gauges until its next run.

Follow-ups (short runs that do what a run left to be done) count in ` + "`acme_follow_ups_total`" + `, their calls in
` + "`acme_request_duration_seconds`, `acme_requests_total`, `acme_request_retries_total` and `acme_connection_duration_seconds`" + `;
they touch nothing else of the pair, but for those of its revocations. Those that watch one (` + "`watch_revocation`" + `) ask nothing
of the API, and their requests are in none of the four.
`

const histograms = `
## Histograms

` + "`--metrics.histograms`" + ` is ` + "`classic`, `native` or `both`" + ` (the default). Native ones have a growth factor of at most %v
and at most %d buckets, and reach only scrapers that ask for the protobuf format. Classic ones have these bounds:

`

const cost = `
## What it costs

An issuing pair has, with classic histograms, %d series after issuances that succeed, %d more where its records are at
name servers elsewhere, %d more where it revokes, %d fewer where the checks profile, trust, lint and scts are not made, and %d in a bad time (%d where it revokes): every
call has had every status, and steps have failed for twenty different reasons. A test holds it to at most %d and %d. Its target has, once for all its pairs, %d series and in a bad
time %d where all the CA's rate limits are known and there was an incident; at most %d.
`

const answers = `
## /probe

` + "`/probe?target=T&module=M`" + ` answers with gauges of one run, without labels that the scrape configuration sets. The run is
one that the scrape started or joined, or the last one before, if the scrape came too soon after it or its deadline
came first: see ` + "`probe_result_age_seconds`" + `.

`
