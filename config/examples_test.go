package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const examples = "../examples"

// TestExamples loads every example, just as it is, from a directory that has
// the files that examples ask for.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "*.yml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeRoot(t, filepath.Join(dir, "root_ca.crt"))
	writeSecret(t, dir)
	writeCertificate(t, dir)
	seen := map[probe.Prober]bool{}
	loaded := 0
	for _, file := range files {
		name := filepath.Base(file)
		if name == "prometheus.yml" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(filepath.Join(dir, name), data)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range c.Pairs() {
				seen[p.Module.Prober] = true
			}
			loaded++
		})
	}
	if loaded < 6 {
		t.Errorf("%d examples", loaded)
	}
	for _, p := range probers {
		if !seen[p.name] {
			t.Errorf("no example has the prober %s", p.name)
		}
	}
}

// TestFreeExampleIsTheDefault holds what the example says of itself.
func TestFreeExampleIsTheDefault(t *testing.T) {
	c, err := Load(filepath.Join(examples, "letsencrypt-free.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range hashes(Default()) {
		if got := hashes(c)[name]; got != want {
			t.Errorf("%s: hash %s, built in is %s", name, got, want)
		}
	}
	for _, p := range c.Pairs() {
		if p.Module.Prober.Signs() {
			t.Errorf("%s signs", p)
		}
	}
}

// TestPrometheusExample holds that what it scrapes through /probe is configured
// in an example, and that the relabelling gives the parameters.
func TestPrometheusExample(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(examples, "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Jobs []struct {
			Name    string `yaml:"job_name"`
			Path    string `yaml:"metrics_path"`
			Statics []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
			Relabel []struct {
				Regex  string `yaml:"regex"`
				Target string `yaml:"target_label"`
				To     string `yaml:"replacement"`
			} `yaml:"relabel_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	c, err := Load(filepath.Join(examples, "staging-dns.yml"))
	if err != nil {
		t.Fatal(err)
	}
	probed := 0
	for _, job := range file.Jobs {
		if job.Path != "/probe" {
			continue
		}
		for _, address := range job.Statics[0].Targets {
			params := map[string]string{}
			for _, r := range job.Relabel {
				if r.Regex != "" {
					params[r.Target] = regexp.MustCompile("^(?:"+r.Regex+")$").ReplaceAllString(address, r.To)
				}
			}
			p := probe.Pair{Target: params["__param_target"], Module: params["__param_module"]}
			if _, ok := c.Pair(p); !ok {
				t.Errorf("%s becomes %q, which staging-dns.yml does not have", address, p)
			}
			probed++
		}
	}
	if len(file.Jobs) != 2 || probed == 0 {
		t.Errorf("%d jobs, %d pairs", len(file.Jobs), probed)
	}
}

// TestDocumentation holds that docs/configuration.md has every key of the
// schema, every preset and every prober.
func TestDocumentation(t *testing.T) {
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	keys := map[string]bool{}
	for _, p := range schemaPaths() {
		keys[p] = true
		if !strings.Contains(text, "| `"+p+"` |") {
			t.Errorf("no row for the key `%s`", p)
		}
	}
	if len(keys) < 50 {
		t.Errorf("only %d keys are looked for", len(keys))
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:targets|responders|resolvers|controls|modules)[^`]*)` \\|").FindAllStringSubmatch(text, -1) {
		if !keys[m[1]] {
			t.Errorf("a row for the key `%s`, which there is not", m[1])
		}
	}
	for _, s := range Presets() {
		row := "| `" + s.Name + "` | " + s.CA + " | " + s.DirectoryURL + " | " + string(s.Environment) + " | " + s.IssuerDomainName + " |"
		if !strings.Contains(text, row) {
			t.Errorf("no row that begins %s", row)
		}
	}
	for _, p := range probers {
		row := "| `" + string(p.name) + "` | " + duration(p.timeout) + " | " + duration(slow[p.name]) + " | " + duration(floors[p.name]) + " |"
		if !strings.Contains(text, row) {
			t.Errorf("no row that begins %s", row)
		}
	}
}

// TestDocumentedMistakes holds that the documentation's example loads, and that
// what is said of mistakes in it is true to the letter.
func TestDocumentedMistakes(t *testing.T) {
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "```yaml\n")
	example, rest, _ := strings.Cut(rest, "```\n")
	if _, err := Parse("acme.yml", []byte(example)); err != nil {
		t.Error(err)
	}
	wrong := strings.NewReplacer("directory: 30s", "directory: 5s", "{challenge: dns-01}",
		"{challenge: dns-01, names: {zone: nyc.acme-probe.example}}").Replace(example)
	_, err = Parse("acme.yml", []byte(wrong))
	if err == nil {
		t.Fatal("no mistake")
	}
	for line := range strings.Lines(err.Error() + "\n") {
		if !strings.Contains(rest, "\n    "+line) {
			t.Errorf("not in the documentation: %s", line)
		}
	}
}

// TestDocumentedExcerpts holds that every piece of a configuration in
// docs/configuration.md loads, with a target where it has none.
func TestDocumentedExcerpts(t *testing.T) {
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeSecret(t, dir)
	writeCertificate(t, dir)
	excerpts := strings.Split(string(data), "```yaml\n")[1:]
	for _, excerpt := range excerpts {
		excerpt, _, _ = strings.Cut(excerpt, "```\n")
		if !strings.Contains(excerpt, "targets:") {
			excerpt += "targets: {corp: {directory_url: https://ca.corp.example/, probes: {directory: 1m}}}\n"
		}
		if _, err := Parse(filepath.Join(dir, "acme.yml"), []byte(excerpt)); err != nil {
			t.Errorf("%s%v", excerpt, err)
		}
	}
	if len(excerpts) < 4 {
		t.Errorf("%d excerpts", len(excerpts))
	}
}

// writeSecret writes a TSIG secret made up for the test.
func writeSecret(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "tsig.secret"), []byte("bWFkZSB1cCBmb3IgdGhlIHRlc3Q=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeCertificate writes one that a CA has issued.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(dir, "certificates"), os.DirFS("testdata/renewals")); err != nil {
		t.Fatal(err)
	}
}

// writeRoot writes a CA certificate made up for the test.
func writeRoot(t *testing.T, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
