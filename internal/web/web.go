// Package web is what people and Prometheus see over HTTP: the metrics, the
// probe endpoint, the pages of targets, runs and incidents, the same as JSON, CSV
// and Atom, and what an orchestrator asks.
//
// It shows what others know, and changes nothing but through the runner's
// trigger and the reload it is given. No parameter of a request becomes a
// request to anybody else.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Runner is what the pages need of the runner.
type Runner interface {
	// Trigger runs the pair or joins its run, and returns when there is an answer
	// or ctx ends; ctx's end does not end the run. An error says that there is no
	// such pair, or that the exporter stops.
	Trigger(ctx context.Context, p probe.Pair, by probe.Trigger) (probe.Answer, error)
	// Status returns every configured pair, sorted.
	Status() []probe.Status
	// History returns the last runs of a pair, newest first and without follow-ups, and
	// behind them failures from before; nil: there is none.
	History(p probe.Pair) []probe.RunSummary
	// Result returns a run that is still kept: one of those of Status and of History.
	Result(id string) (*probe.Result, bool)
}

// Incidents is what the pages need of [incident.Tracker], and its contract.
type Incidents interface {
	State(now time.Time) []probe.TargetState
	Incidents(incident.Filter) []*probe.Incident
	Incident(id string) (*probe.Incident, bool)
}

// Options say what is shown. All but Logger, Incidents, ExternalURL, MayRun, Budget,
// LedgerProblem, TimeoutOffset and Version are needed.
type Options struct {
	Logger *slog.Logger // nil: nothing is logged
	Runner Runner
	// Incidents knows how the targets are and were; nil: the index shows runs alone,
	// and there are no pages, API or feeds of incidents.
	Incidents Incidents
	// ExternalURL is where readers of the feed find the pages, such as
	// https://acme.example/exporter, without a final slash; empty: at the host that
	// the request was sent to.
	ExternalURL string
	// MayRun reports whether a request may start a run with POST /run: it must, only if
	// whoever sent it has shown who they are, and has to look each time, since the file
	// that asks for passwords may change. Nil: nobody may, and there is no such path.
	MayRun  func(*http.Request) bool
	Metrics http.Handler // of /metrics
	// Probe makes the metrics of one answer, as of a time.
	Probe func(probe.Answer, time.Time) prometheus.Gatherer
	// Config returns the configuration in force as YAML, without its secrets.
	Config func() []byte
	// Ready reports whether the exporter can do its work.
	Ready func() bool
	// Reload loads the configuration; its error is shown to whoever asked for it.
	Reload func(context.Context) error
	// Budget returns what is left of the targets' rate limits, as of now: at most one
	// for each target. Nil: nothing is shown of it.
	Budget func() []probe.Budget
	// LedgerProblem says why the ledger of rate limits cannot be used; nil, or an
	// error of nil: it can.
	LedgerProblem func() error
	// DirectoryChanges returns the last changes of a target's directory, newest first;
	// empty: none is known. Nil: nobody knows of any.
	DirectoryChanges func(target string) []*probe.DirectoryChange
	// LastRevocation returns a pair's last revocation; nil: none is known, or nobody
	// knows of any.
	LastRevocation func(p probe.Pair) *probe.LastRevocation
	// TimeoutOffset is taken off a scrape's timeout, so that the answer is there
	// before the scraper gives up.
	TimeoutOffset time.Duration
	Version       string // empty: not shown
}

// server answers requests.
type server struct {
	Options
	started time.Time
}

// New returns the handler of everything that the exporter serves.
func New(o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{Options: o, started: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /runs", s.runs)
	mux.HandleFunc("GET /runs/{id}", s.run)
	mux.HandleFunc("/api/", s.noSuchAPI)
	mux.HandleFunc("/api/v1/runs/{id}", s.api(s.apiRun))
	if s.Incidents != nil {
		mux.HandleFunc("GET /incidents/{id}", s.incident)
		mux.HandleFunc("GET /incidents.csv", s.csv)
		mux.HandleFunc("GET /incidents.atom", s.atom)
		mux.HandleFunc("/api/v1/targets", s.api(s.apiTargets))
		mux.HandleFunc("/api/v1/incidents", s.api(s.apiIncidents))
		mux.HandleFunc("/api/v1/incidents/{id}", s.api(s.apiIncident))
	}
	mux.HandleFunc("GET /probe", s.probe)
	mux.HandleFunc("GET /config", s.config)
	mux.Handle("GET /metrics", o.Metrics)
	mux.HandleFunc("GET /-/healthy", healthy)
	mux.HandleFunc("GET /-/ready", s.ready)
	// A page of somebody else's must not make its reader's browser reload us, or run
	// anything.
	guard := http.NewCrossOriginProtection()
	mux.Handle("POST /-/reload", guard.Handler(http.HandlerFunc(s.reload)))
	if s.MayRun != nil {
		mux.Handle("POST /run", guard.Handler(http.HandlerFunc(s.start)))
	}
	return secure(mux)
}

// policy is the Content-Security-Policy of everything but pages; see
// [server.page].
const policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// secure sets the headers that every answer has. What is shown may quote a CA,
// and is out of date at once.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
