package prober

import (
	"context"
	"fmt"
	"slices"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// doubt says why the CA may have been right all the same; empty: there is no way.
func (r *run) doubt(ctx context.Context, a *attempt) string {
	switch a.expected {
	case probe.ProblemUnauthorized:
		if slices.ContainsFunc(r.facts.Visits, func(v probe.Visit) bool { return v.OK }) {
			return "somebody got an answer from a responder of ours"
		}
		if a.persists {
			// An answer of another type needs the account's key, and a token that is new.
			if doubt := r.doubtPersists(ctx, about(a.order.names)); doubt != "" {
				return doubt
			}
		}
		if r.bound() && len(r.facts.Visits) == 0 {
			return "nobody has come to our responders, and the account is bound to one at the CA, which may know the name without coming"
		}
	case probe.ProblemCAA:
		return doubtCAA(r.facts.Visits)
	case probe.ProblemRejectedIdentifier:
		if t := r.Pair.Target; !config.Nobodys(about(a.order.names)) && (t.Preset == "" || t.OwnCA) {
			return "that the CA's policy has to refuse the name is the configuration's word only: it may allow it, or the account may have been authorized before"
		}
	}
	return ""
}

// bound reports whether the account stands for one with the CA's operator (RFC 8555
// §7.3.4), who may have validated its domains in another way.
func (r *run) bound() bool {
	return r.Pair.Target.Account.ExternalAccountBinding != nil || r.facts.Directory != nil && r.facts.Directory.ExternalAccountRequired
}

// doubtPersists looks for records of dns-persist-01 that may authorize the name: one
// that stays where it is needs no challenge.
func (r *run) doubtPersists(ctx context.Context, name string) string {
	if r.Lookup == nil {
		return "the CA takes records of dns-persist-01, and there is no resolver to be asked for one"
	}
	for _, record := range probe.Persists(name) {
		silent := true
		// The run's end is no reason not to ask: there is time for it beside.
		for _, l := range r.Lookup(context.WithoutCancel(ctx), probe.Challenge{
			Type: probe.DNSPersist01, Identifier: name, Record: probe.Record{Name: record, Standing: true},
		}) {
			r.facts.Lookups = append(r.facts.Lookups, l)
			if l.Found {
				return fmt.Sprintf("there is a record at %s, which may authorize it by dns-persist-01", record)
			}
			silent = silent && l.Silent
		}
		if silent {
			return fmt.Sprintf("the CA takes records of dns-persist-01, and no resolver says whether there is one at %s", record)
		}
	}
	return ""
}

// doubtCAA asks whether the CA can have seen the CAA record: whether anybody has come
// to our name server for the name, and was told whatever he asked.
func doubtCAA(visits []probe.Visit) string {
	came, asked, told := false, false, false
	for i := range visits {
		switch v := &visits[i]; v.Asked {
		case "CAA":
			asked = true
			told = told || v.Answered == "1 value"
		case "A", "AAAA", "TXT":
			came = true
		}
	}
	switch {
	case asked && !told:
		return "our name server has not answered those who asked for it"
	case !asked && !came:
		return "nobody has asked our name server for the name: the zone may be delegated to another one"
	}
	return ""
}
