package parts

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
)

// ListenAt puts its pages at address. One that is not of the ports that systems give
// to whoever asks for any stays free while nobody listens there.
func (e *Exporter) ListenAt(address string) { e.address, e.URL = address, "http://"+address }

// ServeFor is "acme_exporter serve" as it is shipped, which is sent kill -9 when it
// has run for d, ready or not. It returns what the process has logged. One that ends
// by itself fails the test.
func (e *Exporter) ServeFor(d time.Duration) (log string) {
	e.tb.Helper()
	cmd := e.namespace.Command(plainBinary.build(e.tb), "--config.file="+e.ConfigFile(), "--state.dir="+filepath.Dir(e.State("store.db")),
		"--log.level=debug", "serve", "--web.listen-address="+e.address)
	var written bytes.Buffer
	cmd.Stdout, cmd.Stderr = &written, &written
	p, err := process.Start(cmd)
	if err != nil {
		e.tb.Fatal(err)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.Done():
		e.tb.Fatalf("acme_exporter ended by itself: %v\n%s", p.Err(), written.String())
	case <-timer.C:
	case <-e.tb.Context().Done():
	}
	if err := p.Signal(os.Kill); err != nil {
		e.tb.Fatal(err)
	}
	_ = p.Err() // it was killed
	return written.String()
}

// ScrapeOften asks /probe for each of the pairs, as target/module, again and again
// until stop is called. It minds neither what the answer is nor that there is none.
func (e *Exporter) ScrapeOften(pairs ...string) (stop func()) {
	ctx, cancel := context.WithCancel(e.tb.Context())
	var scraping sync.WaitGroup
	for _, pair := range pairs {
		target, module, _ := strings.Cut(pair, "/")
		url := e.URL + "/probe?target=" + target + "&module=" + module
		scraping.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				_, _ = e.namespace.do(ctx, http.MethodGet, url)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	return func() {
		cancel()
		scraping.Wait()
	}
}
