package app

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/runner"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

var seenBase = probe.Directory{
	Endpoints: []string{"newNonce", "newOrder"}, TermsOfService: "https://ca.example/a",
	Profiles: []string{"classic", "shortlived"}, CAAIdentities: []string{"ca.example"},
}

// TestDirectoryFields holds what of a directory counts as a change, and how it is
// told.
func TestDirectoryFields(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*probe.Directory)
		want   []probe.FieldChange
	}{
		"nothing":           {func(*probe.Directory) {}, nil},
		"order of a list":   {func(d *probe.Directory) { d.Profiles = []string{"shortlived", "classic"} }, nil},
		"a random field":    {func(d *probe.Directory) { d.Endpoints = append(d.Endpoints, "xK3-fTz9") }, nil},
		"the web site":      {func(d *probe.Directory) { d.Website = "https://other.example" }, nil},
		"an endpoint":       {func(d *probe.Directory) { d.Endpoints = []string{"renewalInfo", "newNonce"} }, []probe.FieldChange{{Field: "endpoints", From: "newOrder", To: "renewalInfo"}}},
		"terms":             {func(d *probe.Directory) { d.TermsOfService = "https://ca.example/b?x=y" }, []probe.FieldChange{{Field: "terms_of_service", From: "https://ca.example/a", To: "https://ca.example/b"}}},
		"profiles":          {func(d *probe.Directory) { d.Profiles = nil }, []probe.FieldChange{{Field: "profiles", From: "classic, shortlived"}}},
		"CAA identities":    {func(d *probe.Directory) { d.CAAIdentities = []string{"ca.example", "b.example", "a.example"} }, []probe.FieldChange{{Field: "caa_identities", To: "a.example, b.example"}}},
		"external accounts": {func(d *probe.Directory) { d.ExternalAccountRequired = true }, []probe.FieldChange{{Field: "external_account_required", From: "false", To: "true"}}},
	} {
		t.Run(name, func(t *testing.T) {
			now := seenBase
			now.Endpoints = slices.Clone(now.Endpoints)
			c.change(&now)
			if diff := cmp.Diff(c.want, changed(&seenBase, &now)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestDirectories holds that a change is told once, to the run that sees it first, and
// is known after a restart, during which the CA may change too.
func TestDirectories(t *testing.T) {
	dir := t.TempDir()
	target := &config.Target{DirectoryURL: "https://ca.example/dir", Environment: config.Staging}
	moved := &config.Target{DirectoryURL: "https://ca.example/other", Environment: config.Staging}
	pairs := func(t *config.Target) []config.Pair {
		return []config.Pair{{Pair: probe.Pair{Target: "corp", Module: "directory"}, Target: t}}
	}
	type known struct {
		changes uint64
		last    time.Time
	}
	start := func(in *config.Target) (d *directories, shown *known, stop func()) {
		t.Helper()
		open, err := state.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := &store{dir: dir, open: open}
		shown = new(known)
		d = newDirectories(s, slog.New(slog.DiscardHandler), func(target string, changes uint64, last time.Time) {
			if target != "corp" || *shown != (known{}) {
				t.Errorf("%s is shown, after %v", target, *shown)
			}
			*shown = known{changes, last.UTC()}
		})
		if err := d.restore(); err != nil {
			t.Fatal(err)
		}
		d.Apply(pairs(in))
		d.Apply(pairs(in)) // a reload shows nothing again
		return d, shown, func() {
			if err := s.close(); err != nil {
				t.Error(err)
			}
		}
	}
	began := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	minute := func(n int) time.Time { return began.Add(time.Duration(n) * time.Minute) }
	see := func(d *directories, in *config.Target, at time.Time, terms string) *probe.DirectoryChange {
		seen := seenBase
		seen.TermsOfService = terms
		d.compare(in, "corp", at, &seen)
		return seen.Change
	}

	d, shown, stop := start(target)
	if see(d, target, minute(0), "a") != nil || see(d, target, minute(1), "a") != nil || len(d.recent("corp")) != 0 {
		t.Error("a change, and there was none")
	}
	if c := see(d, target, minute(3), "b"); c == nil || !c.At.Equal(minute(3)) || c.Fields[0].From != "a" || c.Fields[0].To != "b" || !slices.Equal(d.recent("corp"), []*probe.DirectoryChange{c}) {
		t.Errorf("the change: %+v", c)
	}
	if see(d, target, minute(2), "a") != nil || see(d, target, minute(4), "b") != nil {
		t.Error("a run that began before it is a change, or one after it")
	}
	d.compare(target, "corp", minute(5), nil) // no answer
	d.Apply(pairs(target))
	if *shown != (known{}) {
		t.Errorf("shown %v, and the metrics have counted it themselves", *shown)
	}
	stop()

	d, shown, stop = start(target)
	if *shown != (known{1, minute(3)}) || len(d.recent("corp")) != 1 {
		t.Errorf("after a start %v", *shown)
	}
	if c := see(d, target, minute(60), "c"); c == nil || c.Fields[0].From != "b" {
		t.Errorf("while nobody looked: %+v", c)
	}
	stop()

	d, shown, stop = start(target)
	if *shown != (known{2, minute(60)}) {
		t.Errorf("after another start %v", *shown)
	}
	terms := func(from, to string) []probe.FieldChange {
		return []probe.FieldChange{{Field: "terms_of_service", From: from, To: to}}
	}
	if diff := cmp.Diff([]*probe.DirectoryChange{{At: minute(60), Fields: terms("b", "c")}, {At: minute(3), Fields: terms("a", "b")}}, d.recent("corp")); diff != "" {
		t.Errorf("what is known of them after two starts, -want +got:\n%s", diff)
	}
	d.Apply(pairs(moved)) // another CA
	if see(d, moved, minute(61), "z") != nil || len(d.recent("corp")) != 0 {
		t.Error("another CA is taken for a change")
	}
	stop()
	d, shown, stop = start(moved)
	if *shown != (known{}) || see(d, moved, minute(62), "z") != nil || see(d, moved, minute(63), "y") == nil {
		t.Errorf("the other CA after a start: %v", *shown)
	}
	d.Apply(nil)
	d.Keep()
	stop()
	_, shown, stop = start(moved)
	if *shown != (known{}) {
		t.Errorf("of a target that was removed: %v", *shown)
	}
	stop()

	// What a clock in the future has written hides nothing after a restart.
	d, _, stop = start(target)
	see(d, target, time.Now().Add(24*time.Hour), "a")
	stop()
	d, _, stop = start(target)
	if see(d, target, time.Now(), "b") == nil {
		t.Error("a change is hidden until a time that is yet to come")
	}
	stop()
}

// TestManyChanges holds that of a directory that changes all the time the last changes are
// kept, and that what was handed out stays as it was.
func TestManyChanges(t *testing.T) {
	kept := new(store)
	d := newDirectories(kept, slog.New(slog.DiscardHandler), nil)
	target := &config.Target{DirectoryURL: "https://ca.example/dir"}
	began := time.Now()
	see := func(n int) {
		seen := seenBase
		seen.TermsOfService = fmt.Sprint(n)
		d.compare(target, "ca", began.Add(time.Duration(n)*time.Minute), &seen)
	}
	for n := range maxChanges + 5 {
		see(n)
	}
	before := d.recent("ca")
	see(1000)
	after := d.recent("ca")
	if len(before) != maxChanges || len(after) != maxChanges {
		t.Fatalf("%d changes, then %d; want %d", len(before), len(after), maxChanges)
	}
	if got := before[0].Fields[0].To + " " + after[0].Fields[0].To + " " + after[maxChanges-1].Fields[0].To; got != fmt.Sprint(maxChanges+4, " ", 1000, " ", 6) {
		t.Errorf("the newest of each and the oldest: %s", got)
	}
}

// TestDirectoryOfRun holds that the run that sees a change first has it.
func TestDirectoryOfRun(t *testing.T) {
	ca := fakeca.New(t, fakeca.Options{})
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, ca.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(write(t, fmt.Sprintf("targets: {ca: {directory_url: %q, environment: staging, tls_config: {ca_file: %q}, probes: {directory: 0s}}}\n", ca.URL(), root)))
	if err != nil {
		t.Fatal(err)
	}
	kept := new(store)
	e := &executor{book: budget.NewBook(kept), directory: newDirectories(kept, slog.New(slog.DiscardHandler), nil)}
	made, err := e.prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e.swap(made)
	defer e.swap(inForce{})
	run := func() *probe.Directory {
		t.Helper()
		start := time.Now()
		facts := e.execute(t.Context(), runner.Job{ID: probe.NewID(start), Start: start, Pair: cfg.Pairs()[0]})
		if facts.Failure != nil || facts.Directory == nil {
			t.Fatalf("failure %+v, directory %+v", facts.Failure, facts.Directory)
		}
		return facts.Directory
	}
	if d := run(); d.Change != nil {
		t.Errorf("the first one: %+v", d.Change)
	}
	ca.Fault(probe.CallDirectory, fakeca.Fault{Edit: fakeca.Set("renewalInfo", ca.URL()+"/x")}, 0)
	if d := run(); d.Change == nil || d.Change.String() != "endpoints: renewalInfo added" {
		t.Errorf("the change: %+v", d.Change)
	}
	if d := run(); d.Change != nil {
		t.Errorf("afterwards: %+v", d.Change)
	}
}

// TestPageWaitsForNoDisk holds that what the page asks of directories and of the store
// is answered while somebody else is at the disk, and another opens it.
func TestPageWaitsForNoDisk(t *testing.T) {
	kept := &store{dir: t.TempDir()}
	d := newDirectories(kept, slog.New(slog.DiscardHandler), nil)
	target := &config.Target{DirectoryURL: "https://ca.example/dir"}
	seen := seenBase
	d.compare(target, "ca", time.Now(), &seen)

	kept.mu.Lock() // the disk takes its time
	var busy sync.WaitGroup
	busy.Go(func() {
		now := seenBase
		now.TermsOfService = "https://ca.example/b"
		d.compare(target, "ca", time.Now(), &now)
	})
	answered := make(chan error)
	go func() {
		for len(d.recent("ca")) == 0 {
			time.Sleep(time.Millisecond)
		}
		answered <- errors.Join(kept.damaged(), kept.elsewhere())
	}()
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the page waits for the disk")
	}
	kept.mu.Unlock()
	busy.Wait()
}
