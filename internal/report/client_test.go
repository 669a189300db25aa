package report

import "testing"

// TestRedacted holds that nothing of a URL is shown that can be a secret.
func TestRedacted(t *testing.T) {
	for address, want := range map[string]string{
		"https://me:secret@prometheus.example/path?token=secret#secret": "https://prometheus.example/path",
		"http://localhost:9090?": "http://localhost:9090",
		"http://me:sec ret@[::1": "the URL",
	} {
		if got := redacted(address); got != want {
			t.Errorf("%s is shown as %s, want %s", address, got, want)
		}
	}
}

// TestTold holds that the name of a target does nothing to a terminal.
func TestTold(t *testing.T) {
	m := &maker{Options: Options{Progress: func(what string) {
		if what != "a\ufffd[2Jb" {
			t.Errorf("told %q", what)
		}
	}}}
	m.tell("a\x1b[2Jb")
}
