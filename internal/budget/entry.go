package budget

import (
	"encoding/json"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
)

// forever is when a pause ends that a human has to lift.
const forever int64 = math.MaxInt64

// exemptFor leaves a day: the CA counts from when it issued, and asks when it
// issues again.
const exemptFor = config.ExemptFor - day

// entry is what the ledger knows of one key. Moments are nanoseconds since 1970 by
// the ledger's clock.
type entry struct {
	tat      int64         // when the bucket will be full again
	interval time.Duration // of the bucket when it was last changed
	open     int           // tokens of reservations that are not settled
	paused   int64         // until when nothing may be spent; 0: it is not paused
	issued   int64         // of a set that is ordered again: its last certificate; 0: none
}

// idle reports whether the entry says no more than none would.
func (e entry) idle(now int64) bool {
	return e.tat <= now && e.open == 0 && e.paused <= now && (e.issued == 0 || now-e.issued >= int64(exemptFor))
}

// stored is the stored form of an entry, and of the clock, which has a moment only.
type stored struct {
	TAT      int64         `json:"full_at_ns,omitempty"`
	Interval time.Duration `json:"interval_ns,omitempty"`
	Open     int           `json:"open,omitempty"`
	Paused   int64         `json:"paused_until_ns,omitempty"`
	Issued   int64         `json:"issued_at_ns,omitempty"`
	// Sum tells what was written from what a disk has made of it.
	Sum uint32 `json:"sum"`
}

// pack returns the stored form of e beneath key.
func (e entry) pack(key string) stored {
	s := stored{TAT: e.tat, Interval: e.interval, Open: e.open, Paused: e.paused, Issued: e.issued}
	s.Sum = s.sum(key)
	return s
}

// unpack is the inverse of pack.
func unpack(key string, value []byte) (entry, error) {
	var s stored
	if err := json.Unmarshal(value, &s); err != nil {
		return entry{}, err
	}
	if s.Sum != s.sum(key) {
		return entry{}, errors.New("its checksum is wrong")
	}
	return entry{tat: s.TAT, interval: s.Interval, open: s.Open, paused: s.Paused, issued: s.Issued}, nil
}

func (s stored) sum(key string) uint32 {
	b := []byte(key)
	for _, v := range []int64{s.TAT, int64(s.Interval), int64(s.Open), s.Paused, s.Issued} {
		for range 8 {
			b = append(b, byte(v))
			v >>= 8
		}
	}
	return crc32.ChecksumIEEE(b)
}
