package web

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const day = 24 * time.Hour

// spending are the pairs of busy and one that its budget holds back.
func spending(now time.Time) []probe.Status {
	pair := probe.Pair{Target: "letsencrypt", Module: "issue_dns"}
	denied := result(pair, "d2", now.Add(-90*time.Second), probe.OutcomeSkipped)
	denied.RateLimit = &probe.RateLimit{
		Limit: "certificates_per_domain", What: "probe.example", Until: now.Add(3*time.Hour + time.Second), Detail: "all 25 are spent",
	}
	refused := result(pair, "d1", now.Add(-time.Hour), probe.OutcomeFailure)
	refused.RateLimit = &probe.RateLimit{
		Limit: "consecutive_failures", What: hostile, Refused: true, Paused: true, Unexpected: true, Detail: hostile,
	}
	return append(busy(now), probe.Status{
		Pair: pair, Prober: probe.ProberIssue, Environment: "production", Interval: 15 * time.Minute,
		NextDue: now.Add(10 * time.Minute), Recent: []*probe.Result{denied, refused},
	})
}

// left is a budget with limits in every state.
func left(now time.Time) []probe.Budget {
	return []probe.Budget{
		{Target: "corp", Environment: "staging"}, // none known
		{Target: "letsencrypt", Environment: "production", Levels: []probe.Level{
			{Limit: "new_orders", What: "letsencrypt", Remaining: 287, Capacity: 300, Full: now.Add(8 * time.Minute)},
			{Limit: "certificates_per_domain", What: "probe.example", Remaining: 0, Capacity: 25, Full: now.Add(7 * day)},
			{Limit: "certificates_per_set", What: "0123456789abcdef", Remaining: 1, Capacity: 5, Full: now.Add(130 * time.Hour)},
			{Limit: "failed_validations", What: "letsencrypt a.probe.example", Remaining: 4, Capacity: 5, Full: now.Add(12 * time.Minute)},
			{Limit: "consecutive_failures", What: "letsencrypt " + hostile, Remaining: 1151, Capacity: 1152, Full: now.Add(day), Paused: 2},
			{Limit: "new_accounts_per_ip", Remaining: 10, Capacity: 10},
			{Limit: hostile, What: hostile, Remaining: 1, Capacity: 1},
		}},
	}
}

func TestBudgetGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		o := options(&fakeRunner{statuses: spending(now)})
		o.Budget = func() []probe.Budget { return left(now) }
		o.LedgerProblem = func() error {
			return errors.Join(errors.New("cannot be read"), errors.New("nor written: "+hostile))
		}
		h := New(o)
		for path, name := range map[string]string{"/": "budget.html", "/runs/d1": "refused.html", "/runs/d2": "denied.html"} {
			w := get(t, h, path)
			if w.Code != 200 {
				t.Errorf("%s: %d", path, w.Code)
			}
			page := bare(w.Body.String())
			golden(t, name, page)
			if found := forbidden.FindString(page); found != "" {
				t.Errorf("%s: %q", path, found)
			}
		}
	})
}

// What is well, or not known, is not mentioned.
func TestIndexWithoutBudget(t *testing.T) {
	now := time.Now()
	o := options(&fakeRunner{statuses: busy(now)})
	silent := func(name string) {
		body := get(t, New(o), "/").Body.String()
		for _, word := range []string{`class="limits"`, `class="banner"`, "not before"} {
			if strings.Contains(body, word) {
				t.Errorf("%s: %s", name, word)
			}
		}
	}
	silent("no functions")
	o.LedgerProblem = func() error { return nil }
	o.Budget = func() []probe.Budget {
		return []probe.Budget{{Target: "corp"}, {Target: "gone", Levels: []probe.Level{{Limit: "new_orders", Capacity: 1}}}}
	}
	silent("nothing known")
}

func TestLimitView(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		level probe.Level
		want  limitView
	}{
		"full":       {probe.Level{Remaining: 25, Capacity: 25}, limitView{Left: "25 of 25 left", Percent: 100, State: "full"}},
		"filled up":  {probe.Level{Remaining: 25, Capacity: 25, Full: now}, limitView{Left: "25 of 25 left", Percent: 100, State: "full"}},
		"some":       {probe.Level{Remaining: 23, Capacity: 25, Full: now.Add(3 * time.Hour)}, limitView{Left: "23 of 25 left · full in 3 h", Percent: 92, State: "some"}},
		"just some":  {probe.Level{Remaining: 6, Capacity: 25}, limitView{Left: "6 of 25 left", Percent: 24, State: "some"}},
		"a fifth":    {probe.Level{Remaining: 5, Capacity: 25}, limitView{Left: "5 of 25 left", Percent: 20, State: "low"}},
		"none":       {probe.Level{Capacity: 25}, limitView{Left: "0 of 25 left", State: "empty"}},
		"owing":      {probe.Level{Remaining: -3, Capacity: 25}, limitView{Left: "-3 of 25 left", State: "empty"}},
		"too many":   {probe.Level{Remaining: 30, Capacity: 25}, limitView{Left: "30 of 25 left", Percent: 100, State: "full"}},
		"impossible": {probe.Level{}, limitView{Left: "0 of 0 left", State: "empty"}},
		"paused":     {probe.Level{Remaining: 25, Capacity: 25, Paused: 2}, limitView{Left: "25 of 25 left · 2 paused", Percent: 100, State: "full paused"}},
	} {
		c.level.Limit, c.want.Label, c.want.Name = "new_orders", "new_orders", "New orders"
		if diff := cmp.Diff(c.want, newLimitView(&c.level, now)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryLimitHasWords(t *testing.T) {
	for _, name := range append(config.LimitNames(), probe.LimitRequests) {
		if words(string(name)) == string(name) {
			t.Errorf("%s has no words", name)
		}
	}
}

func TestHeldUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		due := now.Add(10 * time.Minute)
		for name, c := range map[string]struct {
			outcome probe.Outcome
			limit   *probe.RateLimit
			due     time.Time
			next    string
			held    string
		}{
			"later than the schedule": {probe.OutcomeSkipped, &probe.RateLimit{Limit: "new_orders", Until: now.Add(time.Hour)}, due, "in 60 min", "2000-01-01 01:00:00 UTC (rate limit new_orders)"},
			"of the CA's edge":        {probe.OutcomeSkipped, &probe.RateLimit{Limit: "requests", Refused: true, Until: now.Add(time.Hour)}, due, "in 60 min", "2000-01-01 01:00:00 UTC (rate limit requests)"},
			"not named":               {probe.OutcomeSkipped, &probe.RateLimit{Refused: true, Until: now.Add(time.Hour)}, due, "in 60 min", "2000-01-01 01:00:00 UTC (a rate limit that the CA did not name)"},
			"only when scraped":       {probe.OutcomeSkipped, &probe.RateLimit{Limit: "new_orders", Until: now.Add(time.Hour)}, time.Time{}, "in 60 min", "2000-01-01 01:00:00 UTC (rate limit new_orders)"},
			"sooner":                  {probe.OutcomeSkipped, &probe.RateLimit{Limit: "new_orders", Until: now.Add(time.Minute)}, due, "in 10 min", ""},
			"as scheduled":            {probe.OutcomeSkipped, &probe.RateLimit{Limit: "new_orders", Until: due}, due, "in 10 min", ""},
			"over":                    {probe.OutcomeSkipped, &probe.RateLimit{Limit: "new_orders", Until: now}, now.Add(-time.Second), "now", ""},
			"not known":               {probe.OutcomeSkipped, &probe.RateLimit{Limit: "new_orders"}, due, "in 10 min", ""},
			"no limit":                {probe.OutcomeSkipped, nil, due, "in 10 min", ""},
			"not skipped":             {probe.OutcomeFailure, &probe.RateLimit{Limit: "new_orders", Until: now.Add(time.Hour)}, due, "in 10 min", ""},
		} {
			r := result(probe.Pair{Target: "corp", Module: "order"}, "r1", now, c.outcome)
			r.RateLimit = c.limit
			p := newPairView(&probe.Status{Pair: r.Pair, NextDue: c.due, Recent: []*probe.Result{r}}, nil, now)
			if p.Next != c.next || p.Held != c.held {
				t.Errorf("%s: next %q, held %q, want %q, %q", name, p.Next, p.Held, c.next, c.held)
			}
		}
		if p := newPairView(&probe.Status{NextDue: due}, nil, now); p.Held != "" {
			t.Errorf("no run yet: held %q", p.Held)
		}
	})
}
