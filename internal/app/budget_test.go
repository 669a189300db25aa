package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// production is a configuration of every kind of names, at limits that are shared.
const production = `targets:
  letsencrypt:
    preset: letsencrypt
    account: {agree_to_terms: true}
    probes: {validate: 5m, issue: 30m}
responders:
  dns: {zones: [fra.acme-probe.example], nameserver: ns-fra.acme-probe.example}
modules:
  issue: {issue: {names: {mode: pool, size: 68}}}
`

// spend has the pair spend what a run does, and settles it.
func spend(t *testing.T, book *budget.Book, pair config.Pair, what probe.Spending, names []string, spent func(names []string) probe.Spent) {
	t.Helper()
	purse := book.Purse(pair, false)
	ordered, denied, err := purse.Reserve(what, names)
	if err != nil || denied != nil {
		t.Fatalf("reserve: %+v, %v", denied, err)
	}
	if err := purse.Settle(spent(ordered)); err != nil {
		t.Fatal(err)
	}
}

// issued is what a run that issues has spent.
func issued(names []string) probe.Spent { return probe.Spent{Issued: true, Valid: names} }

// spentAt makes a state directory beside file in which the pairs of production have
// spent something, and returns it.
func spentAt(t *testing.T, file string, pauseOthers bool) string {
	t.Helper()
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(filepath.Dir(file), "data")
	store, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	book := budget.NewBook(store)
	if err := book.Load(time.Now()); err != nil {
		t.Fatal(err)
	}
	issue, _ := cfg.Pair(probe.Pair{Target: "letsencrypt", Module: "issue"})
	validate, _ := cfg.Pair(probe.Pair{Target: "letsencrypt", Module: "validate"})
	all := probe.SpendOrder | probe.SpendValidation | probe.SpendCertificate
	for range 8 {
		spend(t, book, issue, all, nil, issued)
	}
	spend(t, book, issue, all, nil, func(names []string) probe.Spent { return probe.Spent{NoCertificate: true, Valid: names} })
	failed := []string{"w7sqk3yxmbc4ptdzh5ao.fra.acme-probe.example"}
	spend(t, book, validate, probe.SpendOrder|probe.SpendValidation, failed, func([]string) probe.Spent { return probe.Spent{} })
	ledger := budget.NewLedger(store)
	if err := ledger.Load(time.Now()); err != nil {
		t.Fatal(err)
	}
	paused := budget.Request{CA: issue.Target.DirectoryURL, Account: "letsencrypt", Names: []string{"kq2mfz6vaxw4cjt3oyln.fra.acme-probe.example"}}
	// What another account has paused is nothing to this target.
	others := paused
	others.Account = "letsencrypt-2"
	keys := paused.Keys(config.LimitConsecutiveFailures)
	if pauseOthers {
		keys = append(keys, append(others.Keys(config.LimitConsecutiveFailures), others.Keys(config.LimitNewOrders)...)...)
	}
	for _, key := range keys {
		if err := ledger.Pause(time.Now(), key, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDocumentedBudget holds that what docs/rate-limits.md shows of the commands is
// what they print, but for the times.
func TestDocumentedBudget(t *testing.T) {
	file := write(t, production)
	dir := spentAt(t, file, false)
	data, err := os.ReadFile("../../docs/rate-limits.md")
	if err != nil {
		t.Fatal(err)
	}
	at := regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	document := at.ReplaceAllString(string(data), "TIME")
	run := func(o BudgetOptions) {
		var stdout, stderr bytes.Buffer
		if err := Budget(t.Context(), Common{ConfigFile: file, StateDir: dir, Stdout: &stdout, Stderr: &stderr}, o); err != nil {
			t.Fatal(err)
		}
		for _, out := range []string{stderr.String(), stdout.String()} {
			if text := indented(at.ReplaceAllString(out, "TIME")); !strings.Contains(document, text) {
				t.Errorf("not in docs/rate-limits.md:\n%s", indented(out))
			}
		}
	}
	run(BudgetOptions{Operation: BudgetShow, Output: "text"})
	run(BudgetOptions{Operation: BudgetReset, Target: "letsencrypt", Stdin: strings.NewReader("letsencrypt\n")})
}

// indented is how text stands in a document.
func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + line)
	}
	return b.String()
}

// TestBudgetView holds what programs read, and whose share the limits are shown by.
func TestBudgetView(t *testing.T) {
	file := write(t, production)
	dir := spentAt(t, file, true)
	show := func(file string) budgetView {
		t.Helper()
		var stdout bytes.Buffer
		o := BudgetOptions{Operation: BudgetShow, Target: "letsencrypt", Output: "json"}
		if err := Budget(t.Context(), Common{ConfigFile: file, StateDir: dir, Stdout: &stdout}, o); err != nil {
			t.Fatal(err)
		}
		var views budgetViews
		if err := json.Unmarshal(stdout.Bytes(), &views); err != nil || len(views.Targets) != 1 {
			t.Fatalf("%v\n%s", err, stdout.String())
		}
		return views.Targets[0]
	}
	sets := func(v budgetView) probe.Level {
		i := slices.IndexFunc(v.Limits, func(l probe.Level) bool { return l.Limit == string(config.LimitCertificatesPerSet) })
		l := v.Limits[i]
		l.Full = time.Time{}
		return l
	}
	v := show(file)
	if want := (probe.Level{Limit: "certificates_per_set", What: "a set of names", Remaining: 4, Capacity: 5}); sets(v) != want {
		t.Errorf("sets of a pool: %+v, want %+v", sets(v), want)
	}
	if diff := cmp.Diff([]poolView{{"issue", 68, 9, 8}}, v.Pools); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
	if len(v.Paused) != 2 || v.Paused[0].Limit != config.LimitConsecutiveFailures || v.Paused[0].What != "kq2mfz6vaxw4cjt3oyln.fra.acme-probe.example" ||
		!v.Paused[0].Until.IsZero() || v.Paused[1].Limit != config.LimitFailedValidations || v.Paused[1].Until.IsZero() {
		t.Errorf("paused: %+v", v.Paused)
	}

	// Fixed names others may have certificates for as well.
	fixed := write(t, strings.NewReplacer("{mode: pool, size: 68}", "{mode: fixed, list: [x.fra.acme-probe.example, fra.acme-probe.example]}", "30m", "0s").Replace(production))
	cfg, err := config.Load(fixed)
	if err != nil {
		t.Fatal(err)
	}
	store, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	book := budget.NewBook(store)
	pair, _ := cfg.Pair(probe.Pair{Target: "letsencrypt", Module: "issue"})
	if err := book.Load(time.Now()); err != nil {
		t.Fatal(err)
	}
	spend(t, book, pair, probe.SpendOrder|probe.SpendValidation|probe.SpendCertificate, pair.FixedNames(), issued)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if want := (probe.Level{Limit: "certificates_per_set", What: "x.fra.acme-probe.example and 1 more", Remaining: 1, Capacity: 2}); sets(show(fixed)) != want {
		t.Errorf("fixed names: %+v, want %+v", sets(show(fixed)), want)
	}
}

// TestBudgetResetInterrupted holds that who does not answer can leave, and that
// nothing is forgotten then.
func TestBudgetResetInterrupted(t *testing.T) {
	file := write(t, production)
	common := Common{ConfigFile: file, StateDir: spentAt(t, file, false), Stdout: io.Discard, Stderr: io.Discard}
	silent, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Budget(ctx, common, BudgetOptions{Operation: BudgetReset, Target: "letsencrypt", Stdin: silent})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUsage) {
		t.Errorf("Budget() = %v, want that it was canceled", err)
	}
	var stdout bytes.Buffer
	common.Stdout = &stdout
	if err := Budget(t.Context(), common, BudgetOptions{Operation: BudgetReset, Target: "letsencrypt", Confirm: "letsencrypt"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "2 of them paused") {
		t.Errorf("forgotten by the second reset: %s", stdout.String())
	}
}
