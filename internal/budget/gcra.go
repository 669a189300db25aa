package budget

import (
	"fmt"
	"math"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
)

// keptPart is the part of a limit's tokens that is kept for confirmation runs:
// one in keptPart.
const keptPart = 5

// Bucket is a token bucket as we mirror a CA's: what is ours of a limit. It is
// decided by the generic cell rate algorithm, as Boulder does: what is known of a
// bucket is one moment, the theoretical arrival time, at which it will be full
// again. One that lies in the past means a full bucket.
type Bucket struct {
	// Interval is the time in which one token comes back.
	Interval time.Duration
	// Size is the tokens of a full bucket; at least 1.
	Size int
	// Kept of them are for confirmation runs only.
	Kept int
}

// NewBucket returns the bucket of a limit of which share, above 0 and at most 1,
// is ours if others spend from it too. Fractions are rounded to what spends less,
// but one token is always ours.
func NewBucket(limit config.Limit, share float64) (Bucket, error) {
	if limit.Count < 1 || limit.Period <= 0 {
		return Bucket{}, fmt.Errorf("limit %s: %d in %v is no limit", limit.Name, limit.Count, limit.Period)
	}
	if !limit.Shared {
		share = 1
	}
	if !(share > 0 && share <= 1) {
		return Bucket{}, fmt.Errorf("limit %s: a share of %v is not above 0 and at most 1", limit.Name, share)
	}
	size := max(1, int(float64(limit.Count)*share))
	interval := math.Ceil(float64(limit.Period) / (float64(limit.Count) * share))
	// Decades are as good as for ever, and stay far from what int64 holds.
	interval = min(interval, float64(math.MaxInt64/8)/float64(size))
	return Bucket{Interval: time.Duration(interval), Size: size, Kept: size / keptPart}, nil
}

// decision is what a bucket says of a request.
type decision struct {
	allowed bool
	// tat is the new theoretical arrival time; the old one if it is not allowed.
	tat int64
	// wait is how long until it will be allowed; 0 if it is, negative if never.
	wait time.Duration
	// remaining are the whole tokens left: after the request if it is allowed,
	// before it if not.
	remaining int
}

// never is the wait for more than a bucket ever holds.
const never time.Duration = -1

// decide says whether cost tokens may be taken at now from the bucket that will be
// full at tat, both in nanoseconds since 1970, so that kept tokens stay in it.
func (b Bucket) decide(tat, now int64, cost, kept int) decision {
	tat = max(tat, now)
	next := tat + int64(cost)*int64(b.Interval)
	usable := b.Size - kept
	if cost > usable {
		return decision{tat: tat, wait: never, remaining: b.remaining(tat, now)}
	}
	if over := next - now - int64(usable)*int64(b.Interval); over > 0 {
		return decision{tat: tat, wait: time.Duration(over), remaining: b.remaining(tat, now)}
	}
	return decision{allowed: true, tat: next, remaining: b.remaining(next, now)}
}

// remaining is how many whole tokens are in the bucket; none if it owes some.
func (b Bucket) remaining(tat, now int64) int {
	missing := tat - now
	if missing <= 0 {
		return b.Size
	}
	// Rounded up: a token that is not whole is none.
	return max(0, b.Size-int((missing+int64(b.Interval)-1)/int64(b.Interval)))
}

// hold is the theoretical arrival time of a bucket from which reserved tokens
// have been taken that the CA may take only now, or later still: until it has, its
// bucket does not fill up for them, and neither may ours.
func (b Bucket) hold(tat, now int64, reserved int) int64 {
	return max(tat, now+int64(reserved)*int64(b.Interval))
}
