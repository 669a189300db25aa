package main

import (
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/acme-exporter/acme_exporter/internal/app"
)

// budgetFlags declares the budget commands and their flags. The Operation stays
// empty when another command was chosen.
func budgetFlags(cli *kingpin.Application) *app.BudgetOptions {
	o := &app.BudgetOptions{Stdin: os.Stdin}
	group := cli.Command("budget", "Look after what is spent of the CAs' rate limits. A running exporter must be stopped.")
	command := func(name, help string) *kingpin.CmdClause {
		return group.Command(name, help).Action(func(*kingpin.ParseContext) error {
			o.Operation = name
			return nil
		})
	}
	show := command(app.BudgetShow, "Show what is left of each limit, what is paused, and how full the pools of names are.")
	show.Arg("target", "Name of a configured target; without it, all at which a probe orders.").StringVar(&o.Target)
	show.Flag("output", "text or json.").Short('o').Default("text").StringVar(&o.Output)
	reset := command(app.BudgetReset, "Forget what was spent at the target's CA, and lift its pauses. The CA forgets nothing.")
	reset.Arg("target", "Name of a configured target.").Required().StringVar(&o.Target)
	reset.Flag("confirm", "The target's name once more, for scripts; without it, it is asked for.").PlaceHolder("NAME").StringVar(&o.Confirm)
	return o
}
