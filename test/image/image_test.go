// Package image_test holds that the container image is what it is said to be: a
// static binary in an otherwise empty file system, which runs as nobody and may
// write where its state lives.
package image_test

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

func TestMain(m *testing.M) { os.Exit(parts.Main(m)) }

const (
	root = "../.."
	name = "localhost/acme_exporter:test"
	// configDir is where the test mounts its files.
	configDir = "/etc/acme_exporter"
)

// store is buildah's, kept away from the user's own images.
type store struct {
	t   *testing.T
	dir string
}

// buildah runs a command of buildah's and returns its standard output.
func (s *store) buildah(args ...string) string {
	s.t.Helper()
	options := []string{"--storage-driver", "vfs", "--root", s.dir + "/root", "--runroot", s.dir + "/run"}
	cmd := exec.Command("buildah", append(options, args...)...)
	cmd.Dir = root
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("buildah %s: %v\n%s%s", strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return strings.TrimSpace(stdout.String())
}

// TestImage builds the image, runs it, and has it make an account at a CA.
func TestImage(t *testing.T) {
	parts.Make(t, "image-context")
	static(t, filepath.Join(root, "bin", "acme_exporter"))

	s := &store{t: t, dir: t.TempDir()}
	s.buildah("bud", "--quiet", "--isolation", "chroot", "-t", name, ".")
	var image struct {
		OCIv1 struct {
			Config struct {
				User       string
				Entrypoint []string
			}
		}
	}
	if err := json.Unmarshal([]byte(s.buildah("inspect", "--type", "image", name)), &image); err != nil {
		t.Fatal(err)
	}
	if got := image.OCIv1.Config.User; got != "65534:65534" {
		t.Errorf("user %q, want nobody's 65534:65534", got)
	}
	entry := strings.Join(image.OCIv1.Config.Entrypoint, " ")
	if entry != "/bin/acme_exporter" {
		t.Errorf("entry point %q", entry)
	}

	files := t.TempDir()
	ca := parts.StartPebble(t, parts.Ports{}, "-smooth")
	configure(t, files, ca.CA)
	container := s.buildah("from", "--pull-never", name)
	run := func(args ...string) string {
		t.Helper()
		return s.buildah(append([]string{
			"run", "--isolation", "chroot", "--volume", files + ":" + configDir + ":ro", container, "--", entry,
		}, args...)...)
	}
	if got := run("--version"); !strings.HasPrefix(got, "acme_exporter, version ") || strings.Contains(got, "version  ") {
		t.Errorf("version: %q", got)
	}
	// Its certificates are there, its state can be written, its user is nobody.
	got := run("--config.file="+configDir+"/acme.yml", "probe", parts.Target, "account", "--output=metrics")
	if !strings.Contains(got+"\n", "\nprobe_success 1\n") {
		t.Errorf("probe in the container:\n%s", got)
	}
	mount := s.buildah("mount", container)
	state, err := os.ReadDir(filepath.Join(mount, "var/lib/acme_exporter/accounts"))
	if err != nil || len(state) == 0 {
		t.Errorf("state in the container: %v, %v", state, err)
	}
	if _, err := os.Stat(filepath.Join(mount, "bin/sh")); err == nil {
		t.Error("the image has a shell")
	}
	roots, err := os.ReadFile(filepath.Join(mount, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || !bytes.Contains(roots, []byte("BEGIN CERTIFICATE")) {
		t.Errorf("the image has no root certificates: %v", err)
	}
}

// static holds that the binary needs no loader and no library.
func static(t *testing.T, file string) {
	t.Helper()
	binary, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, program := range binary.Progs {
		if program.Type == elf.PT_INTERP || program.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is dynamically linked", file)
		}
	}
}

// configure writes a configuration for ca that anybody may read.
func configure(t *testing.T, dir string, ca parts.CA) {
	t.Helper()
	pem, err := os.ReadFile(ca.RootFile)
	if err != nil {
		t.Fatal(err)
	}
	text := `targets:
  ca:
    directory_url: ` + ca.DirectoryURL + `
    environment: staging
    tls_config: {ca_file: root.pem}
    account: {contact: ["mailto:test@acme-probe.example"], agree_to_terms: true}
    probes: {account: 0s}
`
	for name, content := range map[string][]byte{"acme.yml": []byte(text), "root.pem": pem} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}
