package main

import (
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/acme-exporter/acme_exporter/internal/app"
)

// accountCommand is what all account commands begin with.
const accountCommand = "account "

// accountFlags declares the account commands and their flags.
func accountFlags(cli *kingpin.Application) *app.AccountOptions {
	o := &app.AccountOptions{}
	group := cli.Command(strings.TrimSpace(accountCommand), "Look after the accounts at CAs. A running exporter need not be stopped.")
	command := func(name, help string) *kingpin.CmdClause {
		c := group.Command(name, help)
		c.Arg("target", "Name of a configured target.").Required().StringVar(&o.Target)
		return c
	}
	command("show", "Show the account, and ask the CA for its status.").
		Flag("output", "text or json.").Short('o').Default("text").StringVar(&o.Output)
	command("register", "Make sure that the CA has an account for the key.").
		Flag("new-key", "Put the account that is there aside, and make another.").BoolVar(&o.NewKey)
	command("rotate", "Replace the account's key, by one of the configured type.")
	command("deactivate", "Give the account up, for good.").
		Flag("yes", "It is meant.").BoolVar(&o.Yes)
	return o
}
