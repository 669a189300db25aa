package bench

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"gopkg.in/yaml.v3"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

const (
	ruleTargets   = 10
	ruleLocations = 5
	// mostGroup is what one evaluation of a group may take.
	mostGroup = 200 * time.Millisecond
	// pace is between two scrapes while an hour is caught up on.
	pace = time.Second
	// between is the time between two evaluations of a group that has more, so that
	// there are several to choose from; it changes nothing in what one of them costs.
	between = 20 * time.Second
	settled = 12 * between // for so long the rules are watched
)

// ruleModules are those of a target.
var ruleModules = []string{"account", "directory", "issue", "nonce", "validate"}

// plainRule is one to compare with: a plain sum of what two of the groups read, an
// hour of it.
const plainRule = `sum(sum_over_time(acme_probes_total[1h])) + sum(sum_over_time(acme_step_duration_seconds_bucket[1h]))`

// BenchmarkRules has Prometheus evaluate the shipped rules over 10 targets, 5 modules
// and 5 locations: an hour of what five exporters expose, classic
// and native histograms both, with the time between scrapes that the example has, and
// before it a week of what the rules themselves record.
func BenchmarkRules(b *testing.B) {
	for b.Loop() {
		benchRules(b)
	}
}

func benchRules(b *testing.B) {
	b.Helper()
	start := time.Now()
	var addresses []string
	var exporters []*exposed
	for i := range ruleLocations {
		e := newExposed(b, start.Add(-58*time.Minute))
		exporters, addresses = append(exporters, e), append(addresses, fmt.Sprintf(
			`{targets: [%q], labels: {location: loc%d}}`, e.address, i))
	}
	configuration := func(interval time.Duration, rules ...string) string {
		return fmt.Sprintf("rule_files: [%s]\nscrape_configs:\n- {job_name: acme, scrape_interval: %s, scrape_native_histograms: true, always_scrape_classic_histograms: true, static_configs: [%s]}\n",
			strings.Join(rules, ", "), interval, strings.Join(addresses, ", "))
	}
	file := filepath.Join(b.TempDir(), "prometheus.yml")
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		b.Fatal(err)
	}
	prometheus := parts.NewPrometheus(b, file, "--web.enable-remote-write-receiver", "--web.enable-lifecycle", "--scrape.discovery-reload-interval=100ms")
	prometheus.Serve()
	remember(b, prometheus.URL, start)
	parts.Within(b, "the week is in blocks", 5*time.Minute, func() bool {
		oldest := gauges(b, prometheus.URL, "prometheus_tsdb_head_min_time_seconds", "")[""]
		return oldest > float64(start.Add(-6*time.Hour).Unix()) // the head keeps three hours
	})

	prometheus.Reload(configuration(pace))
	parts.Within(b, "an hour is caught up on", 20*time.Minute, func() bool {
		return !slices.ContainsFunc(exporters, func(e *exposed) bool { return !e.caughtUp() })
	})
	rules := []string{often(b, "acme_exporter.rules.yml"), often(b, "acme_exporter.alerts.yml"), referenceFile(b)}
	prometheus.Reload(configuration(step, rules...))

	durations := watchGroups(b, prometheus.URL)
	samples := len(prometheus.Query(`{job="acme"}`))
	b.ReportMetric(float64(samples), "series")
	plain := slices.Min(durations["reference"])
	sum := 0.0
	for _, group := range slices.Sorted(maps.Keys(durations)) {
		// The fastest: what else there is to do on the machine only adds to it.
		took := slices.Min(durations[group])
		b.Logf("%-28s %6.1f ms, half of them %6.1f ms at most, %5.2f of the reference (%d evaluations)", group, took*1000,
			median(durations[group])*1000, took/plain, len(durations[group]))
		if group == "reference" {
			continue
		}
		sum += took
		if took > mostGroup.Seconds() {
			b.Errorf("an evaluation of %s takes %.0f ms, want %v at most", group, took*1000, mostGroup)
		}
	}
	b.ReportMetric(sum*1000, "ms/all-groups")
	b.ReportMetric(plain*1000, "ms/reference")
	b.ReportMetric(sum/plain, "ratio")
	b.ReportMetric(0, "ns/op") // the time that it takes is the scrapes'
}

// often writes one of the shipped files of rules anew, with no group's interval longer
// than between, and returns where.
func often(b *testing.B, name string) string {
	b.Helper()
	var file struct {
		Groups []struct {
			Name     string         `yaml:"name"`
			Interval model.Duration `yaml:"interval"`
			Rules    []any          `yaml:"rules"`
		} `yaml:"groups"`
	}
	text, err := os.ReadFile(filepath.Join("../../alerts", name))
	if err == nil {
		err = yaml.Unmarshal(text, &file)
	}
	if err != nil {
		b.Fatal(err)
	}
	for i := range file.Groups {
		file.Groups[i].Interval = min(file.Groups[i].Interval, model.Duration(between))
	}
	if text, err = yaml.Marshal(file); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// watchGroups returns what the evaluations of each group took, in seconds, without
// the first, which reads what nobody has read before.
func watchGroups(b *testing.B, url string) map[string][]float64 {
	b.Helper()
	durations, last := map[string][]float64{}, map[string]float64{}
	end := time.Now().Add(settled)
	for time.Now().Before(end) {
		at := gauges(b, url, "prometheus_rule_group_last_evaluation_timestamp_seconds", "rule_group")
		for path, took := range gauges(b, url, "prometheus_rule_group_last_duration_seconds", "rule_group") {
			_, group, _ := strings.Cut(path, ";")
			if at[path] > 0 && at[path] != last[path] {
				last[path] = at[path]
				durations[group] = append(durations[group], took)
			}
		}
		pause(b, time.Second)
	}
	for group, list := range durations {
		if len(list) < 3 {
			b.Fatalf("%s was evaluated %d times only", group, len(list))
		}
		durations[group] = list[1:]
	}
	if len(durations) < 10 {
		b.Fatalf("only the groups %v were evaluated", slices.Collect(maps.Keys(durations)))
	}
	return durations
}

// gauges returns those of a family of Prometheus's own, by a label.
func gauges(b *testing.B, url, family, label string) map[string]float64 {
	b.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(parts.Do(b, http.MethodGet, url+"/metrics")))
	if err != nil {
		b.Fatal(err)
	}
	values := map[string]float64{}
	for _, m := range families[family].GetMetric() {
		key := ""
		for _, l := range m.GetLabel() {
			if l.GetName() == label {
				key = l.GetValue()
			}
		}
		values[key] = m.GetGauge().GetValue()
	}
	return values
}

func pause(b *testing.B, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.Context().Done():
	}
}
