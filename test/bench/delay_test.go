package bench

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

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

// timed is a client of one run.
type timed struct {
	client *http.Client
	// second returns the processing time of the second call, which took wall by
	// the clock of whoever made it.
	second func(wall time.Duration) time.Duration
	close  func()
}

// BenchmarkDelay compares the processing time that a run records with the delay
// that the CA, another process, knows to have made, for runs alone and 50 at a
// time. Each run opens a connection of its own, and its second call is the one
// that counts: the first one's time has the CA's end of the handshake in it,
// which no delay that was injected accounts for. What is left is mostly the time
// that processes take to wake up, so that a clock around the calls of a bare
// net/http client, made in turn with ours, stands beside it.
func BenchmarkDelay(b *testing.B) {
	ca := parts.StartPebble(b, parts.Ports{}, "-smooth", "-quiet")
	late, err := url.Parse(ca.DirectoryURL)
	if err != nil {
		b.Fatal(err)
	}
	late.Path = delayPath
	transport := newTransport(b, parts.CA{DirectoryURL: late.String(), RootFile: ca.RootFile})
	trusted := trust(b, ca.CA)
	clients := map[string]func() timed{
		"": func() timed {
			session := transport.Session(time.Now())
			recorded := func(time.Duration) time.Duration { return session.Calls()[1].Processing() }
			return timed{session.Client(), recorded, session.Close}
		},
		"-reference": func() timed {
			t := &http.Transport{TLSClientConfig: trusted.Clone(), ForceAttemptHTTP2: true}
			return timed{&http.Client{Transport: t}, func(wall time.Duration) time.Duration { return wall }, t.CloseIdleConnections}
		},
	}
	for _, d := range delays {
		late.RawQuery = "max=" + d.most.String()
		b.Run(fmt.Sprintf("parallel=%d", d.parallel), func(b *testing.B) {
			for b.Loop() {
				for who, errors := range measureErrors(b, clients, late.String(), d.parallel, d.samples) {
					b.ReportMetric(quantile(errors, 0.50), "ms-p50"+who)
					b.ReportMetric(quantile(errors, 0.99), "ms-p99"+who)
				}
				b.ReportMetric(0, "ns/op") // it is the delays' sum
			}
		})
	}
}

// measureErrors returns each client's |measured - injected| in milliseconds,
// sorted.
func measureErrors(tb testing.TB, clients map[string]func() timed, url string, parallel, samples int) map[string][]float64 {
	tb.Helper()
	var (
		group  sync.WaitGroup
		mu     sync.Mutex // guards errors
		errors = make(map[string][]float64)
	)
	for range parallel {
		group.Go(func() {
			for range samples / parallel {
				for who, open := range clients {
					e, err := measureError(tb, open(), url)
					if err != nil {
						tb.Error(err)
						return
					}
					mu.Lock()
					errors[who] = append(errors[who], e)
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	for who := range clients {
		if len(errors[who]) == 0 {
			tb.Fatal("nothing was measured")
		}
		slices.Sort(errors[who])
	}
	return errors
}

// measureError makes a run and returns the error of its measurement.
func measureError(tb testing.TB, run timed, url string) (float64, error) {
	defer run.close()
	var injected int64
	var wall time.Duration
	for range 2 {
		req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
		if err != nil {
			return 0, err
		}
		start := time.Now()
		resp, err := run.client.Do(req)
		if err != nil {
			return 0, err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return 0, err
		}
		wall = time.Since(start)
		if err := resp.Body.Close(); err != nil {
			return 0, err
		}
		if injected, err = strconv.ParseInt(resp.Header.Get(delayHeader), 10, 64); err != nil {
			return 0, err
		}
	}
	return (run.second(wall) - time.Duration(injected)).Abs().Seconds() * 1000, nil
}

// quantile of sorted values.
func quantile(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }
