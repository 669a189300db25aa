package budget

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// benchLimits are large enough that nothing is denied.
func benchLimits() []config.Limit {
	limits := testLimits()
	for i := range limits {
		limits[i].Count, limits[i].Period = 1<<30, 1<<30*time.Second
	}
	return limits
}

// BenchmarkDecide is the decision about one bucket, nothing else.
func BenchmarkDecide(b *testing.B) {
	bucket, err := NewBucket(config.Limit{Name: config.LimitNewOrders, Count: 300, Period: 3 * time.Hour}, 1)
	if err != nil {
		b.Fatal(err)
	}
	now, tat := begin.UnixNano(), int64(0)
	for b.Loop() {
		now += int64(time.Second)
		tat = bucket.decide(bucket.hold(tat, now, 1), now, 1, bucket.Kept).tat
	}
}

// BenchmarkCheck is the decision about a run, for all limits, from its names on.
func BenchmarkCheck(b *testing.B) {
	l := load(b, newDisk(), begin)
	r := issuance("name.acme-probe.example")
	reserve(b, l, begin, r)
	for b.Loop() {
		if d, err := l.Check(begin, r); d != nil || err != nil {
			b.Fatal(d, err)
		}
	}
}

// BenchmarkReserve is a decision that is durable when it returns, with as many
// names, in a ledger of 10,000 keys. Settling is not measured: no run waits for it.
func BenchmarkReserve(b *testing.B) {
	for _, names := range []int{1, 100} {
		b.Run(fmt.Sprintf("names=%d", names), func(b *testing.B) {
			store, err := state.Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			l := load(b, store, begin)
			fill(b, l, 10_000)
			now := begin
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				r := issuance()
				r.Limits = benchLimits()
				for n := range names {
					r.Names = append(r.Names, fmt.Sprintf("name%d-%d.acme-probe.example", i, n))
				}
				now = now.Add(time.Second)
				start := time.Now()
				res := reserve(b, l, now, r)
				took = append(took, time.Since(start))
				b.StopTimer()
				settle(b, l, now, res, probe.Spent{Valid: r.Names, Issued: true})
				b.StartTimer()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2])/1e6, "ms-p50")
			b.ReportMetric(float64(took[len(took)*99/100])/1e6, "ms-p99")
		})
	}
}

// BenchmarkKeys is what 10,000 keys take of memory, and of the disk.
func BenchmarkKeys(b *testing.B) {
	const keys = 10_000
	for b.Loop() {
		dir := b.TempDir()
		store, err := state.Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		fill(b, load(b, store, begin), keys)
		before := heap()
		l := load(b, store, begin)
		memory := heap() - before
		b.ReportMetric(float64(memory)/(1<<20), "MiB-memory")
		if len(l.entries) < keys {
			b.Fatalf("%d keys, want %d", len(l.entries), keys)
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "store.db"))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/(1<<20), "MiB-disk")
		b.ReportMetric(0, "ns/op") // most of it is filling the ledger
		runtime.KeepAlive(l)
		if memory > 10<<20 || info.Size() > 10<<20 {
			b.Errorf("%d bytes of memory and %d of the disk, want at most 10 MiB", memory, info.Size())
		}
	}
}

// fill has the ledger know that many keys, a hundred names at a time.
func fill(b *testing.B, l *Ledger, keys int) {
	b.Helper()
	for i := 0; len(l.entries) < keys; i++ {
		r := issuance()
		r.Limits = benchLimits()
		for n := range 100 {
			r.Names = append(r.Names, fmt.Sprintf("a-name-of-usual-length-%d-%d.acme-probe.example", i, n))
		}
		settle(b, l, begin, reserve(b, l, begin, r), probe.Spent{})
	}
}

// heap returns how much memory is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
