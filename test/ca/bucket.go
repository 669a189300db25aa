package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// limit is one that the CA sets: a bucket of Burst tokens, into which Count
// come back in each Period, evenly.
type limit struct {
	Name   string   `json:"name"`
	Count  int      `json:"count"`  // at least 1
	Period duration `json:"period"` // at least a microsecond
	Burst  int      `json:"burst"`  // 0: Count
}

// duration is written as time.ParseDuration reads it.
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

func (d duration) String() string { return time.Duration(d).String() }

// readLimits reads a JSON list of limits, each with one of names and none
// twice.
func readLimits(text string, names []string) (map[string]limit, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	var list []limit
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf(`read limits, as in [{"name": %q, "count": 3, "period": "10s"}]: %w`, names[0], err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read limits: there is more behind the list")
	}
	limits := map[string]limit{}
	for _, l := range list {
		if l.Burst == 0 {
			l.Burst = l.Count
		}
		_, twice := limits[l.Name]
		switch {
		case !slices.Contains(names, l.Name):
			return nil, fmt.Errorf("limit %q is none of %q", l.Name, names)
		case twice:
			return nil, fmt.Errorf("limit %q is there twice", l.Name)
		case l.Count < 1 || l.Burst < 1 || l.token() < 1:
			return nil, fmt.Errorf("limit %q: want a count, a burst and a period in microseconds of at least 1", l.Name)
		case float64(l.Burst)*float64(l.token()) > math.MaxInt64/2:
			return nil, fmt.Errorf("limit %q is too large", l.Name)
		}
		limits[l.Name] = l
	}
	return limits, nil
}

// token is how many parts one token has, see [bucket].
func (l limit) token() int64 { return time.Duration(l.Period).Microseconds() }

// bucket holds the tokens of one key. It counts them in parts so that rounding
// neither gives nor takes: a token has as many parts as the limit's period has
// microseconds, and each microsecond brings as many parts as the limit's count.
type bucket struct {
	limit limit
	parts int64
	at    time.Time // when it held them
}

// newBucket returns a full one.
func newBucket(l limit, now time.Time) *bucket {
	return &bucket{limit: l, parts: int64(l.Burst) * l.token(), at: now}
}

// fill brings it to now, and returns the parts in it.
func (b *bucket) fill(now time.Time) int64 {
	full := int64(b.limit.Burst) * b.limit.token()
	elapsed := now.Sub(b.at).Microseconds()
	if elapsed <= 0 {
		return b.parts
	}
	b.at = b.at.Add(time.Duration(elapsed) * time.Microsecond)
	if elapsed >= full/int64(b.limit.Count)+1 {
		b.parts = full // and nothing overflows
	} else {
		b.parts = min(full, b.parts+elapsed*int64(b.limit.Count))
	}
	return b.parts
}

// take takes a token, if there is one.
func (b *bucket) take(now time.Time) bool {
	if b.fill(now) < b.limit.token() {
		return false
	}
	b.parts -= b.limit.token()
	return true
}

// wait is how long it takes until there is a token; 0: there is.
func (b *bucket) wait(now time.Time) time.Duration {
	missing := b.limit.token() - b.fill(now)
	if missing <= 0 {
		return 0
	}
	count := int64(b.limit.Count)
	return time.Duration((missing+count-1)/count) * time.Microsecond
}

// remaining is how many whole tokens there are.
func (b *bucket) remaining(now time.Time) int { return int(b.fill(now) / b.limit.token()) }
