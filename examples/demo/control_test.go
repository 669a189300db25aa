package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/examples/demo/ca"
	"github.com/acme-exporter/acme_exporter/examples/demo/process"
)

// TestControl uses the outage switch as a browser does, without JavaScript, and
// as the command does.
func TestControl(t *testing.T) {
	listener, err := listenControl(process.Loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	outage := ca.NewOutage()
	server := serveControl(listener, outage, "http://exporter.example")
	t.Cleanup(func() {
		if err := closeWithin(stopTimeout, server.Shutdown); err != nil {
			t.Error(err)
		}
	})
	address := "http://" + server.Addr + "/"

	for _, d := range ca.Modes() {
		resp, err := http.PostForm(address, url.Values{"mode": {string(d.Mode)}})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		pressed := `value="` + string(d.Mode) + `" aria-describedby="about-` + string(d.Mode) + `" aria-current="true">`
		if got := outage.Mode(); got != d.Mode || resp.StatusCode != http.StatusOK ||
			!strings.Contains(string(body), pressed) || strings.Count(string(body), "aria-current") != 1 {
			t.Errorf("POST mode=%s: %s, mode %s\n%s", d.Mode, resp.Status, got, body)
		}
	}
	if err := outage.Set(ca.Off); err != nil {
		t.Fatal(err)
	}

	resp, err := http.PostForm(address, url.Values{"mode": {"fire"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("POST mode=fire: %s", resp.Status)
	}

	said := new(strings.Builder)
	if err := setOutage(t.Context(), said, server.Addr, "slow"); err != nil || outage.Mode() != ca.Slow {
		t.Errorf("outage slow: %v, mode %s", err, outage.Mode())
	}
	if err := setOutage(t.Context(), said, server.Addr, ""); err != nil {
		t.Error(err)
	}
	if text := said.String(); !strings.HasPrefix(text, "outage: slow\noutage: slow\n\n  off  ") || !strings.Contains(text, "\n  va-down ") {
		t.Errorf("the command says %q", text)
	}
	err = setOutage(t.Context(), said, server.Addr, "fire")
	if err == nil || !strings.Contains(err.Error(), `mode "fire" is none of [off db-down`) || outage.Mode() != ca.Slow {
		t.Errorf("outage fire: %v, mode %s", err, outage.Mode())
	}
}
