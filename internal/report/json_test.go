package report

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestSample holds that testdata/sample.json is the sample, and that nothing of it is
// lost on the way there and back.
func TestSample(t *testing.T) {
	const file = "testdata/sample.json"
	var written bytes.Buffer
	if err := JSON(&written, sample()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, written.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written.Bytes(), golden) {
		t.Errorf("%s is another sample (-update writes it anew):\n%s", file, cmp.Diff(strings.Split(string(golden), "\n"), strings.Split(written.String(), "\n")))
	}
	read, err := Decode(bytes.NewReader(golden))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), read); diff != "" {
		t.Errorf("there and back (-written +read):\n%s", diff)
	}
}

// TestSampleAddsUp holds the sample to what the type promises.
func TestSampleAddsUp(t *testing.T) {
	r := sample()
	if r.Location().String() != "Europe/Berlin" {
		t.Errorf("time zone %s, want Europe/Berlin", r.Location())
	}
	whole := func(what string, a Availability, want time.Duration) {
		if got := a.Up + a.Degraded + a.Down + a.Unknown; got != want {
			t.Errorf("%s: the parts are %v together, want %v", what, got, want)
		}
	}
	for _, target := range r.Targets {
		whole(target.Target, target.Availability, r.Period.Duration())
		for _, l := range target.Locations {
			whole(l.Location, l.Availability, r.Period.Duration())
		}
		var sum Availability
		for _, h := range target.Heat {
			whole(h.Start.String(), h.Availability, time.Hour)
			sum.Up, sum.Degraded, sum.Down, sum.Unknown = sum.Up+h.Up, sum.Degraded+h.Degraded, sum.Down+h.Down, sum.Unknown+h.Unknown
		}
		if sum != target.Availability {
			t.Errorf("%s: the hours are %+v together, and the period %+v", target.Target, sum, target.Availability)
		}
		if target.Latency == nil {
			continue
		}
		for _, p := range target.Latency.Points {
			for _, g := range target.Latency.Gaps {
				if g.overlap(p.Start, p.End) > 0 {
					t.Errorf("the point from %v to %v is in the gap from %v to %v", p.Start, p.End, g.Start, g.End)
				}
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"another version", `{"version": 2}`, "decode report: its version is 2, and this program knows 1"},
		{"no version", `{}`, "decode report: its version is 0, and this program knows 1"},
		{"no JSON", `<html>`, "decode report: invalid character '<' looking for beginning of value"},
		{"cut", `{"version": 1`, "decode report: unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Decode(strings.NewReader(c.in)); err == nil || err.Error() != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

func TestShares(t *testing.T) {
	if _, ok := (Availability{Unknown: time.Hour}).Share(); ok {
		t.Error("of time that is not known there is an availability")
	}
	if got, ok := (Availability{Up: 2, Degraded: 1, Down: 1, Unknown: 9}).Share(); !ok || got != .75 {
		t.Errorf("availability %v, %v, want 0.75", got, ok)
	}
	if _, ok := (Runs{Skipped: 3}).Reachability(); ok {
		t.Error("of skipped runs there is a reachability")
	}
	if got, ok := (Runs{Success: 3, Failures: map[string]int64{"ca": 1}, Skipped: 7}).Reachability(); !ok || got != .75 {
		t.Errorf("reachability %v, %v, want 0.75", got, ok)
	}
}

func TestChange(t *testing.T) {
	of := func(value, low, high time.Duration) Quantile { return Quantile{value, low, high} }
	for _, c := range []struct {
		name        string
		now, before Quantile
		ratio       float64
		sure, ok    bool
	}{
		{"twice as long", of(20, 19, 21), of(10, 9, 11), 1, true, true},
		{"half as long, buckets that touch", of(5, 4, 9), of(10, 9, 11), -.5, true, true},
		{"the same bucket", of(12, 10, 25), of(10, 10, 25), .2, false, true},
		{"now beyond the last bucket", of(90, 90, 0), of(10, 9, 11), 0, false, false},
		{"before beyond the last bucket", of(10, 9, 11), of(90, 90, 0), 0, false, false},
		{"nothing before", of(10, 9, 11), Quantile{}, 0, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if ratio, sure, ok := c.now.Change(c.before); ratio != c.ratio || sure != c.sure || ok != c.ok {
				t.Errorf("%v, %v, %v, want %v, %v, %v", ratio, sure, ok, c.ratio, c.sure, c.ok)
			}
		})
	}
}

func TestPeriodName(t *testing.T) {
	week := sample().Period
	if got := week.Name(); got != "2026-W46" {
		t.Errorf("a week is named %q, want 2026-W46", got)
	}
	week.Week = ""
	if got := week.Name(); got != "20261108T230000Z-20261115T230000Z" {
		t.Errorf("another period is named %q", got)
	}
}
