package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/challenge"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/online"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/publish"
	"github.com/acme-exporter/acme_exporter/internal/state"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
	"github.com/acme-exporter/acme_exporter/prober"
)

// directoryTimeout bounds the reading of one directory: as long as that of the
// public CAs which take their time.
const directoryTimeout = 20 * time.Second

// ErrCheckFailed is returned by [CheckConfig] when something is missing or wrong in
// the world; what it is has been printed.
var ErrCheckFailed = errors.New("check failed")

// checkOnline compares a configuration with the world and prints what it finds. It
// returns whether something is missing or wrong.
func checkOnline(ctx context.Context, c Common, file string, cfg *config.Config) (bad bool) {
	client := &dnsclient.Client{Resolvers: cfg.Resolvers}
	w := world{common: c, config: cfg, executor: &executor{book: budget.NewBook(new(store))}, accounts: state.NewAccounts(c.StateDir)}
	counts := map[online.Status]int{}
	online.Check(ctx, online.Options{
		Config:    cfg,
		DNS:       client,
		Records:   publish.New(cfg.Responders, client),
		Open:      w.open,
		Directory: w.directory,
		Account:   w.account,
	}, func(f online.Finding) {
		counts[f.Status]++
		bad = bad || f.Bad()
		printFinding(c.Stdout, f)
	})
	fmt.Fprintf(c.Stdout, "%s: online: %d ok, %d warning, %d missing, %d wrong\n", file,
		counts[online.OK], counts[online.Warning], counts[online.Missing], counts[online.Wrong])
	return bad
}

// printFinding prints one line, and below it the records that belong into a zone.
func printFinding(w io.Writer, f online.Finding) {
	fmt.Fprintf(w, "%-9s%s: %s\n", f.Status, f.Topic, f.Text)
	if len(f.Records) == 0 {
		return
	}
	into := "to be added:"
	if f.Zone != "" {
		into = "into the zone " + f.Zone + ":"
	}
	fmt.Fprintf(w, "%-9s%s\n", "", into)
	for _, record := range f.Records {
		fmt.Fprintf(w, "%-11s%s\n", "", record)
	}
}

// world is how the room online gets at what it asks.
type world struct {
	common   Common
	config   *config.Config
	executor *executor // for its transports
	accounts *state.Accounts
}

// open opens responders.
func (w *world) open(r config.Responders) (online.Responder, error) {
	set := challenge.NewSet(w.common.Logger)
	change, err := set.Prepare(r)
	if err != nil {
		return nil, err
	}
	change.Commit()
	return set, nil
}

// directory runs the prober directory, so that trust, guard and texts are those of
// a probe.
func (w *world) directory(ctx context.Context, target string, protocol config.IPProtocol) online.Reading {
	ctx, cancel := context.WithTimeout(ctx, directoryTimeout)
	defer cancel()
	pair := config.Pair{
		Pair:   probe.Pair{Target: target, Module: string(probe.ProberDirectory)},
		Target: w.config.Targets[target],
		Module: &config.Module{Prober: probe.ProberDirectory, IPProtocol: protocol},
	}
	transport, err := w.executor.newTransport(pair)
	if err != nil {
		return online.Reading{Verdict: probe.Verdict{Outcome: probe.OutcomeFailure, Summary: err.Error()}}
	}
	defer transport.Close()
	start := time.Now()
	session := transport.Session(start)
	defer session.Close()
	facts := prober.Run(ctx, prober.Request{ID: probe.NewID(start), Start: start, Pair: pair, HTTP: session})
	return online.Reading{
		Directory: facts.Directory,
		Verdict:   verdict.Judge(&facts, verdict.Context{Prober: probe.ProberDirectory}),
	}
}

// account returns the URL of a target's account, empty if there is none in use.
func (w *world) account(target string) string {
	kept, err := targetAccounts{w.accounts, target, ""}.Read()
	if err != nil {
		w.common.Logger.Warn("The account cannot be read", "target", target, "err", err)
		return ""
	}
	if kept.Record.DirectoryURL != w.config.Targets[target].DirectoryURL || kept.Record.Status != "" {
		return "" // another CA's, or given up
	}
	return kept.Record.AccountURL
}
