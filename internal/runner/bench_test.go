package runner

import (
	"fmt"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
)

// BenchmarkDispatch is what each tick, each trigger and each end of a run costs
// beside the run itself.
func BenchmarkDispatch(b *testing.B) {
	for _, n := range []int{150, 3000} {
		b.Run(fmt.Sprintf("pairs=%d", n), func(b *testing.B) {
			r := New(Options{})
			pairs := make([]config.Pair, n)
			for i := range pairs {
				pairs[i] = configured(named("ca", fmt.Sprint(i)), interval(1000*time.Hour))
			}
			r.Apply(pairs)
			if err := r.begin(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if next, inFlight := r.dispatch(b.Context(), b.Context()); next.IsZero() || inFlight != 0 {
					b.Fatalf("next %v, %d in flight", next, inFlight)
				}
			}
		})
	}
}

func BenchmarkPack(b *testing.B) {
	value := []byte(`"` + incompressible(7000) + `"`)
	b.ReportAllocs()
	for b.Loop() {
		pack(value)
	}
}
