package incident

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"time"
	"unicode"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// FuzzStored puts any bytes in the place of what is stored, and holds that a Tracker
// that has read them works, and stores nothing that it would not read again.
func FuzzStored(f *testing.F) {
	store := newDisk()
	playAll(tracker(store, pair("validate"), pair("extra", uncritical)), "validate: .CCC.\nextra: ..UUU..C")
	for bucket, values := range store.content {
		for key, value := range values {
			f.Add(bucket, key, value)
		}
	}
	f.Fuzz(func(t *testing.T, bucket, key string, value []byte) {
		damaged := store.copied()
		if damaged.content[bucket] == nil {
			return
		}
		damaged.content[bucket][key] = value
		tr := tracker(damaged, pair("validate"), pair("extra", uncritical))
		now := at(9 * time.Minute)
		tr.State(now)
		play(tr, "validate", 9*time.Minute, "CC..")
		play(tr, "extra", 9*time.Minute, "C..UUU")
		for _, s := range tr.State(now) {
			Availability(tr.Incidents(Filter{Kind: probe.IncidentTarget, Target: s.Target}), s.Known, begin, now)
		}
		if !tr.model.whole("ca") {
			t.Error("what is open is not whole")
		}
		tr.Apply(now, nil)
		for _, i := range tr.Incidents(Filter{}) {
			b, err := json.Marshal(i)
			if err == nil {
				_, err = decodeIncident(i.ID, b)
			}
			if err != nil || i.Open() {
				t.Errorf("%s: %v", b, err)
			}
		}
	})
}

// FuzzReplay holds that no stream breaks Replay, or the terminal that it prints to.
func FuzzReplay(f *testing.F) {
	small := &stream{target: "ca", pairs: []Pair{pair("validate", uncritical)}}
	small.add(kind{"validate", probe.ProberValidate, time.Minute, time.Second}, begin, at(9*time.Minute), from{at(2 * time.Minute), caFault}, from{at(5 * time.Minute), ok})
	small.add(kind{"directory", probe.ProberDirectory, time.Minute, time.Second}, begin, at(9*time.Minute), from{at(7 * time.Minute), silence})
	f.Add(small.encode())
	f.Add([]byte(`{"version":1,"target":"\u001b[31mca","module":"\n","start":"2026-01-01T00:00:00Z","verdict":{"outcome":"failure","fault":"ca"}}`))
	f.Add([]byte(`{"pairs":[{"target":"ca","module":"m","interval_ns":9223372036854775807}]}`))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b bytes.Buffer
		if err := Replay(bytes.NewReader(data), &b); err != nil {
			return
		}
		for _, r := range b.String() {
			if r != '\n' && (!unicode.IsPrint(r) || r == unicode.ReplacementChar) {
				t.Errorf("it prints %q", r)
			}
		}
	})
}

// BenchmarkObserve is a run of a pair that is down, with its evidence, among 150
// pairs and a full history.
func BenchmarkObserve(b *testing.B) {
	tr := New(Options{Store: discard{}})
	var pairs []Pair
	for k := range 150 {
		pairs = append(pairs, pair("m"+string(rune('a'+k/26))+string(rune('a'+k%26))))
	}
	tr.Apply(begin, pairs)
	play(tr, "maa", 0, "CC")
	r := large(9, 4)
	r.Module = "maa"
	for k := 0; b.Loop(); k++ {
		r := *r
		r.ID, r.Start = "", at(time.Duration(k+2)*time.Second)
		tr.Observe(&r)
	}
}

// BenchmarkPage is what a page asks for: state, incidents, and the bars of 90 days.
func BenchmarkPage(b *testing.B) {
	tr := New(Options{})
	tr.Apply(begin, []Pair{pair("validate")})
	for k := range 5000 {
		play(tr, "validate", time.Duration(k)*20*time.Minute, ".CC..")
	}
	now := at(5000 * 20 * time.Minute)
	for b.Loop() {
		s := tr.State(now)[0]
		all := tr.Incidents(Filter{Kind: probe.IncidentTarget, Target: "ca"})
		for _, days := range []int{1, 7, 30, 90} {
			Availability(all, s.Known, now.AddDate(0, 0, -days), now)
		}
		Bars(all, s.Known, now.AddDate(0, 0, -90), now, 24*time.Hour)
		json.NewEncoder(io.Discard).Encode(s)
	}
}

// discard is a Store that takes everything, for what it costs.
type discard struct{}

func (discard) Commit(changes ...state.Change) error {
	for _, c := range changes {
		if _, err := json.Marshal(c.Value); err != nil {
			return err
		}
	}
	return nil
}

func (discard) All(string, func(string, []byte) error) error { return nil }
