package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/prober"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

func TestMain(m *testing.M) { os.Exit(parts.Main(m)) }

const (
	rounds  = 15 // of each side, interleaved
	workers = 8  // issuances at a time, since most of an issuance is waiting
	each    = 10 // issuances of a worker in a round
)

// BenchmarkIssuance compares the CPU time of an issuance by the prober with
// that of the same nine requests written by hand. Both use a connection of
// their own for each issuance, make a key and a certificate request, and wait
// as long between polls. The CA is another process that takes every challenge
// for solved, so that no responder's work is in the figures.
func BenchmarkIssuance(b *testing.B) {
	ca := parts.StartPebble(b, parts.Ports{}, "-smooth", "-always-valid", "-quiet")
	client := newReference(b, ca.CA)
	issue := newProber(b, ca.CA, client)
	for b.Loop() {
		var ours, theirs, ratios []float64
		var ourCalls, theirCalls int
		measure(b, func() int { return byHand(b, client) }) // warm both up
		measure(b, issue)
		for range rounds {
			reference, calls := measure(b, func() int { return byHand(b, client) })
			theirs, theirCalls = append(theirs, reference), theirCalls+calls
			cpu, calls := measure(b, issue)
			ours, ourCalls = append(ours, cpu), ourCalls+calls
			// Of neighbors, since the machine's speed drifts by more than they differ.
			ratios = append(ratios, cpu/reference)
		}
		const issuances = rounds * workers * each
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(median(ours), "ms-CPU/issuance")
		b.ReportMetric(median(theirs), "ms-CPU/reference")
		b.ReportMetric(float64(ourCalls)/issuances, "calls/issuance")
		b.ReportMetric(float64(theirCalls)/issuances, "calls/reference")
		b.ReportMetric(0, "ns/op") // the time that it takes is Pebble's and the polls'
	}
}

// measure has every worker do its issuances, which return how many calls they
// made, and returns the CPU time of one, in milliseconds, and the sum of calls.
func measure(tb testing.TB, issue func() int) (float64, int) {
	tb.Helper()
	runtime.GC()
	before := cpuTime(tb)
	var group sync.WaitGroup
	calls := make([]int, workers)
	for worker := range workers {
		group.Go(func() {
			for range each {
				calls[worker] += issue()
			}
		})
	}
	group.Wait()
	took := cpuTime(tb) - before
	sum := 0
	for _, n := range calls {
		sum += n
	}
	return took.Seconds() * 1000 / (workers * each), sum
}

// cpuTime is what this process has had of the CPUs.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// median returns the middle one of an odd number of values.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// newReference returns a reference client with an account.
func newReference(tb testing.TB, ca parts.CA) *reference {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	client := &reference{directoryURL: ca.DirectoryURL, key: key, tls: trust(tb, ca)}
	if err := client.register(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return client
}

// trust is the TLS configuration that trusts the CA's API.
func trust(tb testing.TB, ca parts.CA) *tls.Config {
	tb.Helper()
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(ca.RootFile)
	if err != nil {
		tb.Fatal(err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		tb.Fatalf("%s holds no certificate", ca.RootFile)
	}
	return &tls.Config{RootCAs: roots}
}

// byHand is one issuance by the reference. It returns the number of calls.
func byHand(tb testing.TB, client *reference) int {
	c := *client // what belongs to one issuance is the copy's
	name := strings.ToLower(rand.Text()) + ".acme-probe.example"
	certificate, err := c.issue(tb.Context(), name, "http-01")
	if err != nil || len(certificate) == 0 {
		tb.Errorf("issue by hand: %v (%d bytes)", err, len(certificate))
	}
	return c.calls
}

// newProber returns one issuance of one name by the prober, with the reference's
// account, as the runner would have it done. It returns the number of calls.
func newProber(tb testing.TB, ca parts.CA, client *reference) func() int {
	tb.Helper()
	return newRun(tb, ca, client, newPair(tb, ca, "issue"), nobody{})
}

// newRun returns one run of the pair, whose challenges solver answers.
func newRun(tb testing.TB, ca parts.CA, client *reference, pair config.Pair, solver prober.Solver) func() int {
	tb.Helper()
	transport := newTransport(tb, ca)
	account := newAccount(ca, client, pair)
	return func() int {
		start := time.Now()
		session := transport.Session(start)
		defer session.Close()
		facts := prober.Run(tb.Context(), prober.Request{
			ID:        probe.NewID(start),
			Start:     start,
			Pair:      pair,
			HTTP:      session,
			Accounts:  account,
			Solver:    solver,
			FollowUps: nobody{},
		})
		if facts.Failure != nil || facts.Certificate == nil {
			tb.Errorf("issue: %+v", facts.Failure)
		}
		return len(facts.Calls)
	}
}

// newAccount returns the reference's account.
func newAccount(ca parts.CA, client *reference, pair config.Pair) fixedAccount {
	return fixedAccount{prober.Account{Key: client.key, Record: prober.AccountRecord{
		DirectoryURL: ca.DirectoryURL, AccountURL: client.kid, Contact: pair.Target.Account.Contact,
	}}}
}

func newTransport(tb testing.TB, ca parts.CA) *acmehttp.Transport {
	tb.Helper()
	transport, err := acmehttp.NewTransport(acmehttp.Options{
		DirectoryURL: ca.DirectoryURL,
		UserAgent:    "acme_exporter/bench",
		TLSConfig:    trust(tb, ca),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(transport.Close)
	return transport
}

// newPair returns the configured pair of module.
func newPair(tb testing.TB, ca parts.CA, module string) config.Pair {
	tb.Helper()
	text := fmt.Appendf(nil, `
targets:
  ca:
    directory_url: %s
    environment: staging
    tls_config: {ca_file: %s}
    rate_limits: none
    account: {contact: ["mailto:test@acme-probe.example"], agree_to_terms: true}
    probes: {%s: 0s}
responders:
  http: {listen_address: "127.0.0.1:1"}
  dns: {listen_address: "127.0.0.1:2", zones: [acme-probe.example], nameserver: ns.acme-probe.example, addresses: [127.0.0.1]}
modules:
  issue: {prober: issue, timeout: 60s, issue: {challenge: http-01}}
`, ca.DirectoryURL, ca.RootFile, module)
	parsed, err := config.Parse("bench.yml", text)
	if err != nil {
		tb.Fatal(err)
	}
	pair, ok := parsed.Pair(probe.Pair{Target: "ca", Module: module})
	if !ok {
		tb.Fatalf("pair of module %q is not configured", module)
	}
	return pair
}

// fixedAccount is an account that exists.
type fixedAccount struct{ account prober.Account }

func (a fixedAccount) Read() (prober.Account, error) { return a.account, nil }

func (fixedAccount) Change(context.Context, func(context.Context, prober.Account, prober.AccountWriter) error) error {
	return errors.New("the account is fixed")
}

// nobody solves nothing and remembers nothing.
type nobody struct{}

func (nobody) Present(context.Context, probe.Challenge) (func() []probe.Visit, error) {
	return func() []probe.Visit { return nil }, nil
}

func (nobody) Add(probe.FollowUp) error { return nil }

func (nobody) Drop(string) error { return nil }

func (nobody) Note(probe.Revocation) error { return nil }
