package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRenewals holds that files are read as they are now, each once and in the order
// of their names, that a private key beside a certificate is no obstacle, and that
// what is of no use is told without keeping the rest back.
func TestRenewals(t *testing.T) {
	data, err := os.ReadFile("testdata/renewals/renewed.pem")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(patterns ...string) (names, errs []string) {
		c := &RenewalInfo{Certificates: patterns}
		c.complete(dir)
		list, told := c.Read()
		for _, f := range list {
			if names = append(names, f.Name); f.Certificate.Subject.CommonName != "renewed" {
				t.Errorf("%s: %s", f.Name, f.Certificate.Subject)
			}
		}
		for _, err := range told {
			errs = append(errs, strings.ReplaceAll(err.Error(), dir+"/", ""))
		}
		return names, errs
	}
	write("b.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"+string(data)+string(data))
	if names, errs := read("*.pem", "b.pem"); !slices.Equal(names, []string{"b.pem"}) || errs != nil {
		t.Errorf("%q, %q", names, errs)
	}
	write("a.pem", string(data))
	write("c.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	names, errs := read("*.pem", "*.crt")
	if !slices.Equal(names, []string{"a.pem", "b.pem"}) || len(errs) != 2 ||
		errs[0] != `"*.crt": there is no such file` || !strings.HasPrefix(errs[1], `"c.pem": its first certificate cannot be read: `) {
		t.Errorf("%q, %q", names, errs)
	}
	for i := range MaxRenewals {
		write(fmt.Sprintf("a%03d.crt", i), string(data))
	}
	names, errs = read("a*")
	if len(names) != MaxRenewals || !slices.Equal(errs, []string{"101 files match: want at most 100, divide them over several modules"}) {
		t.Errorf("%d names, %q", len(names), errs)
	}
	_, err = Parse(filepath.Join(dir, "acme.yml"), []byte(`targets: {corp: {directory_url: "https://ca.corp.example/", probes: {a: 1m}}}
modules: {a: {prober: renewal_info, renewal_info: {certificates: ["a?*.crt", a.pem]}}}
`))
	if err == nil || !strings.Contains(err.Error(), "acme.yml:2:52: modules.a.renewal_info.certificates: 101 files match") {
		t.Errorf("too many in one module: %v", err)
	}
}
