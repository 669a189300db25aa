package budget

import (
	"fmt"
	"slices"
	"strings"

	"github.com/acme-exporter/acme_exporter/config"
)

// Refusal is something that cannot be kept.
type Refusal struct {
	Module string           `json:"module"` // the one that spends most
	Limit  config.LimitName `json:"limit"`
	Key    string           `json:"key"`
	// Problem is one sentence, with what would fit at its end.
	Problem string `json:"problem"`
	// Remedies would fit, each by itself; empty: nothing would.
	Remedies []Remedy `json:"remedies,omitempty"`
}

// refuse says what of a target's plan cannot be kept: for each limit and module
// the tightest of its buckets.
func refuse(name string, t *config.Target, buckets []*bucket, share float64) (list []Refusal) {
	type id struct {
		limit  config.LimitName
		module string
	}
	worst := map[id]*bucket{}
	var order []id
	for _, b := range buckets {
		own := ownSpends(b, name)
		switch {
		case own[0].onFailure:
			continue // the ledger holds back what would fail too often
		case b.load(share) <= 1+tolerance:
			continue
		}
		key := id{b.limit.Name, own[0].module}
		if worst[key] == nil {
			order = append(order, key)
		}
		if worst[key] == nil || b.load(share) > worst[key].load(share) {
			worst[key] = b
		}
	}
	for _, key := range order {
		b := worst[key]
		r := Refusal{Module: key.module, Limit: key.limit, Key: b.key, Remedies: (&advice{b, name, t, buckets, share}).remedies()}
		r.Problem = problem(b, name, share, r.Remedies)
		list = append(list, r)
	}
	return list
}

// ownSpends are those of the target, the most hungry one first.
func ownSpends(b *bucket, target string) []spend {
	return slices.DeleteFunc(slices.Clone(b.spends), func(s spend) bool { return s.target != target })
}

func problem(b *bucket, target string, share float64, remedies []Remedy) string {
	plan := b.plan(target, share)
	var text strings.Builder
	spends := "it spends"
	if who := active(b, target); len(who) > 1 {
		spends = strings.Join(who, ", ") + " spend"
	}
	fmt.Fprintf(&text, "%s %s %s a day of %s, and %s are given (%s): after %s runs would be held back",
		spends, number(plan.SpentPerDay), plan.Limit, plan.Key, number(plan.GivenPerDay), ours(b.limit, share), about(plan.DryAfter))
	if len(remedies) == 0 {
		return text.String()
	}
	text.WriteString(". What fits: ")
	for i, r := range remedies {
		if i > 0 {
			text.WriteString("; or ")
		}
		text.WriteString(r.Text)
	}
	return text.String()
}

// active are the modules that spend again and again, as seen from a target.
func active(b *bucket, target string) (names []string) {
	for _, s := range b.spends {
		if s.perDay > 0 {
			names = append(names, s.name(target))
		}
	}
	return names
}

// size says what a limit gives in all.
func size(limit config.Limit) string {
	return fmt.Sprintf("%d each %s", limit.Count, exact(limit.Period))
}

// ours says what of it is ours.
func ours(limit config.Limit, share float64) string {
	if !limit.Shared || share == 1 {
		return size(limit)
	}
	return "a share of " + number(share) + " of " + size(limit)
}
