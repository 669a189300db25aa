package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// says writes a text.
func says(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

// TestWriteFile holds what becomes of what was there: a link stays one, a mode stays, a
// pipe is written to, and a report that cannot be written replaces nothing.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	check := func(name, text string, mode fs.FileMode) {
		t.Helper()
		info, err := os.Lstat(path(name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s: mode %v, want %v", name, info.Mode(), mode)
		}
		if got, err := os.ReadFile(path(name)); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v, want %q", name, got, err, text)
		}
	}
	for _, name := range []string{"private.html", "linked.html"} {
		if err := os.WriteFile(path(name), []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("linked.html", path("latest.html")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"private.html", "latest.html", "latest.html"} {
		if err := writeFile(path(name), says("after")); err != nil {
			t.Fatal(err)
		}
	}
	check("private.html", "after", 0o600)
	check("linked.html", "after", 0o600)
	check("latest.html", "after", fs.ModeSymlink|0o777)

	full := errors.New("full")
	if err := writeFile(path("private.html"), func(io.Writer) error { return full }); !errors.Is(err, full) || !strings.HasPrefix(err.Error(), "--output="+path("private.html")+": ") {
		t.Errorf("error %v", err)
	}
	check("private.html", "after", 0o600)

	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		got, err := os.ReadFile(path("pipe"))
		read <- fmt.Sprint(string(got), err)
	}()
	if err := writeFile(path("pipe"), says("after")); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "after<nil>" {
		t.Errorf("through the pipe came %q", got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 4 {
		t.Errorf("%d files are left, want 4: %v, %v", len(entries), entries, err)
	}
}

// TestVia holds that who forbids redirects has none followed.
func TestVia(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	prometheus := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer prometheus.Close()
	file := filepath.Join(t.TempDir(), "http.yml")
	if err := os.WriteFile(file, []byte("follow_redirects: false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := via("--prometheus.config", file)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	response, err := client.Get(prometheus.URL)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusFound || asked {
		t.Errorf("status %d, the other was asked: %v", response.StatusCode, asked)
	}
}

// TestTargetNames holds that commas too many make no name.
func TestTargetNames(t *testing.T) {
	if got := fmt.Sprintf("%q", ReportOptions{Targets: []string{"a, ,b,", "c"}}.targetNames()); got != `["a" "b" "c"]` {
		t.Errorf("names %s", got)
	}
	err := Report(t.Context(), Common{}, ReportOptions{Prometheus: "http://127.0.0.1:1", Timezone: "UTC", Targets: []string{" ,"}})
	if err == nil || err.Error() != "--targets: no name: leave it away to have all targets" {
		t.Errorf("error %v", err)
	}
}
