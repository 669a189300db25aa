package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/expfmt"
	"golang.org/x/term"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/challenge"
	"github.com/acme-exporter/acme_exporter/internal/metrics"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/runner"
	"github.com/acme-exporter/acme_exporter/internal/state"
	"github.com/acme-exporter/acme_exporter/internal/waterfall"
)

// ProbeOptions are the arguments of the command probe.
type ProbeOptions struct {
	Target, Module string
	Output         string // "text", "json" or "metrics"
}

// Probe runs a configured pair once, now, and prints what happened.
func Probe(ctx context.Context, common Common, o ProbeOptions) (err error) {
	if !slices.Contains([]string{"text", "json", "metrics"}, o.Output) {
		return usageError{fmt.Errorf("--output=%s: must be one of text, json, metrics", o.Output)}
	}
	cfg, err := common.load()
	if err != nil {
		return err
	}
	pair, err := cfg.Lookup(o.Target, o.Module)
	if err != nil {
		return usageError{err}
	}

	// What spends is accounted for in one place: the store has one owner.
	kept := &store{dir: common.StateDir}
	if err := kept.take(pair.Module.Prober); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.close()) }()
	book := budget.NewBook(kept)
	if err := book.Load(time.Now()); err != nil {
		common.Logger.Error("Runs that spend the CAs' rate limits are denied", "err", err)
	}

	var follow followUps
	responders := challenge.NewSet(common.Logger)
	exec := &executor{
		accounts:   state.NewAccounts(common.StateDir),
		responders: responders,
		book:       book,
		issued:     newIssued(kept, common.Logger),
		revoked:    newRevocations(kept, common.Logger),
		progress:   func(s probe.StepName) { fmt.Fprintf(common.Stderr, "%s …\n", s) },
	}
	if exec.inForce, err = exec.prepare(cfg); err != nil {
		return err
	}
	options := runner.Options{
		Logger: common.Logger, Execute: exec.execute, Controls: exec.askControls, Observers: []runner.Observer{&follow, exec.revoked}, GracePeriod: cleanUpTime,
		Store: kept, NoResults: true,
	}
	if pair.Module.Solves() {
		change, err := responders.Prepare(cfg.Responders)
		if err != nil {
			return err
		}
		change.Commit()
		defer func() {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
			defer cancel()
			if cut := responders.Close(closing); cut != nil {
				common.Logger.Warn("Connections to the responders were cut", "err", cut)
			}
		}()
	}
	answer, err := runOnce(ctx, runner.New(options), pair)
	if err != nil {
		return err
	}
	if err := print(common.Stdout, answer, o.Output); err != nil {
		return err
	}
	for _, r := range follow.results {
		fmt.Fprintf(common.Stderr, "follow-up: %s\n", r.Verdict.Summary)
	}
	if !answer.Result.Verdict.Success() {
		return ErrProbeFailed
	}
	return nil
}

// runOnce has r run the pair and what follows it up.
func runOnce(ctx context.Context, r *runner.Runner, pair config.Pair) (probe.Answer, error) {
	pair.Interval = 0 // now, and not on a schedule
	r.Apply([]config.Pair{pair})
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(running) }()
	// The run ends by its own timeout; the trigger waits for that.
	answer, err := r.Trigger(context.WithoutCancel(ctx), pair.Pair, probe.TriggerCommand)
	stop()
	return answer, errors.Join(err, <-ended)
}

// print writes the answer in the format asked for.
func print(w io.Writer, answer probe.Answer, format string) error {
	switch format {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(answer.Result)
	case "metrics":
		families, err := metrics.Probe(answer, time.Now()).Gather()
		if err != nil {
			return err
		}
		for _, family := range families {
			if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
				return err
			}
		}
		return nil
	default:
		return waterfall.Text(w, answer.Result, textOptions(w))
	}
}

// textOptions looks at where the text goes: color and width are a terminal's.
func textOptions(w io.Writer) waterfall.TextOptions {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return waterfall.TextOptions{}
	}
	o := waterfall.TextOptions{Color: os.Getenv("NO_COLOR") == ""}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		o.Width = width
	} else if width, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil {
		o.Width = width
	}
	return o
}

// followUps remembers the runs that followed up the one asked for.
type followUps struct{ results []*probe.Result }

// Observe implements runner.Observer.
func (f *followUps) Observe(r *probe.Result) {
	if r.FollowUp != "" {
		f.results = append(f.results, r)
	}
}

// Restore implements runner.Observer.
func (f *followUps) Restore(*probe.Result) {}

// Schedule implements runner.Observer.
func (f *followUps) Schedule(probe.Pair, time.Time, bool) {}
