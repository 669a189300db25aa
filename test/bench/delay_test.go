package bench

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// The path that test/ca answers late, and the header that says by how much.
const (
	delayPath   = "/delay"
	delayHeader = "Injected-Delay"
)

// delays are how long the CA takes. Runs that are many at a time get longer
// ones, as many pairs have longer intervals: the machine is busy with their
// handshakes, not worn out by them.
var delays = []struct {
	parallel, samples int
	most              time.Duration
}{
	{parallel: 1, samples: 1000, most: 40 * time.Millisecond},
	{parallel: 50, samples: 3000, most: 500 * time.Millisecond},
}

// BenchmarkDelay compares the processing time that a run records with the delay
// that the CA, another process, knows to have made, for runs that each open a
// connection of their own, alone and 50 at a time.
func BenchmarkDelay(b *testing.B) {
	ca := parts.StartPebble(b, parts.Ports{}, "-smooth", "-quiet")
	late, err := url.Parse(ca.DirectoryURL)
	if err != nil {
		b.Fatal(err)
	}
	late.Path = delayPath
	transport := newTransport(b, parts.CA{DirectoryURL: late.String(), RootFile: ca.RootFile})
	for _, d := range delays {
		late.RawQuery = "max=" + d.most.String()
		b.Run(fmt.Sprintf("parallel=%d", d.parallel), func(b *testing.B) {
			for b.Loop() {
				errors := measureErrors(b, transport, late.String(), d.parallel, d.samples)
				b.ReportMetric(quantile(errors, 0.50), "ms-p50")
				b.ReportMetric(quantile(errors, 0.99), "ms-p99")
				b.ReportMetric(errors[len(errors)-1], "ms-max")
				b.ReportMetric(0, "ns/op") // it is the delays' sum
			}
		})
	}
}

// measureErrors returns |measured - injected| in milliseconds, sorted.
func measureErrors(tb testing.TB, transport *acmehttp.Transport, url string, parallel, samples int) []float64 {
	tb.Helper()
	var (
		group  sync.WaitGroup
		mu     sync.Mutex // guards errors
		errors []float64
	)
	for range parallel {
		group.Go(func() {
			for range samples / parallel {
				e, err := measureError(tb, transport, url)
				if err != nil {
					tb.Error(err)
					return
				}
				mu.Lock()
				errors = append(errors, e)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(errors) == 0 {
		tb.Fatal("nothing was measured")
	}
	slices.Sort(errors)
	return errors
}

// measureError makes one call and returns the error of its measurement.
func measureError(tb testing.TB, transport *acmehttp.Transport, url string) (float64, error) {
	session := transport.Session(time.Now())
	defer session.Close()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := session.Client().Do(req)
	if err != nil {
		return 0, err
	}
	if err := resp.Body.Close(); err != nil {
		return 0, err
	}
	injected, err := strconv.ParseInt(resp.Header.Get(delayHeader), 10, 64)
	if err != nil {
		return 0, err
	}
	measured := session.Calls()[0].Processing()
	return (measured - time.Duration(injected)).Abs().Seconds() * 1000, nil
}

// quantile of sorted values.
func quantile(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }
