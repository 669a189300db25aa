package dashboards

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/test/parts"
	"github.com/acme-exporter/acme_exporter/test/series"
)

// TestModes holds that quantiles and heatmaps are the same whichever histograms the
// locations have, also where each has others: in promtool, on what is known exactly.
func TestModes(t *testing.T) {
	t.Parallel()
	locations := []string{"fra", "iad", ""}
	for name, modes := range map[string][]series.Mode{
		"classic": {series.Classic, series.Classic, series.Classic},
		"native":  {series.Native, series.Native, series.Native},
		"both":    {series.Both, series.Both, series.Both},
		"mixed":   {series.Classic, series.Native, series.Both},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var input strings.Builder
			for i, location := range locations {
				labels := fmt.Sprintf(`environment="production",target="ca",module="issue",step="validation",%s`, series.Exporter(location))
				text, err := modes[i].Durations(labels, "2x0.3*12")
				if err != nil {
					t.Fatal(err)
				}
				input.WriteString(text)
			}
			test := fmt.Sprintf("evaluation_interval: 15s\ntests:\n  - interval: 15s\n    input_series:\n%s    promql_expr_test:\n%s%s",
				input.String(), quantiles(t, locations), buckets(t, 8*len(locations)))
			path := filepath.Join(t.TempDir(), "test.yml")
			if err := os.WriteFile(path, []byte(test), 0o600); err != nil {
				t.Fatal(err)
			}
			promtool := filepath.Join(parts.PrometheusDir(t), "promtool")
			if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", path).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s\n%s", err, out, test)
			}
		})
	}
}

// quantiles expects each location's to be in the bucket of 0.3 s: the precision of
// classic histograms.
func quantiles(t *testing.T, locations []string) string {
	t.Helper()
	q := find(t, "acme-ca", "Duration of the chosen steps", "B").With()
	var want strings.Builder
	for _, location := range locations {
		labels := `target="ca"`
		if location != "" {
			labels += fmt.Sprintf(",location=%q", location)
		}
		fmt.Fprintf(&want, "          - {labels: '{%s}', value: 1}\n", labels)
	}
	return evaluation(fmt.Sprintf("((%s) > bool 0.25) * ((%s) < bool 0.5)", q, q), want.String())
}

// buckets expects as many runs in a minute, of all locations together, in each bucket
// that ends above 0.3 s, and none below.
func buckets(t *testing.T, runs int) string {
	t.Helper()
	var want strings.Builder
	for _, bound := range []string{"0.1", "0.25", "0.5", "1", "2.5", "5", "10", "20", "45", "90", "+Inf"} {
		value := runs
		if bound == "0.1" || bound == "0.25" {
			value = 0
		}
		fmt.Fprintf(&want, "          - {labels: '{le=%q}', value: %d}\n", bound, value)
	}
	return evaluation(fmt.Sprintf("round(60 * (%s))", find(t, "acme-ca", "Steps by duration", "A").With("__rate_interval", "2m")), want.String())
}

func evaluation(expr, want string) string {
	return fmt.Sprintf("      - expr: %q\n        eval_time: 2m30s\n        exp_samples:\n%s", expr, want)
}

// find returns a query by where it is.
func find(t *testing.T, dashboard, panel, ref string) Query {
	t.Helper()
	for _, q := range Queries(t) {
		if q.Dashboard == dashboard && q.Panel == panel && q.Ref == ref {
			return q
		}
	}
	t.Fatalf("%s has no query %s of %q", dashboard, ref, panel)
	return Query{}
}
