package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/challenge"
	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/metrics"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/runner"
	"github.com/acme-exporter/acme_exporter/internal/state"
	"github.com/acme-exporter/acme_exporter/internal/web"
)

// cleanUpTime is what closing our own listeners may take after the runs ended.
const cleanUpTime = 5 * time.Second

// ServeOptions are the flags of the command serve.
type ServeOptions struct {
	Web                *toolkit.FlagConfig
	ExternalURL        string        // where readers of the feed find the pages; empty: where they ask
	EnableRun          bool          // runs may be started from the pages, by who has shown who they are
	TimeoutOffset      time.Duration // taken off a scrape's timeout
	GracePeriod        time.Duration // for runs in flight at the end; 0: they are cut at once
	AutoReload         bool
	AutoReloadInterval time.Duration // greater than 0
	Histograms         string        // "classic", "native" or "both"
}

func (o ServeOptions) validate() error {
	switch {
	case o.TimeoutOffset < 0:
		return usageError{fmt.Errorf("--timeout-offset=%s: must not be negative", o.TimeoutOffset)}
	case !isWebURL(o.ExternalURL):
		return usageError{fmt.Errorf("--web.external-url=%s: want a URL such as https://acme.example.org/exporter, without query and fragment", o.ExternalURL)}
	case o.EnableRun && *o.Web.WebConfigFile == "":
		return usageError{errors.New("--web.enable-run: only for those who show who they are: add --web.config.file with basic_auth_users, or with client certificates")}
	case o.GracePeriod < 0:
		return usageError{fmt.Errorf("--shutdown.grace-period=%s: must not be negative", o.GracePeriod)}
	case o.AutoReload && o.AutoReloadInterval <= 0:
		return usageError{fmt.Errorf("--config.auto-reload-interval=%s: must be greater than 0", o.AutoReloadInterval)}
	case !slices.Contains([]string{metrics.Classic, metrics.Native, metrics.Both}, o.Histograms):
		return usageError{fmt.Errorf("--metrics.histograms=%s: must be one of classic, native, both", o.Histograms)}
	}
	return nil
}

// isWebURL reports whether pages can be at raw, which may be empty.
func isWebURL(raw string) bool {
	u, err := url.Parse(raw)
	return raw == "" || err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// exporter is a running serve command.
type exporter struct {
	common     Common
	logger     *slog.Logger
	store      *store
	responders *challenge.Set
	executor   *executor
	runner     *runner.Runner
	incidents  *incidents
	metrics    *metrics.Metrics
	counts     *counts
	directory  *directories
	ready      atomic.Bool
	config     atomic.Pointer[config.Config] // in force

	file *reloader // brings the configuration file into force
}

// Serve runs the exporter until ctx ends, then stops it in order: no new
// triggers, runs end within the grace period, responders, pages, state.
func Serve(ctx context.Context, common Common, o ServeOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	// Validated here, because the toolkit would only say so after we listen.
	if err := toolkit.Validate(*o.Web.WebConfigFile); err != nil {
		return usageError{fmt.Errorf("--web.config.file=%s: %w", *o.Web.WebConfigFile, err)}
	}
	common.Logger.Info("Starting acme_exporter", "version", version.Info(), "build_context", version.BuildContext())

	responders := challenge.NewSet(common.Logger)
	kept := &store{dir: common.StateDir}
	e := &exporter{
		common:     common,
		logger:     common.Logger,
		store:      kept,
		responders: responders,
		executor: &executor{
			accounts: state.NewAccounts(common.StateDir), responders: responders, book: budget.NewBook(kept),
			issued: newIssued(kept, common.Logger), lists: newLists(kept, common.Logger), revoked: newRevocations(kept, common.Logger),
		},
		incidents: newIncidents(incident.New(incident.Options{Store: kept, Logger: common.Logger})),
	}
	e.file = &reloader{file: common.ConfigFile, load: e.load}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m, err := metrics.New(registry, metrics.Options{Histograms: o.Histograms, Budget: e, Incidents: e.incidents, Revocations: e})
	if err != nil {
		return err
	}
	e.metrics = m
	e.counts = newCounts(kept, common.Logger, m.RestoreCounts)
	e.counts.showMissing = m.RestoreMissing
	e.directory = newDirectories(kept, common.Logger, m.RestoreDirectory)
	e.executor.directory = e.directory
	if o.GracePeriod == 0 {
		o.GracePeriod = -1 // which the runner takes for none; 0 is its default
	}
	host, _ := os.Hostname() // without one, all that have none tick at the same moment
	e.runner = runner.New(runner.Options{
		Seed:        host,
		Logger:      common.Logger,
		Execute:     e.executor.execute,
		Controls:    e.executor.askControls,
		Store:       e.store,
		Incidents:   e.incidents.judge,
		Observers:   []runner.Observer{e.incidents, m, e.counts, e.directory, e.executor.revoked, logObserver{common.Logger}},
		GracePeriod: o.GracePeriod,
	})
	handler := web.New(web.Options{
		Logger:        common.Logger,
		Runner:        e.runner,
		Metrics:       promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry, ErrorLog: slog.NewLogLogger(common.Logger.Handler(), slog.LevelError)}),
		Probe:         metrics.Probe,
		Config:        func() []byte { return e.config.Load().Redacted() },
		Incidents:     e.incidents.Tracker,
		ExternalURL:   strings.TrimSuffix(o.ExternalURL, "/"),
		MayRun:        mayRun(o.EnableRun, *o.Web.WebConfigFile),
		Budget:        func() []probe.Budget { return e.Budgets(time.Now()) },
		LedgerProblem: e.ledgerProblem,
		Ready:         e.ready.Load,
		Reload:        e.reload,
		TimeoutOffset: o.TimeoutOffset,
		Version:       versionOrDevel(),

		DirectoryChanges: e.directory.recent,
		LastRevocation:   e.executor.revoked.Last,
	})
	return e.run(ctx, handler, o)
}

// run starts everything, waits for ctx and stops everything.
func (e *exporter) run(ctx context.Context, handler http.Handler, o ServeOptions) (err error) {
	// Whoever asks for a reload while we start or stop must not end the process.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	defer func() { err = errors.Join(err, e.store.close()) }()
	defer e.closeResponders(ctx)
	if err := e.start(); err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	var running sync.WaitGroup
	failed := make(chan error, 1)
	running.Go(func() {
		// Without its pages the exporter is of no use: let everything else stop.
		defer cancel()
		if err := toolkit.ListenAndServe(server, o.Web, e.logger); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("web: %w: choose another --web.listen-address, or stop what listens there", err)
		}
	})
	running.Go(func() { e.watch(ctx, hangup, o) })
	e.ready.Store(true)
	context.AfterFunc(ctx, func() { e.ready.Store(false) })
	// The runner returns when ctx has ended and its runs have too.
	err = e.runner.Run(ctx)
	cancel()

	e.closeResponders(ctx)
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer done()
	if cut := server.Shutdown(closing); cut != nil {
		// Who reads too slowly does not make a failure of our end.
		e.logger.Warn("Requests were cut", "err", cut)
		_ = server.Close() // it has nothing to add
	}
	running.Wait()
	select {
	case webErr := <-failed:
		err = errors.Join(webErr, err)
	default:
	}
	e.logger.Info("Stopped")
	return err
}

// closeResponders closes the listeners for the CA's validators; nothing happens
// the second time. Strangers that hold a connection open are cut.
func (e *exporter) closeResponders(ctx context.Context) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	if cut := e.responders.Close(closing); cut != nil {
		e.logger.Warn("Connections to the responders were cut", "err", cut)
	}
}

// apply builds everything that can fail, then swaps.
func (e *exporter) apply(cfg *config.Config) error {
	made, err := e.executor.prepare(cfg)
	if err != nil {
		return err
	}
	changed, err := e.store.ensure(cfg)
	if err != nil {
		return err
	}
	if changed || e.config.Load() == nil {
		if err := e.restore(); err != nil {
			return err
		}
	}
	change, err := e.responders.Prepare(cfg.Responders)
	if err != nil {
		return err
	}
	change.Commit()
	e.executor.swap(made)
	for _, w := range made.logs.Warnings(cfg, time.Now()) {
		e.logger.Warn("The list of CT logs is too old", "err", w)
	}
	if err := e.executor.book.Apply(time.Now(), cfg.Pairs()); err != nil {
		e.logger.Warn("Names of pools that are gone stay in the store", "err", err)
	}
	e.incidents.SetRules(rules(cfg.Incidents))
	e.runner.Apply(cfg.Pairs()) // which tells the observers
	e.config.Store(cfg)
	return nil
}

// restore takes up what the store has. What is damaged of it stops nobody: what
// spends is denied without a ledger, and everything else goes on.
func (e *exporter) restore() error {
	_ = e.executor.book.Load(time.Now()) // the ledger's problem from then on
	if err := e.ledgerProblem(); err != nil {
		e.logger.Error("Runs that spend the CAs' rate limits are denied; the others go on", "err", err)
	}
	if e.store.damaged() != nil {
		return nil
	}
	return errors.Join(e.incidents.Tracker.Restore(), e.counts.restore(), e.directory.restore(), e.executor.lists.restore(), e.runner.Restore())
}

// ledgerProblem says why nothing that is limited is allowed; nil: it is.
func (e *exporter) ledgerProblem() error {
	return cmp.Or(e.store.damaged(), e.executor.book.Problem())
}

// Budgets implements metrics.Budget.
func (e *exporter) Budgets(now time.Time) []probe.Budget {
	cfg := e.config.Load()
	if cfg == nil {
		return nil // not yet
	}
	return e.executor.book.Budgets(now, cfg.Pairs())
}

// OK implements metrics.Budget.
func (e *exporter) OK() bool { return e.executor.book.OK() }

// Pending implements metrics.Revocations.
func (e *exporter) Pending() []probe.FollowUp {
	return append(e.runner.Open(probe.FollowUpRevoke), e.runner.Open(probe.FollowUpWatchRevocation)...)
}
