package app

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// The budget commands.
const (
	BudgetShow  = "show"
	BudgetReset = "reset"
)

// storeFile is the state directory's store. Where it is missing, no command makes
// one: it would be the command's user's, and the exporter may be another.
const storeFile = "store.db"

// maxAnswer bounds what is read of somebody's answer; names are at most 63 bytes.
const maxAnswer = 1 << 10

// BudgetOptions are the arguments of the budget commands.
type BudgetOptions struct {
	Operation string // BudgetShow or BudgetReset
	Target    string // of show: empty: every target at which a probe orders
	Output    string // of show: "text" or "json"
	// Confirm is, of reset, the target's name once more; empty: it is read from
	// Stdin.
	Confirm string
	Stdin   io.Reader
}

// Budget shows what is left of the CAs' rate limits, or forgets what was spent of
// one's.
func Budget(ctx context.Context, common Common, o BudgetOptions) error {
	if o.Operation == BudgetShow && o.Output != "text" && o.Output != "json" {
		return usageError{fmt.Errorf("--output=%s: must be one of text, json", o.Output)}
	}
	cfg, err := common.load()
	if err != nil {
		return err
	}
	if o.Target != "" && cfg.Targets[o.Target] == nil {
		known := slices.Sorted(maps.Keys(cfg.Targets))
		return usageError{fmt.Errorf("unknown target %q: configured are %s", o.Target, strings.Join(known, ", "))}
	}
	if o.Operation == BudgetReset {
		return resetBudget(ctx, common, cfg, o)
	}
	return showBudget(common, cfg, o)
}

// openSpent opens the store in dir; nil: there is none, so nothing has been spent.
func openSpent(dir string) (*state.Store, error) {
	if _, err := os.Stat(filepath.Join(dir, storeFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return state.Open(dir)
}

func showBudget(common Common, cfg *config.Config, o BudgetOptions) (err error) {
	opened, err := openSpent(common.StateDir)
	switch {
	case errors.Is(err, state.ErrLocked):
		return fmt.Errorf("budget show: look at the running exporter's page instead: %w", err)
	case err != nil:
		return fmt.Errorf("budget show: %w", err)
	}
	if opened != nil {
		defer func() { err = errors.Join(err, opened.Close()) }()
	}
	now := time.Now()
	book := budget.NewBook(&store{open: opened})
	if err := book.Load(now); err != nil {
		return fmt.Errorf("budget show: no run spends a rate limit while this is so: %w", err)
	}
	views := []budgetView{} // none is an empty list in JSON
	for _, name := range slices.Sorted(maps.Keys(cfg.Targets)) {
		pairs := slices.DeleteFunc(cfg.Pairs(), func(p config.Pair) bool {
			return p.Pair.Target != name || !p.Module.Prober.Orders()
		})
		if name == o.Target || o.Target == "" && len(pairs) > 0 {
			views = append(views, newBudgetView(now, name, cfg.Targets[name], pairs, book))
		}
	}
	if o.Output == "json" {
		encoder := json.NewEncoder(common.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(budgetViews{views})
	}
	if opened == nil {
		fmt.Fprintf(common.Stdout, "nothing has been spent: there is no %s in %q\n", storeFile, common.StateDir)
	}
	if len(views) == 0 {
		fmt.Fprintln(common.Stdout, "none of the probes orders anything")
	}
	for i := range views {
		if err := views[i].text(common.Stdout); err != nil {
			return err
		}
	}
	return nil
}

// budgetViews is what budget show prints as JSON.
type budgetViews struct {
	Targets []budgetView `json:"targets"`
}

// budgetView is what budget show shows of a target.
type budgetView struct {
	Target       string             `json:"target"`
	Environment  config.Environment `json:"environment"`
	DirectoryURL string             `json:"directory_url"`
	Orders       bool               `json:"orders"` // whether any of its probes does
	Limits       []probe.Level      `json:"limits"` // empty: none in force, or nothing orders
	Paused       []pausedView       `json:"paused"`
	Pools        []poolView         `json:"pools"`
}

// pausedView is what nothing may be spent from.
type pausedView struct {
	Limit config.LimitName `json:"limit"`
	What  string           `json:"what,omitempty"` // empty: our account or address
	Until time.Time        `json:"until,omitzero"` // zero: until somebody lifts it
}

// poolView is how full a pair's pool is.
type poolView struct {
	Module string `json:"module"`
	Size   int    `json:"size"`   // as configured
	Sets   int    `json:"sets"`   // that there are
	Issued int    `json:"issued"` // of them had a certificate lately
}

// newBudgetView says what is left of the limits of a target, of whose pairs these
// order.
func newBudgetView(now time.Time, name string, target *config.Target, pairs []config.Pair, book *budget.Book) budgetView {
	ca := target.DirectoryURL
	v := budgetView{
		Target: name, Environment: target.Environment, DirectoryURL: ca, Orders: len(pairs) > 0,
		Limits: []probe.Level{}, Paused: []pausedView{}, Pools: []poolView{},
	}
	fixed := fixedSets(ca, pairs)
	for _, b := range book.Budgets(now, pairs) {
		for _, level := range b.Levels {
			level.What, _ = concerns(budget.Key{Limit: config.LimitName(level.Limit), ID: level.What}, name, fixed)
			level.Full = level.Full.UTC().Truncate(time.Second)
			v.Limits = append(v.Limits, level)
		}
	}
	for _, e := range book.Paused(now, ca) {
		if what, ok := concerns(e.Key, name, fixed); ok {
			v.Paused = append(v.Paused, pausedView{e.Key.Limit, what, e.Until.UTC().Truncate(time.Second)})
		}
	}
	for i := range pairs {
		if names := pairs[i].Names(); names != nil && names.Mode == config.NamesPool {
			sets, issued := book.Filled(now, pairs[i])
			v.Pools = append(v.Pools, poolView{pairs[i].Pair.Module, names.Sets, sets, issued})
		}
	}
	return v
}

// fixedSets are the pairs' fixed names by what the ledger knows their sets by.
func fixedSets(ca string, pairs []config.Pair) map[string][]string {
	sets := map[string][]string{}
	for i := range pairs {
		if names := pairs[i].FixedNames(); len(names) > 0 {
			r := budget.Request{CA: ca, Account: pairs[i].Pair.Target, Names: names}
			sets[r.Keys(config.LimitCertificatesPerSet)[0].ID] = names
		}
	}
	return sets
}

// concerns says, for people, what a key is counted by, and whether the target's
// account is concerned.
func concerns(key budget.Key, target string, fixed map[string][]string) (what string, ok bool) {
	switch key.Limit {
	case config.LimitNewOrders:
		return "", key.ID == target
	case config.LimitFailedValidations, config.LimitConsecutiveFailures:
		return strings.CutPrefix(key.ID, target+" ")
	case config.LimitCertificatesPerSet:
		names := fixed[key.ID]
		switch {
		case key.ID == "":
			return "", true
		case len(names) == 0:
			return "a set of names", true // of a pool, or once random: nobody knows it by its digest
		case len(names) == 1:
			return names[0], true
		}
		return fmt.Sprintf("%s and %d more", names[0], len(names)-1), true
	default:
		return key.ID, true
	}
}

func (v *budgetView) text(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "%s (%s) at %s\n", v.Target, v.Environment, v.DirectoryURL)
	switch {
	case len(v.Limits) > 0:
		fmt.Fprintln(out, "  limit\tremaining\tcapacity\tfull at\ttightest")
	case v.Orders:
		fmt.Fprintln(out, "  no rate limits are in force: what is spent is not counted (see rate_limits)")
	default:
		fmt.Fprintln(out, "  none of its probes orders anything")
	}
	for i := range v.Limits {
		l := &v.Limits[i]
		full := "now"
		if !l.Full.IsZero() {
			full = l.Full.Format(time.RFC3339)
		}
		fmt.Fprintf(out, "  %s\t%d\t%d\t%s\t%s\n", l.Limit, l.Remaining, l.Capacity, full, cmp.Or(l.What, "-"))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for _, p := range v.Paused {
		fmt.Fprintf(w, "  paused: %s", p.Limit)
		if p.What != "" {
			fmt.Fprintf(w, " of %s", p.What)
		}
		if p.Until.IsZero() {
			fmt.Fprintf(w, ", until somebody lifts it at the CA; then `acme_exporter budget reset %s`\n", v.Target)
		} else {
			fmt.Fprintf(w, ", until %s\n", p.Until.Format(time.RFC3339))
		}
	}
	for _, p := range v.Pools {
		fmt.Fprintf(w, "  pool of %s: %d of %d sets, %d of them had a certificate lately\n", p.Module, p.Sets, p.Size, p.Issued)
	}
	return nil
}

func resetBudget(ctx context.Context, common Common, cfg *config.Config, o BudgetOptions) (err error) {
	if o.Confirm != "" && o.Confirm != o.Target {
		return usageError{fmt.Errorf("budget reset %s: --confirm=%s is not its name: nothing was changed", o.Target, o.Confirm)}
	}
	store, err := openSpent(common.StateDir)
	switch {
	case errors.Is(err, state.ErrLocked):
		return fmt.Errorf("budget reset %s: stop the exporter first: %w", o.Target, err)
	case err != nil:
		return fmt.Errorf("budget reset %s: %w", o.Target, err)
	case store == nil:
		fmt.Fprintf(common.Stdout, "budget reset %s: nothing has been spent: there is no %s in %q\n", o.Target, storeFile, common.StateDir)
		return nil
	}
	// Held until the end, so that what is forgotten is what was there when it was asked for.
	defer func() { err = errors.Join(err, store.Close()) }()

	ca := cfg.Targets[o.Target].DirectoryURL
	ledger := budget.NewLedger(store)
	now := time.Now()
	known := "all of it, though it cannot be read"
	switch err := ledger.Load(now); {
	case errors.Is(err, budget.ErrUnreadable):
		fmt.Fprintf(common.Stderr, "%v\n", err)
	case err != nil:
		return fmt.Errorf("budget reset %s: %w", o.Target, err)
	default:
		known = fmt.Sprintf("%d entries, %d of them paused", len(ledger.Entries(now, ca)), len(ledger.Paused(now, ca)))
	}
	var sharing []string
	for _, name := range slices.Sorted(maps.Keys(cfg.Targets)) {
		if cfg.Targets[name].DirectoryURL == ca {
			sharing = append(sharing, name)
		}
	}
	what := fmt.Sprintf("what was spent at %s: %s\nIt concerns %s.", ca, known, strings.Join(sharing, ", "))
	if o.Confirm == "" {
		fmt.Fprintf(common.Stderr, "This forgets %s The CA forgets nothing.\nType the target's name (%s) to go on:\n", what, o.Target)
		if err := o.confirmed(ctx); err != nil {
			return err
		}
	}
	switch err := ledger.Reset(time.Now(), ca); {
	case errors.Is(err, budget.ErrUnreadable):
		return fmt.Errorf("budget reset %s: what was spent at %s is forgotten, but that is not all: reset a target of the CA that is named here as well: %w", o.Target, ca, err)
	case err != nil:
		return fmt.Errorf("budget reset %s: %w", o.Target, err)
	}
	fmt.Fprintf(common.Stdout, `budget reset %s: forgotten is %s
The CA forgets nothing: what it has counted goes on counting, and it may refuse what the ledger allows now.
Certificates for the sets of pools count as new: the next one of each spends an order and one of its registered domain.
`, o.Target, what)
	return nil
}

// confirmed returns nil if the next line of Stdin is the target's name.
func (o BudgetOptions) confirmed(ctx context.Context) error {
	answer, err := readLine(ctx, o.Stdin)
	switch {
	case err != nil:
		return fmt.Errorf("budget reset %s: %w: nothing was changed", o.Target, err)
	case answer == "":
		return usageError{fmt.Errorf("budget reset %s: its name was not typed (scripts say --confirm %s): nothing was changed", o.Target, o.Target)}
	case answer != o.Target:
		return usageError{fmt.Errorf("budget reset %s: %q is not its name: nothing was changed", o.Target, answer)}
	}
	return nil
}

// readLine reads one line, without the space around it; empty: there was none.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	lines := make(chan string, 1)
	// A read of a terminal cannot be ended. Where nobody types, it ends with the process.
	go func() {
		line, _ := bufio.NewReader(io.LimitReader(r, maxAnswer)).ReadString('\n')
		lines <- strings.TrimSpace(line)
	}()
	select {
	case line := <-lines:
		return line, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
