package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/acme-exporter/acme_exporter/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Store; it fails as long as broken is set.
type memory struct {
	stored map[string][]byte
	broken error
}

func (m *memory) Get(bucket, key string) ([]byte, error) { return m.stored[bucket+"/"+key], m.broken }

func (m *memory) Put(bucket, key string, value any) error {
	if m.broken != nil {
		return m.broken
	}
	b, err := json.Marshal(value)
	if m.stored == nil {
		m.stored = map[string][]byte{}
	}
	m.stored[bucket+"/"+key] = b
	return err
}

// condition is the one that is stored, of the only mail.
func (m *memory) condition(t *testing.T) string {
	t.Helper()
	if len(m.stored) > 1 {
		t.Errorf("there are records of %d mails", len(m.stored))
	}
	for _, b := range m.stored {
		var r record
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		return r.Condition
	}
	return ""
}

// to is a configuration for a server without TLS.
func to(t *testing.T, port int) *config.Email {
	t.Helper()
	file := filepath.Join(t.TempDir(), "email.yml")
	content := fmt.Sprintf("smtp: {server: 127.0.0.1, port: %d, tls: none}\nfrom: ACME <acme@example.org>\nrecipients: [pki@example.org, \"Jörg, Ops <ops@example.org>\"]\n", port)
	content = strings.Replace(content, `"Jörg, Ops <ops@example.org>"`, `'"Jörg, Ops" <ops@example.org>'`, 1)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := config.LoadEmail(file)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func message() *Message {
	return &Message{
		Period: "2026-W46", Key: []string{"letsencrypt"}, Date: time.Date(2026, 11, 16, 6, 0, 0, 0, time.UTC),
		Subject: "The week\r\nBcc: everybody@example.org", Text: "All is well.\n.\n", HTML: `<p>All is well.</p><img src="cid:a@b">`,
		Images: []Image{{Name: "a.png", ID: "a@b", PNG: []byte("\x89PNG")}}, Agent: "acme_exporter 1.2.3",
	}
}

func delivery(t *testing.T, s *server, store Store) *Delivery {
	t.Helper()
	return &Delivery{To: to(t, s.port), Store: store, Logger: slog.New(slog.DiscardHandler), Waits: []time.Duration{0, 0}}
}

// TestDeliver holds what becomes of a mail, by what the server says.
func TestDeliver(t *testing.T) {
	const cut = "451 4.3.0 later"
	for _, c := range []struct {
		name        string
		say         map[string][]string
		connections int
		mails       int    // with their end
		condition   string // that is stored
		err         string // what it must say; empty: none
	}{
		{"at once", nil, 1, 1, conditionSent, ""},
		{"the third time", map[string][]string{"220": {"421 too busy"}, "MAIL": {cut}}, 3, 1, conditionSent, ""},
		{"a recipient later", map[string][]string{"RCPT": {"250 ok", "450 4.2.0 greylisted"}}, 2, 1, conditionSent, ""},
		{"the end refused for now", map[string][]string{".": {cut}}, 2, 2, conditionSent, ""},
		{"never", map[string][]string{"220": {hangUp, hangUp, hangUp, hangUp}}, 3, 0, "", "in 3 attempts"},
		{"a recipient unknown", map[string][]string{"RCPT": {"250 ok", "550 5.1.1 nobody here"}}, 1, 0, "", "name the recipient ops@example.org: the server says 550 5.1.1 nobody here"},
		{"the sender unknown", map[string][]string{"MAIL": {"553 no"}}, 1, 0, "", "name the sender acme@example.org: the server says 553 no"},
		{"refused", map[string][]string{".": {"554 5.7.1 spam"}}, 1, 1, conditionRefused, "send the mail: the server says 554 5.7.1 spam"},
		{"gone before the end", map[string][]string{"DATA": {hangUp, hangUp, hangUp}}, 3, 0, "", "in 3 attempts: send the mail"},
		{"taken in other words", map[string][]string{".": {"252 2.0.0 taken as ever"}}, 1, 1, conditionSent, ""},
		{"an answer that is none", map[string][]string{".": {"354 go on"}}, 1, 1, conditionSending, "did not say what became of it"},
		{"gone after the end", map[string][]string{".": {hangUp}}, 1, 1, conditionSending, "It may have been delivered, and is not sent again by itself: look for the Message-ID <acme-report.2026-W46."},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, store := listen(t), &memory{}
			for command, answers := range c.say {
				s.says(command, answers...)
			}
			outcome, err := delivery(t, s, store).Deliver(t.Context(), message())
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if c.err == "" && (outcome == nil || outcome.Already || !strings.HasPrefix(outcome.Answer, "2.0.0 taken as ")) {
				t.Errorf("outcome %+v", outcome)
			}
			if errors.Is(err, ErrUnsure) != (c.condition == conditionSending) {
				t.Errorf("unsure %v of %v", errors.Is(err, ErrUnsure), err)
			}
			if n := s.connections(); n != c.connections {
				t.Errorf("%d connections, want %d", n, c.connections)
			}
			if n := len(s.got()); n != c.mails {
				t.Errorf("%d mails, want %d", n, c.mails)
			}
			if got := store.condition(t); got != c.condition {
				t.Errorf("stored: %q, want %q", got, c.condition)
			}
			for _, mail := range s.got() {
				if strings.Contains(mail, "\r\nBcc:") || !strings.Contains(mail, "Message-ID: <"+message().ID(to(t, s.port))+">") {
					t.Errorf("the mail:\n%s", mail)
				}
			}
		})
	}
}

// TestTwice holds that a second run sends nothing, but when it has to.
func TestTwice(t *testing.T) {
	s, store := listen(t), &memory{}
	d := delivery(t, s, store)
	first, err := d.Deliver(t.Context(), message())
	if err != nil {
		t.Fatal(err)
	}
	other := message()
	other.Text, other.Date = "Something was counted since.", other.Date.Add(time.Hour)
	second, err := d.Deliver(t.Context(), other)
	if err != nil || !second.Already || second.ID != first.ID || second.Answer != first.Answer || len(s.got()) != 1 {
		t.Errorf("second run: %+v, %v, %d mails", second, err, len(s.got()))
	}
	d.Again = true
	if again, err := d.Deliver(t.Context(), message()); err != nil || again.Already || again.ID != first.ID || len(s.got()) != 2 {
		t.Errorf("again: %+v, %v, %d mails", again, err, len(s.got()))
	}
	d.Again = false
	week := message()
	week.Period = "2026-W47"
	if next, err := d.Deliver(t.Context(), week); err != nil || next.Already || len(s.got()) != 3 {
		t.Errorf("another week: %+v, %v, %d mails", next, err, len(s.got()))
	}
}

// TestCrash ends the program while the end of a mail is on its way.
func TestCrash(t *testing.T) {
	s, store := listen(t), &memory{}
	d := delivery(t, s, store)
	died := errors.New("died")
	eml, err := message().Bytes(d.To)
	if err != nil {
		t.Fatal(err)
	}
	id := message().ID(d.To)
	// What the program does up to its last moment: the end is not sent.
	if _, err := converse(t.Context(), dial, d.To, eml, func() error { return errors.Join(d.put(id, conditionSending, ""), died) }); !errors.Is(err, died) {
		t.Fatalf("error %v", err)
	}
	if n := len(s.got()); n != 0 {
		t.Errorf("%d mails without their end", n)
	}
	for range 2 {
		if _, err := d.Deliver(t.Context(), message()); !errors.Is(err, ErrUnsure) || !strings.Contains(err.Error(), "while this mail was being sent. It may have been delivered") || !strings.Contains(err.Error(), "--email.again") {
			t.Errorf("after the crash: %v", err)
		}
	}
	if n := s.connections(); n != 1 {
		t.Errorf("%d connections, want none after the crash", n-1)
	}
	d.Again = true
	if _, err := d.Deliver(t.Context(), message()); err != nil {
		t.Error(err)
	}
	d.Again = false
	if outcome, err := d.Deliver(t.Context(), message()); err != nil || !outcome.Already || len(s.got()) != 1 {
		t.Errorf("then: %+v, %v, %d mails", outcome, err, len(s.got()))
	}
}

// TestAgainRefused holds that a mail which was sent, or may have been, is not forgotten
// because another was refused.
func TestAgainRefused(t *testing.T) {
	for _, say := range []string{"220", "."} {
		for _, condition := range []string{conditionSent, conditionSending} {
			t.Run(condition+" "+say, func(t *testing.T) {
				s, store := listen(t), &memory{}
				d := delivery(t, s, store)
				if err := d.put(message().ID(d.To), condition, "taken"); err != nil {
					t.Fatal(err)
				}
				s.says(say, "554 5.7.1 no")
				d.Again = true
				if _, err := d.Deliver(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "the mail was not sent") {
					t.Errorf("again: %v", err)
				}
				d.Again = false
				mails := len(s.got())
				outcome, err := d.Deliver(t.Context(), message())
				if condition == conditionSent && (err != nil || !outcome.Already || outcome.Answer != "taken") || condition == conditionSending && !errors.Is(err, ErrUnsure) {
					t.Errorf("then: %+v, %v", outcome, err)
				}
				if len(s.got()) != mails {
					t.Error("then it was sent again")
				}
			})
		}
	}
}

// TestSlow holds that each answer of a server may take its time, and none for ever.
func TestSlow(t *testing.T) {
	for _, c := range []struct {
		name           string
		slow, slowMail time.Duration
		err            string // what it must say; empty: none
	}{
		{"slow", 50 * time.Second, 4 * time.Minute, ""},
		{"too slow", 70 * time.Second, 0, "the mail was not sent, in 1 attempts: greet 127.0.0.1"},
		{"too slow with the mail", 0, 6 * time.Minute, "the mail was not sent, in 1 attempts: send the mail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{port: 25, said: map[string][]string{}, slow: c.slow, slowMail: c.slowMail}
				d := delivery(t, s, &memory{})
				d.Waits = []time.Duration{}
				var serving sync.WaitGroup
				defer serving.Wait()
				d.dial = func(context.Context, *config.SMTP) (net.Conn, error) {
					ours, theirs := net.Pipe()
					serving.Go(func() {
						defer theirs.Close()
						s.serve(theirs)
					})
					return ours, nil
				}
				m := message()
				m.Text = strings.Repeat("More than is sent at once.\n", 1000)
				_, err := d.Deliver(t.Context(), m)
				if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				if n := len(s.got()); n != map[bool]int{true: 1}[c.err == ""] {
					t.Errorf("%d mails", n)
				}
			})
		})
	}
}

// TestBrokenStore holds that nothing is sent that cannot be remembered.
func TestBrokenStore(t *testing.T) {
	s, full := listen(t), errors.New("disk full")
	d := delivery(t, s, &memory{broken: full})
	for _, again := range []bool{false, true} {
		d.Again = again
		if _, err := d.Deliver(t.Context(), message()); !errors.Is(err, full) {
			t.Errorf("again %v: error %v", again, err)
		}
	}
	if n := len(s.got()); n != 0 {
		t.Errorf("%d mails", n)
	}
}

// TestStopped holds that a signal ends an attempt and a wait.
func TestStopped(t *testing.T) {
	s := listen(t)
	s.says("220", "421 later")
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	d := delivery(t, s, &memory{})
	d.Waits = []time.Duration{time.Hour}
	d.Logger = slog.New(onWarning{slog.DiscardHandler, func() { cancel(stopped) }})
	if _, err := d.Deliver(ctx, message()); !errors.Is(err, stopped) {
		t.Errorf("error %v", err)
	}
	if _, err := d.Deliver(ctx, message()); !errors.Is(err, stopped) || len(s.got()) != 0 {
		t.Errorf("error %v, %d mails", err, len(s.got()))
	}
}

// onWarning calls do for each record.
type onWarning struct {
	slog.Handler
	do func()
}

func (h onWarning) Enabled(context.Context, slog.Level) bool { return true }

func (h onWarning) Handle(context.Context, slog.Record) error {
	h.do()
	return nil
}

// TestRequired holds that without STARTTLS no mail and no password leaves, and that a
// server which offers no way to log in is not used.
func TestRequired(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s := listen(t)
	for name, content := range map[string]string{
		"password":  "hunter2",
		"start.yml": fmt.Sprintf("smtp: {server: localhost, port: %d, username: acme, password_file: password}\nfrom: a@b.example\nrecipients: [c@d.example]\n", s.port),
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := config.LoadEmail("start.yml")
	if err != nil {
		t.Fatal(err)
	}
	d := delivery(t, s, &memory{})
	d.To = e
	if _, err := d.Deliver(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "begin TLS: the server does not offer STARTTLS") {
		t.Errorf("error %v", err)
	}
	if s.connections() != 1 || len(s.got()) != 0 {
		t.Errorf("%d connections, %d mails", s.connections(), len(s.got()))
	}
	if authentication(&e.SMTP, []string{"NTLM", "XOAUTH2"}) != nil || authentication(&e.SMTP, []string{"LOGIN", "PLAIN"}) == nil {
		t.Error("another way to log in than those that are known")
	}
}

// TestID holds what makes another mail of the same period.
func TestID(t *testing.T) {
	base := to(t, 25)
	id := message().ID(base)
	if !strings.HasPrefix(id, "acme-report.2026-W46.") || !strings.HasSuffix(id, "@example.org") {
		t.Errorf("Message-ID %s", id)
	}
	same := *base
	same.Recipients = []string{"OPS@example.org", "PKI team <pki@EXAMPLE.org>"}
	same.SMTP.Port = 587
	if got := message().ID(&same); got != id {
		t.Errorf("the same recipients make %s, not %s", got, id)
	}
	seen := []string{id}
	for name, change := range map[string]func(m *Message, e *config.Email){
		"period":     func(m *Message, _ *config.Email) { m.Period = "2026-W47" },
		"targets":    func(m *Message, _ *config.Email) { m.Key = []string{"letsencrypt,corp"} },
		"two keys":   func(m *Message, _ *config.Email) { m.Key = []string{"letsencrypt", "corp"} },
		"sender":     func(_ *Message, e *config.Email) { e.From = "b@example.org" },
		"recipients": func(_ *Message, e *config.Email) { e.Recipients = e.Recipients[:1] },
	} {
		m, e := message(), *base
		change(m, &e)
		got := m.ID(&e)
		if slices.Contains(seen, got) {
			t.Errorf("another %s makes no other Message-ID", name)
		}
		seen = append(seen, got)
	}
}
