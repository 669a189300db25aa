// Package dashboards tests the Grafana dashboards of the repository, and has their
// queries for whoever runs Prometheus.
package dashboards

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// root is the repository, seen from a test's package.
const root = "../.."

// Dashboard is one as Grafana imports it, as far as it is looked at here.
type Dashboard struct {
	UID, Title, Description string
	ID                      *int
	SchemaVersion           int
	Panels                  []Panel
	Tags                    []string
	Templating              struct{ List []Variable }
	Annotations             struct{ List []Annotation }
	Links                   []Link
}

// Panel is one of a dashboard's, or a row of them.
type Panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               Datasource
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []Target
	Panels                   []Panel // of a row that is folded
	FieldConfig              struct {
		Defaults  struct{ Unit, Thresholds json.RawMessage }
		Overrides []struct {
			Properties []struct {
				ID    string
				Value json.RawMessage
			}
		}
	}
}

// Target is a query of a panel's.
type Target struct {
	RefID, Expr, Format string
	Instant, Range      bool
	Datasource          Datasource
}

// Datasource is what a query goes to.
type Datasource struct{ Type, UID string }

// Variable is one that a person chooses.
type Variable struct {
	Name, Type, Label, AllValue, Definition string
	Query                                   json.RawMessage
	Datasource                              Datasource
	Multi, IncludeAll                       bool
	Refresh                                 int
}

// Annotation is what is drawn over graphs.
type Annotation struct {
	Name, Expr string
	Datasource Datasource
}

// Link leads to other pages.
type Link struct {
	Type, URL             string
	Tags                  []string
	IncludeVars, KeepTime bool
	Placement             string
}

// Load returns the dashboards by the names of their files.
func Load(tb testing.TB) map[string]Dashboard {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(root, "dashboards", "*.json"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("dashboards: %v, %d files", err, len(files))
	}
	all := map[string]Dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		var d Dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = d
	}
	return all
}

// Query is one of a panel's or an annotation's.
type Query struct {
	Dashboard string // its uid
	Panel     string // its title
	Ref       string // A, B …; empty for an annotation
	Expr      string // with the variables in it
}

// String says where the query is.
func (q Query) String() string {
	return strings.TrimSpace(q.Dashboard + ", " + q.Panel + " " + q.Ref)
}

// Queries returns those of all dashboards. Each has an answer where a CA has failed and
// recovered, one that issues has a budget, revocation lists, OCSP and renewal
// information, and one has a status page with an incident; the annotation Down while
// one fails.
func Queries(tb testing.TB) (queries []Query) {
	tb.Helper()
	for _, d := range Load(tb) {
		for _, p := range d.Panels {
			for _, t := range p.Targets {
				queries = append(queries, Query{d.UID, p.Title, t.RefID, t.Expr})
			}
		}
		for _, a := range d.Annotations.List {
			queries = append(queries, Query{d.UID, "annotation " + a.Name, "", a.Expr})
		}
	}
	slices.SortStableFunc(queries, func(a, b Query) int { return strings.Compare(a.String(), b.String()) })
	return queries
}

// everything is what the variables stand for when nothing is chosen.
var everything = map[string]string{
	"job": ".+", "location": ".*", "target": ".+", "module": ".+", "call": ".+", "step": ".+",
	"__rate_interval": "10m", "__range": "10m",
}

// With returns the query as Grafana sends it, with these values of variables, given
// as name and value in turn. Others choose everything.
func (q Query) With(variables ...string) string {
	expr := q.Expr
	for i := 0; i+1 < len(variables); i += 2 {
		expr = strings.ReplaceAll(expr, "$"+variables[i], variables[i+1])
	}
	for name, value := range everything {
		expr = strings.ReplaceAll(expr, "$"+name, value)
	}
	return expr
}

// Ask evaluates the query now at the Prometheus, with these values of variables. What
// is no number is no data; an error, or a warning of Prometheus's, fails the test.
func (q Query) Ask(tb testing.TB, prometheus *parts.Prometheus, variables ...string) model.Vector {
	tb.Helper()
	return slices.DeleteFunc(prometheus.Query(q.With(variables...)), func(s *model.Sample) bool { return math.IsNaN(float64(s.Value)) })
}

// ReturnsData fails the test if the query has no answer at the Prometheus, with these
// values of variables.
func (q Query) ReturnsData(tb testing.TB, prometheus *parts.Prometheus, variables ...string) {
	tb.Helper()
	if len(q.Ask(tb, prometheus, variables...)) == 0 {
		tb.Errorf("%s: no data from\n%s", q, q.With(variables...))
	}
}
