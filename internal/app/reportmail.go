package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/mail"
	"github.com/acme-exporter/acme_exporter/internal/report"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// loadEmail reads the file of --email.config; nil: there is none.
func loadEmail(o ReportOptions) (*config.Email, error) {
	if o.EmailConfig == "" {
		if o.DryRun || o.EmailAgain {
			return nil, usageError{errors.New("report: --dry-run and --email.again are about a mail: add --email.config")}
		}
		return nil, nil
	}
	switch {
	case o.DryRun && o.Format != "":
		return nil, usageError{fmt.Errorf("--format=%s: --dry-run writes the mail itself: remove one of the two", o.Format)}
	case o.DryRun && o.EmailAgain:
		return nil, usageError{errors.New("report: --dry-run sends nothing: remove --email.again")}
	}
	to, err := config.LoadEmail(o.EmailConfig)
	if err != nil {
		return nil, usageError{fmt.Errorf("--email.config has mistakes:\n%w", err)}
	}
	return to, nil
}

// mailOf puts a report into a mail. The same report of the same Prometheus is the same
// mail, whenever it is made; but one that was made before its period was over is another
// than that of the whole period, and so is one in another time zone, whose week has other
// hours.
func mailOf(r *report.Report, o ReportOptions) (*mail.Message, error) {
	content, err := report.MailOf(r)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := report.Text(&text, r); err != nil {
		return nil, err
	}
	targets := o.targetNames()
	slices.Sort(targets)
	extent := "whole"
	if r.Unfinished() {
		extent = "unfinished"
	}
	m := &mail.Message{
		Period: r.Period.Name(), Key: append([]string{strings.TrimRight(r.Sources.Prometheus, "/"), r.Period.Timezone, extent}, slices.Compact(targets)...), Date: r.Created,
		Subject: content.Subject, Text: text.String(), HTML: content.HTML, Agent: r.Generator,
	}
	for _, image := range content.Images {
		m.Images = append(m.Images, mail.Image(image))
	}
	return m, nil
}

// mailReport sends the report, or writes the mail that would be sent.
func mailReport(ctx context.Context, common Common, r *report.Report, to *config.Email, o ReportOptions) error {
	m, err := mailOf(r, o)
	if err != nil {
		return err
	}
	if !o.DryRun {
		return sendReport(ctx, common, m, to, o.EmailAgain)
	}
	eml, err := m.Bytes(to)
	if err != nil {
		return err
	}
	write := func(w io.Writer) error {
		_, err := w.Write(eml)
		return err
	}
	if o.Output == "" {
		return write(common.Stdout)
	}
	return writeFile(o.Output, write)
}

// sendReport has the mail delivered, once.
func sendReport(ctx context.Context, common Common, m *mail.Message, to *config.Email, again bool) (err error) {
	store, err := state.Open(common.StateDir)
	if err != nil {
		return fmt.Errorf("report: what was sent is remembered in a state directory: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	delivery := &mail.Delivery{To: to, Store: store, Logger: common.Logger, Again: again}
	outcome, err := delivery.Deliver(ctx, m)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if outcome.Already {
		fmt.Fprintf(common.Stderr, "Nothing to send: it was sent at %s, with the Message-ID <%s>.\n", outcome.At.Format(time.RFC3339), outcome.ID)
		return nil
	}
	fmt.Fprintf(common.Stderr, "Sent to %d recipients, with the Message-ID <%s>. The server says: %s\n", len(to.Recipients), outcome.ID, outcome.Answer)
	return nil
}
