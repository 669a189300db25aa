package report

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	delivery "github.com/acme-exporter/acme_exporter/internal/mail"
	"github.com/acme-exporter/acme_exporter/internal/report"
	"github.com/acme-exporter/acme_exporter/internal/state"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// emailConfig writes a file for --email.config.
func emailConfig(t *testing.T, server *parts.MailServer, password string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "email.yml")
	content := fmt.Sprintf("smtp: {server: 127.0.0.1, port: %d, username: %s, password_file: password, ca_file: %q}\n"+
		"from: ACME report <acme@example.org>\nrecipients: [pki@example.org, Jörg <joerg@example.org>]\n", server.Port, server.User, server.CAFile)
	for name, content := range map[string]string{file: content, filepath.Join(dir, "password"): password + "\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// message is the sample as a mail.
func message(t *testing.T) (*delivery.Message, *report.Mail) {
	t.Helper()
	r := sampleReport(t)
	content, err := report.MailOf(r)
	if err != nil {
		t.Fatal(err)
	}
	m := &delivery.Message{Period: r.Period.Name(), Date: r.Created, Subject: content.Subject, Text: "As text.\n", HTML: content.HTML, Agent: r.Generator}
	for _, image := range content.Images {
		m.Images = append(m.Images, delivery.Image(image))
	}
	return m, content
}

// TestMail sends the sample to a real server, with STARTTLS and a password, which
// first is too busy; and a second time, after which there is still one mail.
func TestMail(t *testing.T) {
	t.Parallel()
	server := parts.StartMailServer(t)
	server.Refuse(parts.ErrTryLater)
	to, err := config.LoadEmail(emailConfig(t, server, server.Password))
	if err != nil {
		t.Fatal(err)
	}
	m, content := message(t)
	dir := t.TempDir()
	for run := range 3 {
		store, err := state.Open(dir) // each run is a process of its own
		if err != nil {
			t.Fatal(err)
		}
		d := &delivery.Delivery{To: to, Store: store, Logger: slog.New(slog.DiscardHandler), Waits: []time.Duration{10 * time.Millisecond}}
		outcome, err := d.Deliver(t.Context(), m)
		if err != nil || outcome.Already != (run > 0) {
			t.Errorf("run %d: %+v, %v", run, outcome, err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	taken := server.Taken()
	if len(taken) != 1 {
		t.Fatalf("%d mails, want 1", len(taken))
	}
	got := taken[0]
	if got.From != "acme@example.org" || !slices.Equal(got.To, []string{"pki@example.org", "joerg@example.org"}) || got.User != server.User || !got.TLS {
		t.Errorf("from %s to %q as %q, encrypted: %v", got.From, got.To, got.User, got.TLS)
	}
	read, err := mail.ReadMessage(bytes.NewReader(got.Data))
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{"Message-ID": "<" + m.ID(to) + ">", "Subject": content.Subject, "Auto-Submitted": "auto-generated", "Bcc": "", "Date": "Mon, 16 Nov 2026 06:00:00 +0100"} {
		if got := read.Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	parts := partsOf(t, read.Header.Get("Content-Type"), "", read.Body)
	if got := parts["text/plain"]; got != "As text.\r\n" {
		t.Errorf("text %q", got)
	}
	html := parts["text/html"]
	if strings.ReplaceAll(html, "\r\n", "\n") != content.HTML {
		t.Error("the HTML is not what was sent")
	}
	for _, image := range content.Images {
		data, ok := parts["<"+image.ID+">"]
		picture, err := png.Decode(strings.NewReader(data))
		if !ok || err != nil || picture.Bounds().Dx() != 1040 || !strings.Contains(html, `<img src="cid:`+image.ID+`" width="520"`) {
			t.Errorf("image %s: there: %v, %v", image.ID, ok, err)
		}
	}
	if len(parts) != 2+len(content.Images) || len(content.Images) != 3 {
		t.Errorf("%d parts and %d images, want text, HTML and 3", len(parts), len(content.Images))
	}
}

// TestMailRefused holds that nothing is sent to a server that is not the one that was
// meant, nor with a wrong password; neither is tried twice.
func TestMailRefused(t *testing.T) {
	t.Parallel()
	server, other := parts.StartMailServer(t), parts.StartMailServer(t)
	m, _ := message(t)
	try := func(file string) error {
		to, err := config.LoadEmail(file)
		if err != nil {
			t.Fatal(err)
		}
		store, err := state.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		d := &delivery.Delivery{To: to, Store: store, Logger: slog.New(slog.DiscardHandler), Waits: []time.Duration{time.Hour}}
		_, err = d.Deliver(t.Context(), m)
		return err
	}
	if err := try(emailConfig(t, server, "wrong")); err == nil || !strings.Contains(err.Error(), `log in as "acme": the server says 535`) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %v", err)
	}
	server.CAFile = other.CAFile
	if err := try(emailConfig(t, server, server.Password)); err == nil || !strings.Contains(err.Error(), "begin TLS: tls: failed to verify certificate") {
		t.Errorf("another certificate: %v", err)
	}
	if n := len(server.Taken()); n != 0 {
		t.Errorf("%d mails", n)
	}
}

// TestMailCommand makes a report of a real Prometheus and mails it as a timer would:
// once, however often it is started.
func TestMailCommand(t *testing.T) {
	t.Parallel()
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for _, state := range []string{"up", "degraded", "down", "unknown"} {
			fmt.Fprintf(w, "acme_target_state{target=\"corp\",environment=\"production\",state=%q} %d\n", state, map[bool]int{true: 1}[state == "up"])
		}
	}))
	t.Cleanup(exporter.Close)
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	scrape := fmt.Sprintf("scrape_configs: [{job_name: acme, scrape_interval: 1s, static_configs: [{targets: [%q], labels: {location: fra}}]}]\n",
		strings.TrimPrefix(exporter.URL, "http://"))
	if err := os.WriteFile(file, []byte(scrape), 0o600); err != nil {
		t.Fatal(err)
	}
	prometheus := parts.NewPrometheus(t, file)
	prometheus.Serve()
	parts.Until(t, "the exporter is scraped", func() bool {
		v, ok := prometheus.Value(`count_over_time(acme_target_state{state="up"}[1m])`)
		return ok && v >= 4
	})

	server := parts.StartMailServer(t)
	since := time.Now().UTC().Add(-time.Hour - time.Second) // a look each 30 s, and one of them a second ago
	store, eml, page := filepath.Join(dir, "state"), filepath.Join(dir, "report.eml"), filepath.Join(dir, "report.html")
	report := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), parts.PlainBinary(t), append([]string{
			"report", "--prometheus.url=" + prometheus.URL, "--since=" + since.Format("2006-01-02T15:04:05"), "--until=" + since.Add(2*time.Hour).Format("2006-01-02T15:04:05"),
			"--email.config=" + emailConfig(t, server, server.Password), "--state.dir=" + store,
		}, args...)...)
		var said bytes.Buffer
		cmd.Stderr = &said
		if out, err := cmd.Output(); err != nil || len(out) > 0 {
			t.Fatalf("report %q: %v: %s%s", args, err, out, said.String())
		}
		return said.String()
	}
	report("--dry-run", "--output="+eml)
	written, err := os.ReadFile(eml)
	if err != nil {
		t.Fatal(err)
	}
	read, err := mail.ReadMessage(bytes.NewReader(written))
	if err != nil {
		t.Fatal(err)
	}
	id := read.Header.Get("Message-ID")
	all := partsOf(t, read.Header.Get("Content-Type"), "", read.Body)
	for _, form := range []string{"text/plain", "text/html"} {
		if !strings.Contains(all[form], "corp") || !strings.Contains(all[form], "100 %") {
			t.Errorf("%s: %s", form, all[form])
		}
	}
	if _, err := os.Stat(store); len(server.Taken()) > 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("--dry-run has sent %d mails, state directory: %v", len(server.Taken()), err)
	}
	for _, run := range []struct {
		args  []string
		said  string
		mails int // by then
	}{
		{[]string{"--output=" + page}, "Sent to 2 recipients, with the Message-ID " + id, 1},
		{nil, "Nothing to send: it was sent at ", 1},
		{[]string{"--email.again"}, "Sent to 2 recipients, with the Message-ID " + id, 2},
		{[]string{"--targets=corp"}, "Sent to 2 recipients, with the Message-ID ", 3},
		{[]string{"--targets=corp"}, "Nothing to send: it was sent at ", 3},
	} {
		if said := report(run.args...); !strings.Contains(said, run.said) || len(server.Taken()) != run.mails {
			t.Errorf("report %q: %d mails, want %d: %s", run.args, len(server.Taken()), run.mails, said)
		}
	}
	if content, err := os.ReadFile(page); err != nil || !bytes.Contains(content, []byte("<svg")) {
		t.Errorf("--output beside --email.config: %v", err)
	}
}

// partsOf returns the parts of a mail by their Content-ID, or else by their type.
func partsOf(t *testing.T, contentType, id string, body io.Reader) map[string]string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		content, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if id != "" {
			kind = id
		}
		return map[string]string{kind: string(content)}
	}
	all := map[string]string{}
	for r := multipart.NewReader(body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		var content io.Reader = part
		switch part.Header.Get("Content-Transfer-Encoding") {
		case "quoted-printable":
			content = quotedprintable.NewReader(part)
		case "base64":
			content = base64.NewDecoder(base64.StdEncoding, part)
		}
		maps.Copy(all, partsOf(t, part.Header.Get("Content-Type"), part.Header.Get("Content-Id"), content))
	}
}
