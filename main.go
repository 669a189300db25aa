// Command acme_exporter watches ACME certificate authorities from the outside
// and exposes what it sees to Prometheus.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/acme-exporter/acme_exporter/internal/app"
)

// The exit codes, the same for every command.
const (
	exitSuccess = 0
	exitFailure = 1 // the probe failed, or the exporter cannot go on
	exitUsage   = 2 // the command line or the configuration is at fault
	exitUnsure  = 3 // the report's mail may have been delivered: a person has to look
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program but for the process around it. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	cli := kingpin.New("acme_exporter", "Watches ACME certificate authorities (RFC 8555) from the outside, for Prometheus.")
	cli.UsageWriter(stdout).ErrorWriter(stderr)
	cli.Version(version.Print("acme_exporter"))
	cli.HelpFlag.Short('h')

	common := app.Common{Stdout: stdout, Stderr: stderr}
	cli.Flag("config.file", "Configuration file. Without one, the directory and the nonces of Let's Encrypt are watched.").
		PlaceHolder("FILE").StringVar(&common.ConfigFile)
	cli.Flag("state.dir", "Directory for account keys, last results and follow-ups; created when a module first signs.").
		Envar("STATE_DIRECTORY").Default("data").StringVar(&common.StateDir)
	logging := promslog.Config{Writer: stderr}
	promslogflag.AddFlags(cli, &logging)
	levelChosen := false
	cli.GetFlag(promslogflag.LevelFlagName).IsSetByUser(&levelChosen)

	// The flags of the default command stand at the top, so that --help shows them.
	var chosen command
	var serve app.ServeOptions
	cli.Command("serve", "Run the exporter (the default).").Default().
		Action(chosen.chosen(func(ctx context.Context, common app.Common) error { return app.Serve(ctx, common, serve) }))
	serve.Web = kingpinflag.AddFlags(cli, ":18555")
	cli.Flag("web.external-url", "Where readers of the feed find the pages, if it is not where they ask.").
		PlaceHolder("URL").StringVar(&serve.ExternalURL)
	cli.Flag("web.enable-run", "Let runs be started from the pages, by those whom --web.config.file makes show who they are.").
		BoolVar(&serve.EnableRun)
	duration(cli, "timeout-offset", "500ms", &serve.TimeoutOffset, "Time taken off the scrape timeout of /probe for the way back.")
	cli.Flag("config.enable-auto-reload", "Reload when the content of the configuration file has changed.").
		BoolVar(&serve.AutoReload)
	duration(cli, "config.auto-reload-interval", "30s", &serve.AutoReloadInterval, "How often to look for a change.")
	duration(cli, "shutdown.grace-period", "25s", &serve.GracePeriod, "How long runs in flight may go on after SIGTERM.")
	cli.Flag("metrics.histograms", "Which histograms to expose: classic, native or both.").
		Default("both").StringVar(&serve.Histograms)

	probeCommand(cli, &chosen)
	accountCommands(cli, &chosen)
	budgetCommands(cli, &chosen)
	checkCommand(cli, &chosen)
	replayCommand(cli, &chosen)
	reportCommand(cli, &chosen)

	// Help and version end the parsing; kingpin would end the process.
	stopped, code := false, exitSuccess
	cli.Terminate(func(status int) {
		stopped = true
		if status != 0 {
			code = exitUsage
		}
	})
	name, err := cli.Parse(args)
	switch {
	case stopped:
		return code
	case err != nil:
		fmt.Fprintf(stderr, "acme_exporter: %v (try --help)\n", err)
		return exitUsage
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if name != "serve" && !levelChosen {
		logging.Level = promslog.NewLevel()
		_ = logging.Level.Set("warn") // its output is what the user wants to read
	}
	common.Logger = promslog.New(&logging)

	err = chosen(ctx, common)
	switch {
	case err == nil:
		return exitSuccess
	case errors.Is(err, app.ErrProbeFailed), errors.Is(err, app.ErrCheckFailed):
		return exitFailure // its output has said why
	}
	fmt.Fprintf(stderr, "acme_exporter: %v\n", err)
	return exitCode(err)
}

// exitCode is that of a command that failed.
func exitCode(err error) int {
	switch {
	case errors.Is(err, app.ErrUsage):
		return exitUsage
	case errors.Is(err, app.ErrMailUnsure):
		return exitUnsure
	}
	return exitFailure
}

// durationFlag is a duration whose error names the flag; kingpin's does not.
type durationFlag struct {
	name  string
	value *time.Duration
}

func duration(cli *kingpin.Application, name, byDefault string, value *time.Duration, help string) {
	cli.Flag(name, help).Default(byDefault).SetValue(durationFlag{name, value})
}

// Set implements kingpin.Value.
func (f durationFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("--%s=%s: not a duration such as 500ms or 30s", f.name, s)
	}
	*f.value = d
	return nil
}

// String implements kingpin.Value.
func (f durationFlag) String() string { return f.value.String() }
