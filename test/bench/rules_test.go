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
	// mostGroup is what half of a group's evaluations may take at most on a quiet machine
	// with two CPUs, on which the reference takes no more than quiet. Where it takes more,
	// on a slower machine or a busy one, the rules may take longer by as much.
	mostGroup = 200 * time.Millisecond
	quiet     = 300 * time.Millisecond
	// between is the time between two evaluations of a group that has more, so that
	// there are several to choose from; it changes nothing in what one of them costs.
	between = 10 * time.Second
	settled = 15 * between // for so long the rules are watched
)

// ruleModules are those of a target.
var ruleModules = []string{"account", "directory", "issue", "nonce", "validate"}

// plainRule is one to compare with: a plain sum of what two of the groups read, an
// hour of it.
const plainRule = `sum(sum_over_time(acme_probes_total[1h])) + sum(sum_over_time(acme_step_duration_seconds_bucket[1h]))`

// BenchmarkRules has Prometheus evaluate the shipped rules over 10 targets, 5 modules
// and 5 locations: an hour of what five exporters expose, classic
// and native histograms both, with the time between scrapes that the example has, and
// before it a week of what the rules themselves record. One of the targets fails at times.
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

	rememberHour(b, prometheus.URL, exporters)
	rules := []string{often(b, "acme_exporter.rules.yml"), often(b, "acme_exporter.alerts.yml"), referenceFile(b)}
	prometheus.Reload(fmt.Sprintf("rule_files: [%s]\nscrape_configs:\n- {job_name: acme, scrape_interval: %s, scrape_native_histograms: true, always_scrape_classic_histograms: true, static_configs: [%s]}\n",
		strings.Join(rules, ", "), step, strings.Join(addresses, ", ")))
	b.Logf("an hour and a week are there after %v", time.Since(start).Round(time.Second))

	durations := watchGroups(b, prometheus.URL)
	for _, one := range whole {
		if got, _ := prometheus.Value(one.expr); got < one.least {
			b.Errorf("%s is %v, want %v at least: the rules have read too little", one.expr, got, one.least)
		}
	}
	b.ReportMetric(float64(len(prometheus.Query(`{job="acme"}`))), "series")
	reportGroups(b, durations)
}

// whole are queries that say whether the rules had all there is to read, and what they
// are at least then.
var whole = []struct {
	expr  string
	least float64
}{
	{`min(count_over_time(acme_probes_total[1h]))`, 180},
	{`min(count_over_time(acme_step_duration_seconds_bucket[1h]))`, 180},
	{`count(environment_target_module_location:acme_probes_bad:increase3d)`, ruleLocations * 5},
	{`count(environment_target_module:acme_probes_bad:ratio3d)`, ruleTargets * 5},
	{`count(environment_target_location_step:acme_step_duration_seconds:rate1h)`, ruleTargets * ruleLocations * 4},
	{`count(environment_target_location_step:acme_step_slow:bool)`, ruleTargets * ruleLocations * 4},
}

// reportGroups reports what the evaluations took, and compares half of them with what
// they may take.
func reportGroups(b *testing.B, durations map[string][]float64) {
	b.Helper()
	plain := median(durations["reference"])
	most := mostGroup.Seconds() * max(1, plain/quiet.Seconds())
	sum, fastest := 0.0, 0.0
	for _, group := range slices.Sorted(maps.Keys(durations)) {
		took := median(durations[group])
		b.Logf("%-28s %6.1f ms, half of them %6.1f ms at most, %5.2f of the reference (%d evaluations)", group,
			slices.Min(durations[group])*1000, took*1000, took/plain, len(durations[group]))
		if group == "reference" {
			continue
		}
		sum += took
		fastest += slices.Min(durations[group])
		if took > most {
			b.Errorf("half of the evaluations of %s take %.0f ms or more, want %.0f at most", group, took*1000, most*1000)
		}
	}
	if plain > quiet.Seconds() {
		b.Logf("the machine is busy, or slow: the reference takes %.0f ms, and %v or less on a quiet one", plain*1000, quiet)
	}
	b.ReportMetric(sum*1000, "ms/all-groups")
	b.ReportMetric(fastest*1000, "ms/all-fastest")
	b.ReportMetric(plain*1000, "ms/reference")
	b.ReportMetric(sum/plain, "ratio")
	b.ReportMetric(0, "ns/op") // the time that it takes is the samples'
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
