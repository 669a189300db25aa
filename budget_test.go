package main

import (
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// cmdLedger is "ledger OPERATION TARGET NAME": the ledger in the directory data is
// made to have a certificate, a failed validation or a pause of the name, at the
// CA of the script; or what it has of the target's orders becomes unreadable.
func cmdLedger(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: ledger issued|failed|paused|damaged TARGET NAME")
	}
	store, err := state.Open(ts.MkAbs("data"))
	ts.Check(err)
	defer func() { ts.Check(store.Close()) }()
	now, ca := time.Now(), ts.Getenv("DIRECTORY")
	ledger := budget.NewLedger(store)
	ts.Check(ledger.Load(now))
	r := budget.Request{
		CA: ca, Account: args[1], Names: args[2:], Share: 1, Repeats: true,
		Limits: []config.Limit{
			{Name: config.LimitNewOrders, Count: 10, Period: 3 * time.Hour},
			{Name: config.LimitCertificatesPerDomain, Count: 5, Period: 7 * 24 * time.Hour},
			{Name: config.LimitFailedValidations, Count: 5, Period: time.Hour},
		},
		What: probe.SpendOrder | probe.SpendValidation | probe.SpendCertificate,
	}
	spent := map[string]probe.Spent{
		"issued": {Issued: true, Valid: args[2:]},
		"failed": {NoCertificate: true},
	}
	switch args[0] {
	case "issued", "failed":
		res, denied, err := ledger.Reserve(now, r)
		ts.Check(err)
		if denied != nil {
			ts.Fatalf("%s", denied)
		}
		ts.Check(ledger.Settle(now, res, spent[args[0]]))
	case "paused":
		ts.Check(ledger.Pause(now, r.Keys(config.LimitConsecutiveFailures)[0], time.Time{}))
	case "damaged":
		ts.Check(store.Put("ledger", r.Keys(config.LimitNewOrders)[0].String(), "not an entry"))
	default:
		ts.Fatalf("unknown operation %q", args[0])
	}
}
