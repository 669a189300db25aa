package report

import "time"

// Latency is the chart of how long an issuance took, over all locations.
type Latency struct {
	// Prober is what was measured: runs of the modules with this prober, from the first
	// request to the end. issue, or else the one that goes farthest of validate, order,
	// account, nonce and directory.
	Prober string `json:"prober"`
	// Points are in order and without overlap. No point and no line between two
	// points may cross a gap.
	Points []Point `json:"points"`
	// Gaps are the spans of the period in which nothing is drawn, in order and without
	// overlap.
	Gaps []Gap `json:"gaps,omitempty"`
}

// Point is the median of some runs and the band around it.
type Point struct {
	Start time.Time `json:"start"` // when the first of them ended, at the earliest
	End   time.Time `json:"end"`   // when the last of them ended, at the latest
	// Count is how many they are: 100 to 120. More: so many ended within the shortest span
	// that Prometheus can tell apart. Fewer: a gap or the period's end came before.
	Count int64         `json:"count"`
	P10   time.Duration `json:"p10_ns"`
	P50   time.Duration `json:"p50_ns"`
	P90   time.Duration `json:"p90_ns"`
}

// Middle is where the point is drawn on the axis of time.
func (p Point) Middle() time.Time { return p.Start.Add(p.End.Sub(p.Start) / 2) }

// GapKind says why there is nothing to draw.
type GapKind string

// The kinds of gaps.
const (
	GapOutage  GapKind = "outage"  // the majority said that the CA was down
	GapMissing GapKind = "missing" // nobody reported
)

// Gap is a span in which nothing is drawn.
type Gap struct {
	Kind GapKind `json:"kind"`
	Span
}

// Hour is a cell of the heat strip: how one hour was spent, over all locations.
type Hour struct {
	Start time.Time `json:"start"`
	Availability
	// Runs and Failed are how many runs succeeded or failed in it, and how many of these
	// failed; skipped ones are in neither.
	Runs   int64 `json:"runs"`
	Failed int64 `json:"failed"`
}
