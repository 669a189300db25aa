package app

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// bucketDirectories has the directory that was seen last of each target, by its name.
const bucketDirectories = "directories"

const (
	// maxChanged bounds what is told of a field that has changed, in bytes.
	maxChanged = 200
	// maxChanges is how many changes of a target's directory are kept. A CA whose
	// servers do not agree makes one with each answer.
	maxChanges = 50
)

// keptDirectory is a target's directory as it was seen last. It is also the stored
// form.
type keptDirectory struct {
	URL         string          `json:"url"`
	Environment string          `json:"environment"`
	Seen        probe.Directory `json:"seen"`
	SeenAt      time.Time       `json:"seen_at"` // not stored anew while nothing changes
	Changes     uint64          `json:"changes"` // ever
	// Recent are the last of them, newest first, at most maxChanges. It is replaced and
	// never written to.
	Recent []*probe.DirectoryChange `json:"recent_changes,omitempty"`
}

// directories notices that a CA's directory has changed, over restarts where there is
// a store. It is an observer only to know which targets there are, and comes after the
// metrics.
type directories struct {
	*behind
	// show has a target's metrics start with what is kept of it.
	show func(target string, changes uint64, last time.Time)

	mu    sync.Mutex                // guards the fields below; never held while something is stored
	kept  map[string]*keptDirectory // by target
	shown map[string]bool           // targets whose metrics say what is kept
}

func newDirectories(s *store, logger *slog.Logger, show func(string, uint64, time.Time)) *directories {
	return &directories{behind: newBehind(s, logger, "what was seen of directories"), show: show, kept: make(map[string]*keptDirectory), shown: make(map[string]bool)}
}

// restore reads what the store has. It must be called before the pairs are applied
// that it is about.
func (d *directories) restore() error {
	return d.store.All(bucketDirectories, func(target string, value []byte) error {
		k := new(keptDirectory)
		if err := json.Unmarshal(value, k); err != nil {
			d.logger.Error("A stored directory is not readable, and taken for none", "target", target, "err", err)
			return nil
		}
		if k.SeenAt.After(time.Now()) {
			k.SeenAt = time.Time{} // by a clock that was wrong: no run would be later
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.kept[target] == nil {
			d.kept[target] = k
		}
		return nil
	})
}

// compare says in seen in what it differs from the one before; nil: nothing was seen.
// Runs of different pairs overlap, so that what an earlier one saw may come later: it
// is ignored.
func (d *directories) compare(t *config.Target, target string, start time.Time, seen *probe.Directory) {
	if d == nil || seen == nil {
		return
	}
	d.take(t, target, start, seen)
	d.Keep()
}

// take is compare, and stores nothing yet.
func (d *directories) take(t *config.Target, target string, start time.Time, seen *probe.Directory) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.kept[target]
	switch {
	case k == nil || k.URL != t.DirectoryURL || k.Environment != string(t.Environment):
		k = &keptDirectory{URL: t.DirectoryURL, Environment: string(t.Environment)}
		d.kept[target], d.shown[target] = k, true
	case start.Before(k.SeenAt):
		return
	default:
		k.SeenAt = start
		fields := changed(&k.Seen, seen)
		if len(fields) == 0 {
			return
		}
		seen.Change = &probe.DirectoryChange{At: start.UTC(), Fields: fields}
		k.Changes++
		k.Recent = slices.Concat([]*probe.DirectoryChange{seen.Change}, k.Recent[:min(len(k.Recent), maxChanges-1)])
	}
	k.Seen, k.SeenAt = *seen, start
	k.Seen.Change = nil
	d.later(state.Change{Bucket: bucketDirectories, Key: target, Value: k})
}

// Apply implements runner.Configured: new targets go on where they were before the
// start. What is kept of removed ones is forgotten, as their series are.
func (d *directories) Apply(pairs []config.Pair) {
	d.mu.Lock()
	defer d.mu.Unlock()
	targets := make(map[string]*config.Target)
	for _, p := range pairs {
		targets[p.Pair.Target] = p.Target
	}
	for name, k := range d.kept {
		t := targets[name]
		switch {
		case t == nil || t.DirectoryURL != k.URL || string(t.Environment) != k.Environment:
			delete(d.kept, name)
			delete(d.shown, name)
			d.later(state.Change{Bucket: bucketDirectories, Key: name})
		case !d.shown[name]:
			d.shown[name] = true
			if len(k.Recent) > 0 {
				d.show(name, k.Changes, k.Recent[0].At)
			}
		}
	}
}

// recent are the last changes of a target's directory, newest first, which nobody may
// change; empty: none is known. It waits for no disk.
func (d *directories) recent(target string) []*probe.DirectoryChange {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := d.kept[target]; k != nil {
		return k.Recent
	}
	return nil
}

// Observe implements runner.Observer.
func (d *directories) Observe(*probe.Result) {}

// Restore implements runner.Observer.
func (d *directories) Restore(*probe.Result) {}

// Schedule implements runner.Observer.
func (d *directories) Schedule(probe.Pair, time.Time, bool) {}

// knownEndpoints are those of RFC 8555 and RFC 9773. Let's Encrypt puts a field of
// random name into every answer, lest clients get used to a fixed set.
var knownEndpoints = []string{"newNonce", "newAccount", "newOrder", "newAuthz", "revokeCert", "keyChange", "renewalInfo"}

// changed lists the fields in which two directories differ. The order of what is in a
// list is no difference, and the website is not looked at.
func changed(before, now *probe.Directory) (list []probe.FieldChange) {
	add := func(field, from, to string) {
		if from != to {
			list = append(list, probe.FieldChange{Field: field, From: acmehttp.Scrub(from, maxChanged), To: acmehttp.Scrub(to, maxChanged)})
		}
	}
	known := func(endpoints []string) []string {
		return slices.DeleteFunc(slices.Clone(endpoints), func(e string) bool { return !slices.Contains(knownEndpoints, e) })
	}
	add("endpoints", without(known(before.Endpoints), known(now.Endpoints)), without(known(now.Endpoints), known(before.Endpoints)))
	add("terms_of_service", before.TermsOfService, now.TermsOfService)
	add("caa_identities", without(before.CAAIdentities, now.CAAIdentities), without(now.CAAIdentities, before.CAAIdentities))
	add("external_account_required", strconv.FormatBool(before.ExternalAccountRequired), strconv.FormatBool(now.ExternalAccountRequired))
	add("profiles", without(before.Profiles, now.Profiles), without(now.Profiles, before.Profiles))
	return list
}

// without names what is in list and not in other, sorted.
func without(list, other []string) string {
	left := slices.DeleteFunc(slices.Sorted(slices.Values(list)), func(s string) bool { return slices.Contains(other, s) })
	return strings.Join(left, ", ")
}
