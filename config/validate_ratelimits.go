package config

import (
	"time"

	"github.com/prometheus/common/model"
)

// maxPeriod bounds a limit's period: that of 1,152 tokens, one a day, and some.
const maxPeriod = 100 * 365 * day

// none reports whether the file says that the CA has no limits.
func (r *RateLimits) none() bool { return r != nil && r.None }

// validateRateLimits checks what is written, and that with the preset it says
// all of each limit.
func (t *Target) validateRateLimits(ps *problems, at path, preset *Preset) {
	r := t.RateLimits
	switch {
	case r == nil:
		return
	case r.None:
		if preset != nil && !t.OwnCA {
			ps.add(at, "the CA of the preset %s has limits: remove this, or write those that differ, such as new_orders: {count: 300, period: 3h}", preset.Name)
		}
		return
	}
	if share := at.key("share"); ps.written(share) && !(r.Share > 0 && r.Share <= 1) {
		ps.add(share, "want a number above 0 and at most 1, such as 0.25, got %v", r.Share)
	}
	for _, name := range LimitNames() {
		if size := r.size(name); size != nil {
			size.validate(ps, at.key(string(name)), knows(t.presetLimits(), name))
		}
	}
}

// validate checks a limit's size; what is not written the preset must know.
func (s *LimitSize) validate(ps *problems, at path, known bool) {
	count, period := at.key("count"), at.key("period")
	switch {
	case ps.written(count):
		if s.Count < 1 {
			ps.add(count, "want 1 or more, got %d (rate_limits: none says that a CA has no limits)", s.Count)
		}
	case !known:
		ps.add(count, "missing: say how many the CA allows at once")
	}
	switch {
	case ps.written(period):
		if d := time.Duration(s.Period); d < time.Second || d > maxPeriod {
			ps.add(period, "want %s to %s, got %s", duration(time.Second), model.Duration(maxPeriod), s.Period)
		}
	case !known:
		ps.add(period, "missing: say in which time that many come back, such as 3h")
	}
}
