package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/acme-exporter/acme_exporter"

// rooms is the layering of docs/architecture.md: what each package may import
// of ours. .golangci.yml says the same to those who write.
var rooms = map[string][]string{
	"":                   {"internal/app"},
	"config":             {"internal/probe"},
	"prober":             {"internal/probe", "config", "internal/acmehttp", "internal/ct", "internal/conformance", "internal/revocation", "internal/statuspage"},
	"internal/probe":     {},
	"internal/state":     {},
	"internal/budget":    {"internal/probe", "config", "internal/state"},
	"internal/acmehttp":  {"internal/probe", "config"},
	"internal/challenge": {"internal/probe", "config"},
	"internal/dnsclient": {},
	"internal/publish":   {"internal/probe", "config", "internal/dnsclient"},
	"internal/verdict":   {"internal/probe", "config"},
	"internal/ct":        {"internal/probe", "config"},
	"internal/incident":  {"internal/probe", "internal/state"},
	"internal/metrics":   {"internal/probe", "config"},
	"internal/waterfall": {"internal/probe"},
	"internal/runner":    {"internal/probe", "config", "prober", "internal/verdict", "internal/state"},
	"internal/web":       {"internal/probe", "config", "internal/incident", "internal/waterfall"},
	"internal/app": {
		"internal/probe", "config", "prober", "internal/report", "internal/mail", "internal/acmehttp", "internal/budget", "internal/challenge", "internal/controls",
		"internal/ct", "internal/dnsclient", "internal/incident", "internal/metrics", "internal/online", "internal/publish", "internal/runner", "internal/state", "internal/verdict",
		"internal/waterfall", "internal/web",
	},
	"internal/conformance": {"internal/probe", "internal/acmehttp"},
	"internal/online":      {"internal/probe", "config", "internal/dnsclient"},
	"internal/controls":    {"internal/probe", "config", "internal/acmehttp", "internal/dnsclient"},
	"internal/revocation":  {"internal/probe", "internal/acmehttp"},
	"internal/statuspage":  {"internal/probe", "internal/acmehttp"},
	"internal/fakeca":      {"internal/probe"},
	"internal/report":      {"internal/drawing"},
	"internal/drawing":     {},
	"internal/mail":        {"config"},
}

// testRooms is what tests may import beyond that; all may have the fake CA.
var testRooms = map[string][]string{
	"":       {"internal/probe", "config", "internal/metrics", "internal/verdict", "internal/budget", "internal/state"},
	"prober": {"internal/verdict", "internal/challenge"},
	// Its worlds have our own responders in them.
	"internal/online": {"internal/challenge"},
}

// foreign are modules that belong to the tests' and the tools' own modules.
var foreign = []string{
	"github.com/letsencrypt/", "github.com/smallstep/", "github.com/golangci/", "github.com/prometheus/prometheus",
	"github.com/prometheus/alertmanager", "github.com/emersion/",
}

// listed is what go list says of a package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	Standard                           bool
}

// list runs go list with args.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports,Standard"}, args...)...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}

// room returns the name of a package of ours.
func room(importPath string) (string, bool) {
	rest, ok := strings.CutPrefix(importPath, module)
	return strings.TrimPrefix(rest, "/"), ok && (rest == "" || rest[0] == '/')
}

// TestLayering holds the table: no package imports one of ours that it may not,
// and every package of ours stands in the table.
func TestLayering(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range list(t, "-deps", "./...") {
		from, ours := room(p.ImportPath)
		if !ours {
			continue
		}
		seen[from] = true
		allowed, ok := rooms[from]
		if !ok {
			t.Errorf("package %q is in no room: give it one here, in .golangci.yml and in docs/architecture.md", from)
			continue
		}
		check := func(kind string, imports, allowed []string) {
			for _, path := range imports {
				if to, ours := room(path); ours && !slices.Contains(allowed, to) {
					t.Errorf("%s of %q import %q, and may import of ours only %q", kind, from, to, allowed)
				}
			}
		}
		check("sources", p.Imports, allowed)
		// A package's external tests import the package itself.
		inTests := slices.Concat(allowed, testRooms[from], []string{"internal/fakeca", from})
		check("tests", slices.Concat(p.TestImports, p.XTestImports), inTests)
	}
	for name := range maps.Keys(rooms) {
		if !seen[name] {
			t.Errorf("room %q has no package", name)
		}
	}
}

// TestDependencies holds that the product, its tests included, builds without
// what only end-to-end tests and tools need.
func TestDependencies(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var mod struct {
		Module  struct{ Path string }
		Require []struct{ Path string }
		Replace []struct{ Old struct{ Path string } }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	if mod.Module.Path != module {
		t.Errorf("module %q, want %q", mod.Module.Path, module)
	}
	if len(mod.Require) == 0 {
		t.Error("go.mod requires nothing")
	}
	for _, require := range mod.Require {
		for _, prefix := range foreign {
			if strings.HasPrefix(require.Path, prefix) {
				t.Errorf("go.mod requires %q, which belongs into test/, examples/demo/ or tools/", require.Path)
			}
		}
	}
	if len(mod.Replace) != 0 {
		t.Errorf("go.mod replaces %v: go install of a version would fail", mod.Replace)
	}
}
