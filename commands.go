package main

import (
	"context"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/acme-exporter/acme_exporter/internal/app"
)

// command is what was chosen, with its arguments.
type command func(ctx context.Context, common app.Common) error

// chosen returns an action that sets do.
func (c *command) chosen(do command) kingpin.Action {
	return func(*kingpin.ParseContext) error {
		*c = do
		return nil
	}
}

// probeCommand declares the command probe.
func probeCommand(cli *kingpin.Application, chosen *command) {
	var o app.ProbeOptions
	cmd := cli.Command("probe", "Run one probe now and show each of its calls.").
		Action(chosen.chosen(func(ctx context.Context, common app.Common) error { return app.Probe(ctx, common, o) }))
	cmd.Arg("target", "Name of a configured target.").Required().StringVar(&o.Target)
	cmd.Arg("module", "Name of a module that the target's probes name.").Required().StringVar(&o.Module)
	cmd.Flag("output", "text, json or metrics.").Short('o').Default("text").StringVar(&o.Output)
}

// accountCommands declares the commands about accounts.
func accountCommands(cli *kingpin.Application, chosen *command) {
	var o app.AccountOptions
	group := cli.Command("account", "Look after the accounts at CAs. A running exporter need not be stopped.")
	command := func(name, help string) *kingpin.CmdClause {
		cmd := group.Command(name, help).Action(chosen.chosen(func(ctx context.Context, common app.Common) error {
			o.Operation = name
			return app.Account(ctx, common, o)
		}))
		cmd.Arg("target", "Name of a configured target.").Required().StringVar(&o.Target)
		return cmd
	}
	command("show", "Show the account, and ask the CA for its status.").
		Flag("output", "text or json.").Short('o').Default("text").StringVar(&o.Output)
	command("register", "Make sure that the CA has an account for the key.").
		Flag("new-key", "Put the account that is there aside, and make another.").BoolVar(&o.NewKey)
	command("rotate", "Replace the account's key, by one of the configured type.")
	command("deactivate", "Give the account up, for good.").
		Flag("yes", "It is meant.").BoolVar(&o.Yes)
}

// budgetCommands declares the commands about what is spent.
func budgetCommands(cli *kingpin.Application, chosen *command) {
	o := app.BudgetOptions{Stdin: os.Stdin}
	group := cli.Command("budget", "Look after what is spent of the CAs' rate limits. A running exporter must be stopped.")
	command := func(name, help string) *kingpin.CmdClause {
		return group.Command(name, help).Action(chosen.chosen(func(ctx context.Context, common app.Common) error {
			o.Operation = name
			return app.Budget(ctx, common, o)
		}))
	}
	show := command(app.BudgetShow, "Show what is left of each limit, what is paused, and how full the pools of names are.")
	show.Arg("target", "Name of a configured target; without it, all at which a probe orders.").StringVar(&o.Target)
	show.Flag("output", "text or json.").Short('o').Default("text").StringVar(&o.Output)
	reset := command(app.BudgetReset, "Forget what was spent at the target's CA, and lift its pauses. The CA forgets nothing.")
	reset.Arg("target", "Name of a configured target.").Required().StringVar(&o.Target)
	reset.Flag("confirm", "The target's name once more, for scripts; without it, it is asked for.").PlaceHolder("NAME").StringVar(&o.Confirm)
}

// checkCommand declares the command that checks files.
func checkCommand(cli *kingpin.Application, chosen *command) {
	var o app.CheckOptions
	cmd := cli.Command("check", "Check files.").
		Command("config", "Check configuration files; report every mistake, and what the probes will spend.").
		Action(chosen.chosen(func(ctx context.Context, common app.Common) error { return app.CheckConfig(ctx, common, o) }))
	cmd.Arg("file", "Configuration file.").Required().StringsVar(&o.Files)
	cmd.Flag("online", "Also ask name servers, CAs and our own responders; no account and no order is made.").
		BoolVar(&o.Online)
	cmd.Flag("output", "text or json.").Short('o').Default("text").StringVar(&o.Output)
}

// replayCommand declares the command that makes incidents of recorded runs.
func replayCommand(cli *kingpin.Application, chosen *command) {
	var file string
	cmd := cli.Command("replay", "Print the incidents that recorded runs make.").
		Action(chosen.chosen(func(_ context.Context, common app.Common) error { return app.Replay(common, file, os.Stdin) }))
	cmd.Arg("file", "Runs as JSON, one after the other, as `probe --output=json` and /api/v1/runs have them; without it, standard input.").
		StringVar(&file)
}

// reportCommand declares the command that makes the weekly report.
func reportCommand(cli *kingpin.Application, chosen *command) {
	var o app.ReportOptions
	cmd := cli.Command("report", "Report what all locations have seen in a week, as Prometheus has it.").
		Action(chosen.chosen(func(ctx context.Context, common app.Common) error { return app.Report(ctx, common, o) }))
	cmd.Flag("prometheus.url", "Server with Prometheus's API that has the samples of all locations.").
		PlaceHolder("URL").Required().StringVar(&o.Prometheus)
	cmd.Flag("prometheus.config", "File with credentials and TLS for it, as http_config in Prometheus's documentation.").
		PlaceHolder("FILE").StringVar(&o.PrometheusConfig)
	cmd.Flag("exporter.url", "Exporter to ask for its incidents; repeat it for each. Without it they are from metrics.").
		PlaceHolder("URL").StringsVar(&o.Exporters)
	cmd.Flag("exporter.config", "File with credentials and TLS for the exporters.").
		PlaceHolder("FILE").StringVar(&o.ExporterConfig)
	cmd.Flag("since", "Begin of the period: a date or a time. Without --since and --until it is the last full week.").
		PlaceHolder("TIME").StringVar(&o.Since)
	cmd.Flag("until", "End of the period; without it, a week after --since.").PlaceHolder("TIME").StringVar(&o.Until)
	cmd.Flag("timezone", "Time zone of the report, in which weeks start on Monday.").Default("UTC").StringVar(&o.Timezone)
	cmd.Flag("targets", "Names of the targets to report on, with commas between them; without it, all.").
		PlaceHolder("NAMES").StringsVar(&o.Targets)
	cmd.Flag("output", "File to write to; without it, standard output.").Short('o').PlaceHolder("FILE").StringVar(&o.Output)
	cmd.Flag("format", "text, markdown, html or json; without it, by the file's suffix.").PlaceHolder("FORMAT").StringVar(&o.Format)
	cmd.Flag("email.config", "File with a mail server and recipients: mail the report, once. Sent mails are remembered in --state.dir.").
		PlaceHolder("FILE").StringVar(&o.EmailConfig)
	cmd.Flag("dry-run", "Write the mail to --output instead of sending it.").BoolVar(&o.DryRun)
	cmd.Flag("email.again", "Send the mail even if it was sent, or may have been.").BoolVar(&o.EmailAgain)
}
