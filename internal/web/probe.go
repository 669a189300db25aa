package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/waterfall"
)

const (
	timeoutHeader  = "X-Prometheus-Scrape-Timeout-Seconds"
	defaultTimeout = 10 * time.Second       // without the header: Prometheus's own default
	minTimeout     = 100 * time.Millisecond // however large the offset is
	maxTimeout     = time.Hour
)

// probe answers a scrape of one pair. What is wrong with the request is 400,
// a pair that is not configured 404, an exporter that stops 503; how the run
// went is in the metrics.
func (s *server) probe(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	pair, debug, err := parseProbe(r.URL.RawQuery)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	timeout, err := scrapeTimeout(r.Header, s.TimeoutOffset)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	statuses := s.Runner.Status()
	status, ok := find(statuses, pair)
	if !ok {
		plain(w, http.StatusNotFound, unknown(statuses, pair))
		return
	}
	if debug {
		s.debug(w, status)
		return
	}
	ctx, cancel := context.WithDeadline(r.Context(), arrived.Add(timeout))
	defer cancel()
	answer, err := s.Runner.Trigger(ctx, pair, probe.TriggerScrape)
	if err != nil {
		// A reload may have come between.
		if statuses := s.Runner.Status(); len(statuses) > 0 {
			if _, ok := find(statuses, pair); !ok {
				plain(w, http.StatusNotFound, unknown(statuses, pair))
				return
			}
		}
		plain(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	promhttp.HandlerFor(s.Probe(answer, time.Now()), promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// parseProbe reads the parameters of /probe: each once, target and module
// needed. Others are left to whoever put them there.
func parseProbe(query string) (pair probe.Pair, debug bool, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return pair, false, fmt.Errorf("query: %w", err)
	}
	for _, name := range []string{"target", "module", "debug"} {
		if n := len(values[name]); n > 1 {
			return pair, false, fmt.Errorf("parameter %q is given %d times", name, n)
		}
	}
	for _, name := range []string{"target", "module"} {
		if values.Get(name) == "" {
			return pair, false, fmt.Errorf("parameter %q is missing", name)
		}
	}
	if values.Has("debug") {
		if debug, err = strconv.ParseBool(values.Get("debug")); err != nil {
			return pair, false, fmt.Errorf("parameter %q is %q: want true or false", "debug", values.Get("debug"))
		}
	}
	return probe.Pair{Target: values.Get("target"), Module: values.Get("module")}, debug, nil
}

// scrapeTimeout returns how long the scraper waits, less offset.
func scrapeTimeout(h http.Header, offset time.Duration) (time.Duration, error) {
	values := h.Values(timeoutHeader)
	if len(values) == 0 {
		return defaultTimeout, nil
	}
	if len(values) > 1 {
		return 0, fmt.Errorf("header %s is given %d times", timeoutHeader, len(values))
	}
	seconds, err := strconv.ParseFloat(values[0], 64)
	if err != nil || math.IsNaN(seconds) || math.IsInf(seconds, 0) || seconds <= 0 {
		return 0, fmt.Errorf("header %s is %q: want a positive number of seconds", timeoutHeader, values[0])
	}
	timeout := maxTimeout
	if seconds < maxTimeout.Seconds() {
		timeout = time.Duration(seconds * float64(time.Second))
	}
	return max(timeout-offset, minTimeout), nil
}

// find returns the status of a configured pair.
func find(statuses []probe.Status, pair probe.Pair) (*probe.Status, bool) {
	i := slices.IndexFunc(statuses, func(s probe.Status) bool { return s.Pair == pair })
	if i < 0 {
		return nil, false
	}
	return &statuses[i], true
}

// unknown says what is not configured, and what is.
func unknown(statuses []probe.Status, pair probe.Pair) string {
	var b strings.Builder
	switch {
	case !slices.ContainsFunc(statuses, func(s probe.Status) bool { return s.Target == pair.Target }):
		fmt.Fprintf(&b, "unknown target %q", pair.Target)
	case !slices.ContainsFunc(statuses, func(s probe.Status) bool { return s.Module == pair.Module }):
		fmt.Fprintf(&b, "unknown module %q", pair.Module)
	default:
		fmt.Fprintf(&b, "module %q is not configured for target %q", pair.Module, pair.Target)
	}
	if len(statuses) == 0 {
		b.WriteString("; nothing is configured")
		return b.String()
	}
	b.WriteString("\nconfigured (target/module):")
	for _, s := range statuses {
		b.WriteString("\n  " + s.String())
	}
	return b.String()
}

// debug shows the pair's last run in full. It never triggers one: a look must
// not spend what a CA limits.
func (s *server) debug(w http.ResponseWriter, status *probe.Status) {
	var b bytes.Buffer
	r := status.Last()
	if r == nil {
		fmt.Fprintf(&b, "%s has not run yet. Nothing was run for this page.\n", status.Pair)
	} else {
		fmt.Fprintf(&b, "The last run of %s. Nothing was run for this page.\n\n", status.Pair)
		if err := waterfall.Text(&b, r, waterfall.TextOptions{Width: 120, URLs: true}); err != nil {
			s.failed(w, err)
			return
		}
	}
	b.WriteString("\nMetrics of this answer:\n\n")
	families, err := s.Probe(probe.Answer{Result: r}, time.Now()).Gather()
	if err != nil {
		s.failed(w, err)
		return
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			s.failed(w, err)
			return
		}
	}
	if r != nil {
		b.WriteString("\nResult:\n\n")
		encoder := json.NewEncoder(&b)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(r); err != nil {
			s.failed(w, err)
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the client has gone: nobody to tell
}

// failed answers for what cannot happen.
func (s *server) failed(w http.ResponseWriter, err error) {
	s.Logger.Error("Answering failed", "err", err)
	plain(w, http.StatusInternalServerError, err.Error())
}
