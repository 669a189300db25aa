package main

import (
	"github.com/alecthomas/kingpin/v2"

	"github.com/acme-exporter/acme_exporter/internal/app"
)

// checkFlags adds the command that checks files, and returns it and its arguments.
func checkFlags(cli *kingpin.Application) (*kingpin.CmdClause, *app.CheckOptions) {
	o := new(app.CheckOptions)
	cmd := cli.Command("check", "Check files.").Command("config", "Check configuration files; report every mistake, and what the probes will spend.")
	cmd.Arg("file", "Configuration file.").Required().StringsVar(&o.Files)
	cmd.Flag("online", "Also ask name servers, CAs and our own responders; no account and no order is made.").
		BoolVar(&o.Online)
	cmd.Flag("output", "text or json.").Short('o').Default("text").StringVar(&o.Output)
	return cmd, o
}
