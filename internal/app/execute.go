package app

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/prometheus/common/version"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/challenge"
	"github.com/acme-exporter/acme_exporter/internal/controls"
	"github.com/acme-exporter/acme_exporter/internal/ct"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/publish"
	"github.com/acme-exporter/acme_exporter/internal/runner"
	"github.com/acme-exporter/acme_exporter/internal/state"
	"github.com/acme-exporter/acme_exporter/prober"
)

// projectURL is where a CA's operator finds out who we are.
const projectURL = "https://github.com/acme-exporter/acme_exporter"

// executor turns a job of the runner into a prober's request.
type executor struct {
	accounts   *state.Accounts
	responders *challenge.Set
	book       *budget.Book         // of what the CAs limit
	issued     *lastIssued          // nil: nobody remembers
	revoked    *revocations         // when certificates were; nil: none ever is
	lists      *latestLists         // nil: nobody remembers
	directory  *directories         // nil: nobody compares
	progress   func(probe.StepName) // told of the steps of runs, not of follow-ups; nil: nobody watches

	mu      sync.Mutex // guards the field below
	inForce inForce
}

// inForce is what a configuration gives to its runs. One in flight keeps what it
// began with.
type inForce struct {
	config     *config.Config
	transports transports
	records    *publish.Publisher
	controls   *controls.Asker
	logs       *ct.Logs
}

// transports has one for each pair and configuration of it, so that runs of a
// pair can share connections where its module says so.
type transports map[transportKey]*acmehttp.Transport

type transportKey struct {
	pair probe.Pair
	hash string
}

// prepare makes what the runs of cfg need, with a transport for every pair; it
// opens nothing.
func (e *executor) prepare(cfg *config.Config) (inForce, error) {
	logs, err := ct.Load(cfg)
	if err != nil {
		return inForce{}, err
	}
	made := inForce{
		config:     cfg,
		transports: transports{},
		records:    publish.New(cfg.Responders, &dnsclient.Client{Resolvers: cfg.Resolvers}),
		controls:   controls.New(controls.Options{Config: cfg, UserAgent: ourselves()}),
		logs:       logs,
	}
	for _, pair := range cfg.Pairs() {
		t, err := e.newTransport(pair)
		if err != nil {
			return inForce{}, err
		}
		made.transports[transportKey{pair.Pair, pair.Hash}] = t
	}
	return made, nil
}

func (e *executor) newTransport(pair config.Pair) (*acmehttp.Transport, error) {
	secure := pair.Target.TLS
	if pair.Module.Prober == probe.ProberStatusPage {
		secure = pair.Target.StatusPageTLS
	}
	tlsConfig, err := secure()
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", pair.Pair.Target, err)
	}
	family := probe.Family("")
	switch pair.Module.IPProtocol {
	case config.IP4:
		family = probe.IPv4
	case config.IP6:
		family = probe.IPv6
	}
	t, err := acmehttp.NewTransport(acmehttp.Options{
		DirectoryURL:       pair.Target.DirectoryURL,
		UserAgent:          userAgent(pair.Target),
		TLSConfig:          tlsConfig,
		Proxy:              pair.Target.Proxy(),
		ProxyConnectHeader: pair.Target.ProxyConfig.GetProxyConnectHeader(),
		Family:             family,
		AllowNetworks:      pair.Target.AllowNetworks,
		Reuse:              pair.Module.Connection == config.ConnectionReuse,
		Pace:               e.book.Pacer(pair.Target).Wait,
	})
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", pair.Pair.Target, err)
	}
	return t, nil
}

// userAgent names us and whom to write to (RFC 8555 §6.1).
func userAgent(t *config.Target) string {
	if len(t.Account.Contact) == 0 {
		return ourselves()
	}
	return strings.TrimSuffix(ourselves(), ")") + "; " + t.Account.Contact[0] + ")"
}

// ourselves names us to those who are no CA.
func ourselves() string { return "acme_exporter/" + versionOrDevel() + " (+" + projectURL + ")" }

func versionOrDevel() string {
	if version.Version == "" {
		return "devel"
	}
	return version.Version
}

// swap puts a new configuration into force and closes the old one's idle
// connections; runs in flight keep theirs.
func (e *executor) swap(made inForce) {
	e.mu.Lock()
	old := e.inForce
	e.inForce = made
	e.mu.Unlock()
	for _, t := range old.transports {
		t.Close()
	}
}

// now returns what is in force, with the pair's transport. A follow-up of a pair
// that has left the configuration meanwhile gets one of its own, to be closed by
// release.
func (e *executor) now(pair config.Pair) (f inForce, t *acmehttp.Transport, release func(), err error) {
	e.mu.Lock()
	f = e.inForce
	e.mu.Unlock()
	if t = f.transports[transportKey{pair.Pair, pair.Hash}]; t != nil {
		return f, t, func() {}, nil
	}
	if t, err = e.newTransport(pair); err != nil {
		return f, nil, nil, err
	}
	return f, t, t.Close, nil
}

// issuedBy is what is remembered of a target's certificates.
func (e *executor) issuedBy(pair config.Pair) prober.Issued {
	if e.issued == nil {
		return nil
	}
	return e.issued.of(pair.Pair.Target, pair.Target.DirectoryURL)
}

// revocationsOf say when it is the turn of a pair's certificate to be revoked.
func (e *executor) revocationsOf(p probe.Pair) prober.Revocations {
	if e.revoked == nil {
		return nil
	}
	return e.revoked.of(p)
}

// listsOf is what is remembered of the target's revocation lists.
func (e *executor) listsOf(pair config.Pair) prober.Lists {
	if e.lists == nil {
		return nil
	}
	return e.lists.of(pair.Pair.Target)
}

// lookup asks the world for what a target's validators have to find; nil: nobody
// of those that we may ask sees it.
func (f *inForce) lookup(t *config.Target) func(context.Context, probe.Challenge) []probe.Lookup {
	resolvers := f.config.ResolversFor(t)
	if len(resolvers) == 0 {
		return nil
	}
	return func(ctx context.Context, c probe.Challenge) []probe.Lookup {
		return controls.Lookup(ctx, resolvers, c)
	}
}

// askControls is the runner's Options.Controls.
func (e *executor) askControls(ctx context.Context, target string) []probe.Control {
	e.mu.Lock()
	asker := e.inForce.controls
	e.mu.Unlock()
	return asker.Ask(ctx, target)
}

// execute is the runner's Options.Execute.
func (e *executor) execute(ctx context.Context, job runner.Job) probe.Facts {
	f, t, release, err := e.now(job.Pair)
	if err != nil {
		return probe.Facts{Failure: &probe.Failure{
			Step: probe.StepSetup, Kind: probe.FailureLocal, Call: -1, Detail: err.Error(),
		}}
	}
	defer release()
	session := t.Session(job.Start)
	defer session.Close()
	progress := e.progress
	if job.FollowUp != nil {
		progress = nil // not what was asked for
	}
	facts := prober.Run(ctx, prober.Request{
		ID:         job.ID,
		Start:      job.Start,
		Pair:       job.Pair,
		FollowUp:   job.FollowUp,
		HTTP:       session,
		Accounts:   targetAccounts{e.accounts, job.Pair.Pair.Target, job.Pair.Target.Account.KeyType},
		Solver:     e.responders,
		FollowUps:  job.FollowUps,
		Budget:     e.book.Purse(job.Pair, job.Trigger == probe.TriggerConfirm),
		Lookup:     f.lookup(job.Pair.Target),
		Issued:     e.issuedBy(job.Pair),
		Lists:      e.listsOf(job.Pair),
		Responders: f.config.Responders,
		Records:    f.records,
		Logs:       f.logs,
		Progress:   progress,

		Revocations: e.revocationsOf(job.Pair.Pair),
	})
	e.directory.compare(job.Pair.Target, job.Pair.Pair.Target, job.Start, facts.Directory)
	return facts
}
