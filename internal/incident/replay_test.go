package incident

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var update = flag.Bool("update", false, "write the golden files")

// stream is a recording: what pairs of a target saw.
type stream struct {
	target  string
	pairs   []Pair // how they are configured, where that is recorded
	results []*probe.Result
}

// kind is a pair of a stream: what it is, how often it runs and how long that takes.
type kind struct {
	module   string
	prober   probe.Prober
	interval time.Duration
	takes    time.Duration
}

// from is what runs say from a time on.
type from struct {
	at time.Time
	v  probe.Verdict
}

// add has a pair run from one time to another. A first conclusive failure is
// confirmed at once, as the runner does.
func (s *stream) add(k kind, begin, end time.Time, story ...from) {
	before := success
	for t := begin; t.Before(end); t = t.Add(k.interval) {
		v := ok
		for _, f := range story {
			if !t.Before(f.at) {
				v = f.v
			}
		}
		s.one(k, t, v)
		if c := classify(v); c == conclusive && before != conclusive {
			s.one(k, t.Add(k.takes+time.Second), v)
		}
		before = classify(v)
	}
}

func (s *stream) one(k kind, t time.Time, v probe.Verdict) {
	s.results = append(s.results, &probe.Result{
		Version: probe.Version, ID: fmt.Sprintf("%s-%s", t.Format("20060102T150405Z"), k.module),
		Pair: probe.Pair{Target: s.target, Module: k.module}, Prober: k.prober, Trigger: probe.TriggerTick,
		Start: t, Duration: k.takes, Verdict: v,
	})
}

// encode writes the stream, as the runs ended.
func (s *stream) encode() []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	if s.pairs != nil {
		encoder.Encode(map[string]any{"pairs": s.pairs})
	}
	slices.SortStableFunc(s.results, func(a, b *probe.Result) int {
		return cmp.Or(a.End().Compare(b.End()), cmp.Compare(a.Module, b.Module))
	})
	for _, r := range s.results {
		encoder.Encode(r)
	}
	return b.Bytes()
}

// utc parses "2006-01-02 15:04:05".
func utc(s string) time.Time {
	t, err := time.Parse(time.DateTime, s)
	if err != nil {
		panic(err)
	}
	return t
}

func failed(stage probe.StepName, reason probe.Reason, fault probe.Fault, summary string) probe.Verdict {
	return probe.Verdict{Outcome: probe.OutcomeFailure, Stage: stage, Reason: reason, Fault: fault, Summary: summary}
}

// The recorded streams. What is recorded of the real outages is when which kind of
// run failed how.
var streams = map[string]func() *stream{
	// Let's Encrypt, 2020-06-25: the API answered, wrongly, and then not at all;
	// officially identified at 07:04 and resolved at 07:18.
	"2020-06-25": func() *stream {
		s := &stream{target: "letsencrypt"}
		issue := kind{"issue", probe.ProberIssue, 34 * time.Second, 7 * time.Second}
		begin, end := utc("2020-06-25 06:40:51"), utc("2020-06-25 07:40:00")
		s.add(issue, begin, end,
			from{utc("2020-06-25 06:52:11"), failed(probe.StepOrder, "rejected_malformed", probe.FaultUnknown, "issue: order failed at acme-v02.api.letsencrypt.org: the CA rejects the request as malformed.")},
			from{utc("2020-06-25 06:52:45"), failed(probe.StepFinalization, "rejected_bad_public_key", probe.FaultCA, "issue: finalization failed at acme-v02.api.letsencrypt.org: the CA rejects the key, and a fresh one too.")},
			from{utc("2020-06-25 07:04:05"), failed(probe.StepOrder, "no_answer_timeout", probe.FaultCA, "issue: order failed at acme-v02.api.letsencrypt.org: no answer in time.")},
			from{utc("2020-06-25 07:17:07"), ok})
		s.add(kind{"directory", probe.ProberDirectory, 30 * time.Second, 200 * time.Millisecond}, begin, end)
		return s
	},
	// Let's Encrypt, 2025-07-21, 18:35 to 02:22: nothing was validated; from about
	// 21:00 on those who had valid authorizations were served. Validation alone is
	// configured not to be critical.
	"2025-07-21": func() *stream {
		s := &stream{target: "letsencrypt"}
		pairOf := func(module string, interval time.Duration, critical bool) Pair {
			return Pair{Pair: probe.Pair{Target: s.target, Module: module}, Environment: "production", Interval: interval, Critical: critical}
		}
		s.pairs = []Pair{pairOf("directory", 30*time.Second, true), pairOf("issue_reuse", 5*time.Minute, true), pairOf("validate", time.Minute, false)}
		begin, end := utc("2025-07-21 17:00:00"), utc("2025-07-22 04:00:00")
		fails := failed(probe.StepValidation, "server_internal", probe.FaultCA, "validation failed at acme-v02.api.letsencrypt.org: the CA reports an internal error.")
		s.add(kind{"directory", probe.ProberDirectory, 30 * time.Second, 200 * time.Millisecond}, begin, end)
		s.add(kind{"issue_reuse", probe.ProberIssue, 5 * time.Minute, 9 * time.Second}, begin, end,
			from{utc("2025-07-21 18:35:00"), failed(probe.StepOrder, "server_internal", probe.FaultCA, "order failed at acme-v02.api.letsencrypt.org: the CA reports an internal error.")},
			from{utc("2025-07-21 21:00:00"), ok})
		s.add(kind{"validate", probe.ProberValidate, time.Minute, 6 * time.Second}, begin, end,
			from{utc("2025-07-21 18:35:00"), fails}, from{utc("2025-07-22 02:22:00"), ok})
		return s
	},
	// Let's Encrypt, 2026-05-08: the directory was 503 for 2 h 26 m.
	"2026-05-08": func() *stream {
		s := &stream{target: "letsencrypt"}
		begin, end := utc("2026-05-08 18:00:00"), utc("2026-05-08 22:00:00")
		down := failed(probe.StepDirectory, "edge_5xx", probe.FaultCA, "directory failed at acme-v02.api.letsencrypt.org: the edge answers for the CA (directory, HTTP 503).")
		story := []from{{utc("2026-05-08 18:37:00"), down}, {utc("2026-05-08 21:03:00"), ok}}
		s.add(kind{"directory", probe.ProberDirectory, 30 * time.Second, 200 * time.Millisecond}, begin, end, story...)
		s.add(kind{"nonce", probe.ProberNonce, 30 * time.Second, 300 * time.Millisecond}, begin.Add(10*time.Second), end, story...)
		s.add(kind{"validate", probe.ProberValidate, 5 * time.Minute, 6 * time.Second}, begin.Add(3*time.Minute+10*time.Second), end, story...)
		return s
	},
	// The validation authority is down for an hour; everything else works.
	"va-down": func() *stream {
		s := &stream{target: "corp"}
		begin, end := utc("2026-06-01 09:00:00"), utc("2026-06-01 12:00:00")
		s.add(kind{"directory", probe.ProberDirectory, 15 * time.Second, 20 * time.Millisecond}, begin, end)
		s.add(kind{"issue", probe.ProberIssue, 5 * time.Minute, 4 * time.Second}, begin.Add(7*time.Second), end,
			from{utc("2026-06-01 10:00:00"), failed(probe.StepValidation, "server_internal", probe.FaultCA, "issue: validation failed at ca.corp.example: the CA reports an internal error (authorization, serverInternal: Could not communicate with VA).")},
			from{utc("2026-06-01 11:00:00"), ok})
		return s
	},
	// The exporter's own line is dead for half an hour, and the controls with it.
	"cut-off": func() *stream {
		s := &stream{target: "letsencrypt"}
		begin, end := utc("2026-06-02 09:00:00"), utc("2026-06-02 10:30:00")
		story := []from{
			{utc("2026-06-02 09:30:00"), failed(probe.StepDirectory, "connect_timeout", probe.FaultLocal, "directory failed at acme-v02.api.letsencrypt.org: no connection in time, and no control answers either.")},
			{utc("2026-06-02 10:00:00"), ok},
		}
		s.add(kind{"directory", probe.ProberDirectory, 30 * time.Second, 200 * time.Millisecond}, begin, end, story...)
		s.add(kind{"issue", probe.ProberIssue, 15 * time.Minute, 8 * time.Second}, begin.Add(time.Second), end, story...)
		return s
	},
}

// TestReplay holds what is printed of the recorded streams.
func TestReplay(t *testing.T) {
	for name, make := range streams {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := Replay(bytes.NewReader(make().encode()), &b); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", b.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s; run go test ./internal/incident -update (-file +code):\n%s", file, diff)
	}
}

// TestDocument holds that the documentation shows what is printed.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "incidents.md"))
	if err != nil {
		t.Fatal(err)
	}
	printed, err := os.ReadFile(filepath.Join("testdata", "2020-06-25.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, printed) {
		t.Error("docs/incidents.md has another table than testdata/2020-06-25.txt")
	}
}

// TestReplayedTimes holds what the golden files must say, whoever updates them.
func TestReplayedTimes(t *testing.T) {
	type times struct {
		condition  probe.Condition
		start, end string
		fault      probe.Fault
		phases     []probe.Condition
	}
	for name, want := range map[string]*times{
		"2020-06-25": {probe.ConditionDown, "2020-06-25 06:52:11", "2020-06-25 07:17:07", probe.FaultCA, []probe.Condition{probe.ConditionDown}},
		"2025-07-21": {probe.ConditionDown, "2025-07-21 18:35:00", "2025-07-22 02:22:00", probe.FaultCA, []probe.Condition{probe.ConditionDown, probe.ConditionDegraded}},
		"2026-05-08": {probe.ConditionDown, "2026-05-08 18:37:00", "2026-05-08 21:03:10", probe.FaultCA, []probe.Condition{probe.ConditionDown}},
		"va-down":    {probe.ConditionDown, "2026-06-01 10:00:07", "2026-06-01 11:00:07", probe.FaultCA, []probe.Condition{probe.ConditionDown}},
		"cut-off":    nil,
	} {
		s := streams[name]()
		s.encode() // sorts
		tr := New(Options{})
		pairs := map[probe.Pair]Pair{}
		for _, p := range s.pairs {
			pairs[p.Pair] = p
		}
		tr.Apply(begin, complete(pairs, s.results))
		for _, r := range s.results {
			tr.Observe(r)
		}
		list := tr.Incidents(Filter{Kind: probe.IncidentTarget})
		if want == nil {
			if len(tr.Incidents(Filter{})) != 0 {
				t.Errorf("%s: there are incidents", name)
			}
			continue
		}
		if len(list) != 1 {
			t.Errorf("%s: %d incidents of the target, want 1", name, len(list))
			continue
		}
		i := list[0]
		got := times{i.Condition, i.Start.Format(time.DateTime), i.End.Format(time.DateTime), i.Fault, nil}
		for _, p := range i.Phases {
			got.phases = append(got.phases, p.Condition)
		}
		if diff := gocmp.Diff(*want, got, gocmp.AllowUnexported(times{})); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// TestReplayRefuses holds what is said of streams that are none.
func TestReplayRefuses(t *testing.T) {
	run := `{"version":1,"id":"a","target":"ca","module":"m","prober":"directory","start":"2026-01-01T00:00:00Z","duration_ns":1,"verdict":{"outcome":"success","summary":"."}}`
	for _, test := range []struct{ stream, want string }{
		{run + "\n{", "value 2 of the stream: unexpected EOF"},
		{"hello", "value 1 of the stream: invalid character 'h' looking for beginning of value"},
		{run + run + `{"version":2}`, "value 3 of the stream: it has version 2, not 1"},
		{`{"version":1}`, "value 1 of the stream: it is no run"},
		{strings.Replace(run, "2026", "9998", 1), "value 1 of the stream: it is no run"},
		{strings.Replace(run, `"duration_ns":1`, `"duration_ns":-1`, 1), "value 1 of the stream: it is no run"},
		{`{"pairs":[{"target":"ca"}]}`, `value 1 of the stream: pair "ca/" with an interval of 0s is none`},
	} {
		var b bytes.Buffer
		err := Replay(strings.NewReader(test.stream), &b)
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.stream, err, test.want)
		}
		if b.Len() != 0 {
			t.Errorf("%s: printed %q", test.stream, b.String())
		}
	}
	var b bytes.Buffer
	if err := Replay(strings.NewReader(""), &b); err != nil || b.String() != "No runs.\n" {
		t.Errorf("of nothing: %v, %q", err, b.String())
	}
}
