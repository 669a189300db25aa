package examples_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"gopkg.in/yaml.v3"
)

// TestCompose holds that the compose file is one by its specification, and that
// everything it mounts is in the repository.
func TestCompose(t *testing.T) {
	t.Parallel()
	project := compose(t)
	names := project.ServiceNames()
	slices.Sort(names)
	if want := []string{"acme_exporter", "alertmanager", "grafana", "prometheus"}; !slices.Equal(names, want) {
		t.Fatalf("services %q, want %q", names, want)
	}
	pinned := regexp.MustCompile(`:v?[0-9]+\.[0-9]+\.[0-9]+$`)
	for name, service := range project.Services {
		if !pinned.MatchString(service.Image) && name != "acme_exporter" {
			t.Errorf("%s: image %s has no version", name, service.Image)
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to everybody", name, port.Published)
			}
		}
		for _, v := range service.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
			if !v.ReadOnly {
				t.Errorf("%s may write into %s", name, v.Source)
			}
		}
	}
}

// TestProvisioning holds that Grafana looks for dashboards where they are mounted, and
// finds Prometheus where it listens.
func TestProvisioning(t *testing.T) {
	t.Parallel()
	project := compose(t)
	var dashboards struct {
		Providers []struct {
			Options struct{ Path string }
		}
	}
	provisioning := root + "/examples/compose/grafana/provisioning/"
	decode(t, provisioning+"dashboards/acme_exporter.yml", &dashboards)
	mounted := ""
	for _, v := range project.Services["grafana"].Volumes {
		if filepath.Base(v.Source) == "dashboards" {
			mounted = v.Target
		}
	}
	if len(dashboards.Providers) != 1 || mounted == "" || dashboards.Providers[0].Options.Path != mounted {
		t.Errorf("dashboards are at %q, Grafana looks at %+v", mounted, dashboards.Providers)
	}
	var sources struct {
		Datasources []struct{ Type, URL string }
	}
	decode(t, provisioning+"datasources/prometheus.yml", &sources)
	if len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" || sources.Datasources[0].URL != "http://prometheus:9090" {
		t.Errorf("data sources %+v", sources.Datasources)
	}
}

// compose loads the compose file as docker compose would.
func compose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{root + "/examples/compose/compose.yaml"})
	must(t, err)
	project, err := options.LoadProject(context.WithoutCancel(t.Context()))
	must(t, err)
	return project
}

func decode(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, yaml.Unmarshal(text, v))
}
