package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/ct"
)

// checkedFiles is what `check config --output json` prints.
type checkedFiles struct {
	Files []checkedFile `json:"files"`
}

// checkedFile is what was found out about one file.
type checkedFile struct {
	File    string `json:"file"`
	OK      bool   `json:"ok"`
	Targets int    `json:"targets"`
	Pairs   int    `json:"pairs"`
	// Mistakes are in the order of the file; what cannot be kept is among them.
	Mistakes []mistake `json:"mistakes,omitempty"`
	// Warnings fail nothing; there are none when the file has other mistakes.
	Warnings []mistake `json:"warnings,omitempty"`
	// Plan is nil when the file has other mistakes.
	Plan *budget.Plan `json:"plan,omitempty"`
}

// mistake is a [config.Error].
type mistake struct {
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Path    string `json:"path,omitempty"`
	Problem string `json:"problem"`
}

// CheckOptions are the arguments of check config.
type CheckOptions struct {
	Files  []string
	Output string // "text" or "json"
	Online bool   // compare what has no mistakes with the world; as text only
}

// CheckConfig loads each file, says what it will spend and how soon faults are
// seen, and reports every mistake in all of them. Online, it also asks name servers,
// CAs and our own responders whether everything is as the file needs it; it creates
// no account and no order.
func CheckConfig(ctx context.Context, c Common, o CheckOptions) error {
	switch {
	case !slices.Contains([]string{"text", "json"}, o.Output):
		return usageError{fmt.Errorf("--output=%s: must be one of text, json", o.Output)}
	case o.Online && o.Output != "text":
		return usageError{fmt.Errorf("--output=%s: what --online finds is printed as text only", o.Output)}
	}
	var checked checkedFiles
	var failed []error
	bad := false
	for _, file := range o.Files {
		cfg, plan, err := loadFile(file)
		one := checkedFile{File: file, OK: err == nil, Plan: plan, Mistakes: mistakes(err)}
		if err != nil {
			failed = append(failed, err)
		}
		if cfg != nil {
			one.Targets, one.Pairs = len(cfg.Targets), len(cfg.Pairs())
			for _, w := range warnings(cfg, time.Now()) {
				one.Warnings = append(one.Warnings, mistakes(w)...)
			}
		}
		checked.Files = append(checked.Files, one)
		if o.Output == "json" {
			continue
		}
		if err := c.printChecked(one); err != nil {
			return err
		}
		if o.Online && one.OK {
			bad = checkOnline(ctx, c, file, cfg) || bad
		}
		if ctx.Err() != nil {
			return fmt.Errorf("check %s: %w", file, context.Cause(ctx))
		}
	}
	if o.Output == "json" {
		enc := json.NewEncoder(c.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(checked); err != nil {
			return err
		}
	}
	switch {
	case len(failed) > 0:
		return usageError{fmt.Errorf("the configuration has mistakes:\n%w", errors.Join(failed...))}
	case bad:
		return ErrCheckFailed
	}
	return nil
}

// printChecked prints what was found out about a file.
func (c Common) printChecked(f checkedFile) error {
	if f.Plan == nil {
		return nil // its mistakes are all there is to say
	}
	verdict := "ok"
	if !f.OK {
		verdict = "cannot be kept"
	}
	fmt.Fprintf(c.Stdout, "%s: %s (targets: %d, pairs: %d)\n", f.File, verdict, f.Targets, f.Pairs)
	if err := f.Plan.Text(c.Stdout); err != nil {
		return err
	}
	for _, w := range f.Warnings {
		fmt.Fprintf(c.Stdout, "%s:%d:%d: warning: %s: %s\n", f.File, w.Line, w.Column, w.Path, w.Problem)
	}
	return nil
}

// warnings are what can be kept, and should not be.
func warnings(cfg *config.Config, now time.Time) []*config.Error {
	list := cfg.Warnings()
	if logs, err := ct.Load(cfg); err == nil {
		list = append(list, logs.Warnings(cfg, now)...)
	}
	return list
}

// loadFile loads a file and plans what it will spend. What cannot be kept is a
// mistake like others; configuration and plan are there then all the same.
func loadFile(file string) (*config.Config, *budget.Plan, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return nil, nil, err
	}
	if _, err := ct.Load(cfg); err != nil {
		return nil, nil, err
	}
	plan := budget.NewPlan(cfg)
	var refused []*config.Error
	for _, t := range plan.Targets {
		for _, r := range t.Refusals {
			refused = append(refused, cfg.Mistake(r.Problem, "targets", t.Target, "probes", r.Module))
		}
	}
	// In the order of the file, as other mistakes are.
	slices.SortStableFunc(refused, func(a, b *config.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	for _, mistake := range refused {
		err = errors.Join(err, mistake)
	}
	return cfg, plan, err
}

// mistakes are those that err joins.
func mistakes(err error) (list []mistake) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			list = append(list, mistakes(one)...)
		}
		return list
	}
	if e, ok := errors.AsType[*config.Error](err); ok {
		return []mistake{{Line: e.Line, Column: e.Column, Path: e.Path, Problem: e.Problem}}
	}
	return nil
}
