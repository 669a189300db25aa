package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	_ "time/tzdata" // for --timezone where the system has no zones, as in an image from scratch

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/version"

	"github.com/acme-exporter/acme_exporter/internal/mail"
	"github.com/acme-exporter/acme_exporter/internal/report"
)

// ErrNothingKnown is returned by [Report] when there was nothing to report on. The report
// has been written and says so; it is not mailed, so that a later run can mail what is
// known by then.
var ErrNothingKnown = errors.New("nothing is known of any target")

// ErrMailUnsure is returned by [Report] when the mail may have been delivered, and is not
// sent again by itself: a person has to look.
var ErrMailUnsure = mail.ErrUnsure

// ReportOptions are the arguments of the command report.
type ReportOptions struct {
	Prometheus, PrometheusConfig string   // a URL; a file with an HTTPClientConfig, empty: none
	Exporters                    []string // URLs
	ExporterConfig               string   // a file as PrometheusConfig, for all exporters
	Since, Until, Timezone       string   // see report.NewPeriod
	Targets                      []string // names, several with commas between them; empty: all
	Output, Format               string   // a file, empty: standard output; see report.Format
	EmailConfig                  string   // a file, see config.LoadEmail; empty: nothing is mailed
	DryRun                       bool     // write the mail to Output, and send nothing
	EmailAgain                   bool     // send what was sent already, or may have been
}

// Report asks a Prometheus, and writes what all locations have seen in a period. With an
// EmailConfig it mails that, and writes it only where it is told to as well.
func Report(ctx context.Context, common Common, o ReportOptions) error {
	to, err := loadEmail(o)
	if err != nil {
		return err
	}
	format := ""
	if to == nil || !o.DryRun && (o.Format != "" || o.Output != "") {
		if format, err = report.Format(o.Format, o.Output); err != nil {
			return usageError{err}
		}
	}
	made, err := makeReport(ctx, common, o)
	if err != nil {
		return err
	}
	if format != "" {
		if err := writeReport(common.Stdout, made, format, o.Output); err != nil {
			return err
		}
	}
	nothing := len(made.Targets) == 0
	if to != nil && (!nothing || o.DryRun) {
		if err := mailReport(ctx, common, made, to, o); err != nil {
			return err
		}
	}
	switch {
	case nothing && to != nil && !o.DryRun:
		return fmt.Errorf("report: %w, and no mail was sent: %s", ErrNothingKnown, made.WhyNothing())
	case nothing:
		return fmt.Errorf("report: %w: the report says why", ErrNothingKnown)
	}
	return nil
}

// targetNames are the names that --targets has, several with commas between them.
func (o ReportOptions) targetNames() []string {
	var all []string
	for _, names := range o.Targets {
		for name := range strings.SplitSeq(names, ",") {
			if name = strings.TrimSpace(name); name != "" {
				all = append(all, name)
			}
		}
	}
	return all
}

// checkURL returns an error that names the flag, and not its value: that can have a password.
func checkURL(flag, address string) error {
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usageError{fmt.Errorf("%s: not a URL such as http://localhost:9090", flag)}
	}
	return nil
}

// makeReport makes the report that is asked for.
func makeReport(ctx context.Context, common Common, o ReportOptions) (*report.Report, error) {
	period, err := report.NewPeriod(o.Since, o.Until, o.Timezone, time.Now())
	if err != nil {
		return nil, usageError{err}
	}
	if err := checkURL("--prometheus.url", o.Prometheus); err != nil {
		return nil, err
	}
	for i, address := range o.Exporters {
		if err := checkURL(fmt.Sprintf("--exporter.url, number %d of %d", i+1, len(o.Exporters)), address); err != nil {
			return nil, err
		}
	}
	if len(o.Targets) > 0 && len(o.targetNames()) == 0 {
		return nil, usageError{errors.New("--targets: no name: leave it away to have all targets")}
	}
	options := report.Options{
		Period: period, Prometheus: o.Prometheus, Exporters: o.Exporters, Generator: "acme_exporter " + version.Version,
		Targets:  o.targetNames(),
		Progress: func(what string) { fmt.Fprintf(common.Stderr, "%s …\n", what) },
	}
	if options.Via, err = via("--prometheus.config", o.PrometheusConfig); err != nil {
		return nil, err
	}
	if options.ExporterVia, err = via("--exporter.config", o.ExporterConfig); err != nil {
		return nil, err
	}
	made, err := report.Make(ctx, options)
	if err != nil {
		return nil, err
	}
	for _, warning := range made.Warnings() {
		fmt.Fprintln(common.Stderr, warning)
	}
	return made, nil
}

// via makes the client that a file describes; nil without one.
func via(flag, file string) (*http.Client, error) {
	if file == "" {
		return nil, nil
	}
	c, _, err := promconfig.LoadHTTPConfigFile(file)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	client, err := promconfig.NewClientFromConfig(*c, "report", promconfig.WithUserAgent("acme_exporter/"+version.Version))
	if err != nil {
		return nil, usageError{fmt.Errorf("%s=%s: %w", flag, file, err)}
	}
	return client, nil
}

// writeReport writes the report to a file; without one to stdout.
func writeReport(stdout io.Writer, r *report.Report, format, file string) error {
	if file == "" {
		return report.Write(stdout, r, format)
	}
	return writeFile(file, func(w io.Writer) error { return report.Write(w, r, format) })
}

// writeFile writes a file, which has either all of it or what it had before. What is no
// plain file, a pipe or a device, is written to as it is.
func writeFile(file string, write func(io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("--output=%s: %w", file, err)
		}
	}()
	name, mode := file, os.FileMode(0o666) // less the umask
	if real, err := filepath.EvalSymlinks(file); err == nil {
		name = real
	}
	there, err := os.Stat(name)
	switch {
	case err == nil && !there.Mode().IsRegular():
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	case err == nil:
		mode = there.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	temporary := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+"."+rand.Text())
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	err = write(f)
	if there != nil {
		err = errors.Join(err, f.Chmod(mode)) // what the umask has taken
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return nil
}
