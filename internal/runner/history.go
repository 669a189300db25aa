package runner

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// The buckets of the history: a line about each run, and its Result. Both are
// beneath "target/module/ID".
const (
	bucketHistory = "history"
	bucketRuns    = "history_runs"
)

const (
	// historyRuns is how many runs of a pair the history has, and historyFailures
	// how many of its failures, the older ones among them.
	historyRuns     = 100
	historyFailures = 50
	// historySize bounds what the history of all pairs has in the store, in bytes of
	// keys and values; the file is larger. Of most runs it is 2 KiB, of those of a
	// hundred names ten times that.
	historySize = 16 << 20
	// runSize bounds the JSON of one run there, before it is compressed: what is more
	// than a run of a hundred names has, is left out where it is far from the failure.
	runSize = 256 << 10
	// unpackSize bounds what is read of anything compressed.
	unpackSize = 64 << 20
)

// entry is a run in the history of a pair.
type entry struct {
	probe.RunSummary
	size int // bytes in the store; 0: it is not there (yet)
}

// history are the last runs of a pair under one configuration, newest first.
type history struct {
	entries []*entry
	size    int    // the sum of theirs
	last    uint64 // the Nth of the newest
}

// line is what is stored of an entry beside its Result.
type line struct {
	Version    int    `json:"version"` // probe.Version
	ConfigHash string `json:"config_hash"`
	Size       int    `json:"size"` // bytes of the Result as it is stored
	probe.RunSummary
}

func historyKey(p probe.Pair, id string) string { return p.String() + "/" + id }

// add makes res the newest run, and returns its entry.
func (h *history) add(res *probe.Result) *entry {
	e := &entry{RunSummary: probe.Summarize(res)}
	h.last++
	e.Nth = h.last
	h.entries = slices.Insert(h.entries, 0, e)
	return e
}

// number gives the entries their numbers once older ones have joined them. What a
// wrong clock has dated to the future is among the oldest, and its number tells
// nothing.
func (h *history) number(now time.Time) {
	var n uint64
	for _, e := range slices.Backward(h.entries) {
		n++
		if !e.Start.After(now) {
			n = max(n, e.Nth)
		}
		e.Nth = n
	}
	h.last = max(h.last, n)
}

// recent reports whether e is one of the last runs. Others of them may have been
// evicted, so that its place among the entries does not tell.
func (h *history) recent(e *entry) bool { return h.last-e.Nth < historyRuns }

// trim takes out the entries that are too many.
func (h *history) trim() (out []*entry) {
	failures := 0
	kept := h.entries[:0]
	for _, e := range h.entries {
		failed := e.Verdict.Outcome == probe.OutcomeFailure
		if failed {
			failures++
		}
		if h.recent(e) || failed && failures <= historyFailures {
			kept = append(kept, e)
		} else {
			out = append(out, e)
		}
	}
	clear(h.entries[len(kept):])
	h.entries = kept
	return out
}

// least returns the stored entry that can be missed first: the oldest that is no
// failure, or else the oldest; nil: none is stored.
func (h *history) least() (least *entry) {
	for _, e := range slices.Backward(h.entries) {
		if e.size == 0 {
			continue
		}
		if e.Verdict.Outcome != probe.OutcomeFailure {
			return e
		}
		if least == nil {
			least = e
		}
	}
	return least
}

// count says that e has size bytes in the store. It needs mu.
func (r *Runner) count(h *history, e *entry, size int) {
	h.size += size - e.size
	r.historyUsed += size - e.size
	e.size = size
}

// forget has what is stored of entries that are not in h any more removed with the
// next commit. It needs mu.
func (r *Runner) forget(p probe.Pair, h *history, out []*entry) {
	for _, e := range out {
		if e.size > 0 {
			r.count(h, e, 0)
			r.stale[historyKey(p, e.ID)] = true
		}
	}
}

// forgetAll is forget of the whole history of a configuration that goes. It needs mu.
func (r *Runner) forgetAll(g *generation) {
	r.forget(g.pair.Pair, &g.history, g.history.entries)
	g.history.entries = nil
}

// evict makes the histories fit into the store: from the one that has most there,
// what can be missed first goes. It needs mu.
func (r *Runner) evict() {
	for r.historyUsed > r.historyCap {
		var largest *generation
		for _, l := range r.lanes {
			if l.gen != nil && (largest == nil || l.gen.history.size > largest.history.size) {
				largest = l.gen
			}
		}
		if largest == nil {
			return
		}
		h := &largest.history
		e := h.least()
		if e == nil {
			return
		}
		h.entries = slices.DeleteFunc(h.entries, func(other *entry) bool { return other == e })
		r.forget(largest.pair.Pair, h, []*entry{e})
	}
}

// record is what is to be stored of a run in the history.
type record struct {
	key     string
	changes []state.Change
	dropped int // see probe.RunSummary
	size    int // bytes
}

func newRecord(res *probe.Result, nth uint64) (record, error) {
	r := record{key: historyKey(res.Pair, res.ID)}
	result, err := json.Marshal(res)
	if err == nil && len(result) > runSize {
		bounded := probe.Bounded(res, runSize)
		r.dropped = bounded.Dropped
		result, err = json.Marshal(bounded.Result)
	}
	if err != nil {
		return record{}, fmt.Errorf("store run %s: %w", res.ID, err)
	}
	value := pack(result)
	l := line{Version: probe.Version, ConfigHash: res.ConfigHash, Size: len(value), RunSummary: probe.Summarize(res)}
	l.Dropped, l.Nth = r.dropped, nth
	about, err := json.Marshal(l)
	if err != nil {
		return record{}, fmt.Errorf("store run %s: %w", res.ID, err)
	}
	r.size = sizeOf(r.key, about, len(value))
	r.changes = []state.Change{
		{Bucket: bucketHistory, Key: r.key, Value: json.RawMessage(about)},
		{Bucket: bucketRuns, Key: r.key, Value: value},
	}
	return r, nil
}

// compressed is JSON, compressed and in base64: a JSON string. Calls are much alike,
// so that it is a fifth of what it was.
type compressed []byte

// MarshalJSON implements json.Marshaler.
func (c compressed) MarshalJSON() ([]byte, error) { return c, nil }

// compressors are [flate.Writer]s: a new one costs more than all that it has to do.
var compressors = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is a valid one
	return w
}}

func pack(value []byte) compressed {
	var b bytes.Buffer
	b.WriteByte('"')
	text := base64.NewEncoder(base64.StdEncoding, &b)
	w := compressors.Get().(*flate.Writer)
	defer compressors.Put(w)
	w.Reset(text)
	_, _ = w.Write(value) // a Buffer takes everything
	_, _ = w.Close(), text.Close()
	b.WriteByte('"')
	return b.Bytes()
}

// unpack is the reverse of pack. What would be larger than anything that is packed is
// cut.
func unpack(value []byte) ([]byte, error) {
	text := base64.NewDecoder(base64.StdEncoding, bytes.NewReader(bytes.Trim(value, `"`)))
	return io.ReadAll(io.LimitReader(flate.NewReader(text), unpackSize))
}

// sizeOf is what an entry counts for.
func sizeOf(key string, about []byte, result int) int { return 2*len(key) + len(about) + result }

// removal returns the changes that remove keys from the history.
func removal(keys []string) []state.Change {
	changes := make([]state.Change, 0, 2*len(keys))
	for _, key := range keys {
		changes = append(changes, state.Change{Bucket: bucketHistory, Key: key}, state.Change{Bucket: bucketRuns, Key: key})
	}
	return changes
}

// takeStale returns the keys that the caller's commit is to remove.
func (r *Runner) takeStale() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := slices.Collect(maps.Keys(r.stale))
	clear(r.stale)
	return keys
}

// giveBack takes keys back that a commit has not removed. It needs mu.
func (r *Runner) giveBack(stale []string) {
	for _, key := range stale {
		r.stale[key] = true
	}
}

// stored is an entry that was restored, and under which configuration it was made.
type stored struct {
	*entry
	hash string
}

// readHistory returns the entries of each pair, by its name. The keys of what this
// version cannot read are stale: nobody else counts their bytes.
func (r *Runner) readHistory() (all map[string][]stored, stale []string, err error) {
	all = make(map[string][]stored)
	err = r.store.All(bucketHistory, func(key string, value []byte) error {
		var l line
		i := strings.LastIndexByte(key, '/')
		if json.Unmarshal(value, &l) != nil || l.Version != probe.Version || i < 0 || l.ID != key[i+1:] || l.Size <= 0 {
			stale = append(stale, key)
			return nil
		}
		e := &entry{RunSummary: l.RunSummary, size: sizeOf(key, value, l.Size)}
		all[key[:i]] = append(all[key[:i]], stored{entry: e, hash: l.ConfigHash})
		return nil
	})
	return all, stale, err
}

// adoptHistory gives the restored entries to their pairs, behind those of this
// process. It needs mu.
func (r *Runner) adoptHistory(now time.Time) {
	for p, l := range r.lanes {
		if l.gen == nil {
			continue
		}
		h := &l.gen.history
		restored := r.restoredRuns[p.String()]
		// What a wrong clock has dated to the future is old for all we know.
		slices.SortStableFunc(restored, func(a, b stored) int {
			if fa, fb := a.Start.After(now), b.Start.After(now); fa != fb {
				if fa {
					return 1
				}
				return -1
			}
			return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(b.ID, a.ID))
		})
		var left []stored
		for _, s := range restored {
			switch {
			case s.hash != l.gen.pair.Hash:
				left = append(left, s)
			case r.stale[historyKey(p, s.ID)]: // about to be removed
			case !slices.ContainsFunc(h.entries, func(e *entry) bool { return e.ID == s.ID }):
				h.entries = append(h.entries, s.entry)
				h.size += s.size
				r.historyUsed += s.size
			}
		}
		h.number(now)
		r.restoredRuns[p.String()] = left
		r.forget(p, h, h.trim())
	}
	for pair, left := range r.restoredRuns {
		for _, s := range left {
			r.stale[pair+"/"+s.ID] = true
		}
	}
	r.restoredRuns = nil
	r.evict()
}

// History returns the last 100 runs of the pair and its last 50 failures, newest
// first and without follow-ups; fewer where all pairs together have too many, and
// none of a configuration before. Their Results are [Runner.Result]'s.
func (r *Runner) History(p probe.Pair) []probe.RunSummary {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lanes[p]
	if l == nil || l.gen == nil {
		return nil
	}
	all := make([]probe.RunSummary, 0, len(l.gen.history.entries))
	for _, e := range l.gen.history.entries {
		all = append(all, e.RunSummary)
	}
	return all
}

// Result returns a run of a configured pair by its ID: one of the last ones as it
// was, an older one as the store has kept it.
func (r *Runner) Result(id string) (*probe.Result, bool) {
	res, key := r.find(id)
	if res != nil || key == "" {
		return res, res != nil
	}
	value, err := r.store.Get(bucketRuns, key)
	if err != nil {
		r.log.Error("cannot read a run from the state directory", "run", id, "err", err)
		return nil, false
	}
	value, err = unpack(value)
	res = new(probe.Result)
	if err != nil || json.Unmarshal(value, res) != nil || res.Version != probe.Version || res.ID != id {
		return nil, false // removed just now, or damaged
	}
	return res, true
}

// find returns the Result that is in memory, or the key of the one in the store.
func (r *Runner) find(id string) (res *probe.Result, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, l := range r.lanes {
		if l.gen == nil {
			continue
		}
		for _, res := range l.gen.recent {
			if res.ID == id {
				return res, ""
			}
		}
		for _, e := range l.gen.history.entries {
			if e.ID == id && e.size > 0 {
				key = historyKey(p, id)
			}
		}
	}
	return nil, key
}
