package live

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

const (
	// often is the time between two runs before the test, and between two evaluations
	// of the rules. What is older than five minutes no rule sees.
	often = 4 * time.Minute
	week  = 7 * 24 * time.Hour
)

// usual is what a step of the slow CA took before, in seconds: always between two bounds
// of the histogram. Pebble's mode slow takes a second for each answer, and so about five
// times as long.
var usual = map[string][2]string{
	"account":      {"0.1", "0.25"},
	"order":        {"0.1", "0.25"},
	"validation":   {"0.25", "0.5"},
	"finalization": {"0.25", "0.5"},
}

// sampled is what the week is compared by.
const sampled = "environment_target_location_step:acme_step_duration_seconds:p95_1h_sampled30m"

// remember gives Prometheus the week that AcmeIssuanceSlow compares with. The histograms
// of that time are made up, and are classic ones, for promtool cannot write native ones
// into the past. All the rest is real: Prometheus evaluates the shipped recording rules
// over them, as it would have done in that time, and what is slow today was measured by
// the exporters.
func (s *stack) remember() {
	s.t.Helper()
	// The median's week ends an hour ago. What is younger Prometheus would not take.
	end := time.Now().Add(-time.Hour).Truncate(often)
	start := end.Add(-week)
	var text bytes.Buffer
	text.WriteString("# TYPE acme_step_duration_seconds histogram\n")
	for at := start.Add(-time.Hour); !at.After(end); at = at.Add(often) {
		runs := int(at.Sub(start)/often) + 100
		for _, l := range s.groups[near] {
			for _, step := range slices.Sorted(maps.Keys(usual)) {
				labels := fmt.Sprintf(`environment="production",target=%q,module="issue",step=%q,job="acme",instance="%s:18555",location=%q`,
					slow, step, l.address, l.name)
				for _, bucket := range []struct {
					bound string
					runs  int
				}{{usual[step][0], 0}, {usual[step][1], runs}, {"+Inf", runs}} {
					fmt.Fprintf(&text, "acme_step_duration_seconds_bucket{%s,le=%q} %d %d\n", labels, bucket.bound, bucket.runs, at.Unix())
				}
			}
		}
	}
	text.WriteString("# EOF\n")
	s.prometheus.Backfill(text.Bytes())

	// Rules that build on each other have to be evaluated one after the other.
	s.prometheus.Serve()
	for _, rule := range s.needed(sampled) {
		interval := often
		if rule["record"] == sampled {
			interval = 30 * time.Minute
		}
		s.prometheus.BackfillRules(s.ruleFile(rule), start, end, interval)
		s.prometheus.Stop()
		s.prometheus.Serve()
	}
	// All but what the last hour, in which this took place, is too late for.
	query := fmt.Sprintf("count(count_over_time(%s{target=%q}[1w] offset 1h) >= 330)", sampled, slow)
	if got := s.value(query); got != float64(len(s.groups[near])*len(usual)) {
		s.t.Fatalf("%v series have the week, want %d", got, len(s.groups[near])*len(usual))
	}
}

// needed are the shipped rule that records that, and those that it builds on, each after
// what it reads.
func (s *stack) needed(record string) (list []map[string]any) {
	s.t.Helper()
	rules := map[string]map[string]any{}
	for _, group := range readYAML(s.t, "alerts/acme_exporter.rules.yml")["groups"].([]any) {
		for _, rule := range group.(map[string]any)["rules"].([]any) {
			rule := rule.(map[string]any)
			rules[rule["record"].(string)] = rule
		}
	}
	done := map[string]bool{}
	var add func(record string)
	add = func(record string) {
		rule := rules[record]
		if rule == nil || done[record] {
			return
		}
		done[record] = true
		for _, name := range regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`).FindAllString(rule["expr"].(string), -1) {
			add(name)
		}
		list = append(list, rule)
	}
	if add(record); len(list) == 0 {
		s.t.Fatalf("no rule records %s", record)
	}
	return list
}

// ruleFile writes a recording rule into a file of its own.
func (s *stack) ruleFile(rule map[string]any) string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "rules.yml")
	text := marshal(s.t, map[string]any{"groups": []any{map[string]any{"name": "week", "rules": []any{rule}}}})
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}
