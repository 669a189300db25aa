package budget

import "time"

// clock is the time by which tokens come back. It follows the wall clock, which
// alone goes on while the machine or the program is stopped, but never backwards:
// where the wall clock is set back, it goes on at the pace of the monotonic
// clock. So nothing is booked in a past that would give its tokens back as soon as
// the wall clock is right again. A process that starts while the wall clock is
// behind begins where the last one was, since nothing says how long ago that is.
// The zero value has not begun.
type clock struct {
	last time.Duration // on the monotonic clock
	at   int64         // what it showed then, in nanoseconds since 1970
}

// read returns what the clock shows in nanoseconds since 1970, when the wall clock
// shows wall and mono has passed on the monotonic clock.
func (c *clock) read(wall time.Time, mono time.Duration) int64 {
	at := wall.UnixNano()
	if c.at != 0 {
		// One reading may come late, after that of somebody faster.
		at = max(at, c.at+max(0, int64(mono-c.last)))
	}
	c.last, c.at = max(c.last, mono), at
	return at
}
