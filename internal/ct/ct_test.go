package ct

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestCheck has certificates of all kinds, and what their SCTs come to.
func TestCheck(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "CA"), newAuthority(t, "CA") // of the same name
	logs := testLogs()
	alpha, beta, gamma, delta := logs[0], logs[1], logs[2], logs[3]
	at := func(d time.Duration, l *testLog) func(ask) [][]byte {
		return func(a ask) [][]byte {
			later := a
			later.at = now.Add(d)
			return [][]byte{alpha.sign(t, a), l.sign(t, later)}
		}
	}
	var elsewhere [][]byte // SCTs of another certificate
	ca.issue(t, 90*day, func(a ask) [][]byte {
		elsewhere = by(t, alpha, beta)(a)
		return elsewhere
	})
	changed := func(change func(sct []byte)) func(ask) [][]byte {
		return func(a ask) [][]byte {
			scts := by(t, alpha, beta)(a)
			change(scts[1])
			return scts
		}
	}
	state := func(l *testLog, s probe.LogState, since time.Time) []*testLog {
		list := slices.Clone(logs)
		own := *l
		own.state, own.since = s, since
		list[slices.Index(logs, l)] = &own
		return list
	}
	const met, missed, unknown = probe.PolicyMet, probe.PolicyMissed, probe.PolicyUnknown
	for _, tt := range []struct {
		name     string
		lifetime time.Duration // default 90 days
		scts     func(ask) [][]byte
		logs     []*testLog    // of the list; default all
		age      time.Duration // of the list; default 10 days
		issuer   *authority    // second of the chain; default the issuer
		statuses string
		policy   probe.PolicyState
		passed   string // "yes", "no", or "" if it cannot be told
		detail   string // in the check's result, or in the facts
	}{
		{name: "two operators", scts: by(t, alpha, beta), statuses: "verified verified", policy: met, passed: "yes"},
		{name: "an RSA log", scts: by(t, delta, beta), statuses: "verified verified", policy: met, passed: "yes"},
		{name: "long, three logs", lifetime: 200 * day, scts: by(t, alpha, beta, delta), statuses: "verified verified verified", policy: met, passed: "yes"},
		{name: "180 days, two logs", lifetime: 180 * day, scts: by(t, alpha, beta), statuses: "verified verified", policy: met, passed: "yes"},
		{
			name: "long, two logs", lifetime: 180*day + time.Second, scts: by(t, alpha, beta),
			statuses: "verified verified", policy: missed, passed: "no", detail: "SCTs of 2 logs count, and 3 are needed for more than 180 days",
		},
		{name: "none", policy: missed, passed: "no", detail: "SCTs of 0 logs count, and 2 are needed"},
		{name: "the same log twice", scts: by(t, alpha, alpha), statuses: "verified verified", policy: missed, passed: "no", detail: "SCTs of 1 logs count"},
		{
			name: "the same operator twice", scts: by(t, alpha, gamma),
			logs:     []*testLog{alpha, beta, {name: "Gamma 2027", operator: "A", key: gamma.key}},
			statuses: "verified verified", policy: missed, passed: "no", detail: "the logs have 1 operator, and 2 are needed",
		},
		{
			name: "of another certificate", scts: func(ask) [][]byte { return elsewhere },
			statuses: "invalid invalid", policy: missed, passed: "no", detail: `the SCT of the log "Alpha 2027" is not signed by it, or is for another certificate`,
		},
		{name: "wrong issuer", scts: by(t, alpha, beta), issuer: other, statuses: "invalid invalid", policy: missed, passed: "no", detail: "is not signed by it"},
		{name: "an issuer of another name", scts: by(t, alpha, beta), issuer: newAuthority(t, "B"), statuses: "unchecked unchecked", policy: unknown, detail: "does not know 2"},
		{name: "one bit of the signature", scts: changed(func(s []byte) { s[len(s)-1] ^= 1 }), statuses: "verified invalid", policy: missed, passed: "no", detail: `"Beta 2027" is not signed`},
		{name: "one bit of the timestamp", scts: changed(func(s []byte) { s[40] ^= 1 }), statuses: "verified invalid", policy: missed, passed: "no", detail: "is not signed"},
		{name: "one bit of the extensions", scts: changed(func(s []byte) { s[50] ^= 1 }), statuses: "verified invalid", policy: missed, passed: "no", detail: "is not signed"},
		{name: "another hash", scts: changed(func(s []byte) { s[51] = 2 }), statuses: "verified invalid", policy: missed, passed: "no", detail: "is not signed"},
		{name: "another algorithm", scts: changed(func(s []byte) { s[52] = 1 }), statuses: "verified invalid", policy: missed, passed: "no", detail: "is not signed"},
		{name: "another version", scts: changed(func(s []byte) { s[0] = 1 }), statuses: "verified unknown", policy: unknown, detail: "does not know 1 of the logs; of the others, SCTs of 1 logs count"},
		{name: "an unknown log", scts: by(t, alpha, beta), logs: []*testLog{alpha}, statuses: "verified unknown", policy: unknown, detail: "does not know 1 of the logs"},
		{name: "an unknown log beside enough", scts: by(t, alpha, beta, gamma), logs: []*testLog{alpha, beta}, statuses: "verified verified unknown", policy: met, passed: "yes"},
		{name: "an unknown log beside an invalid SCT", scts: func(ask) [][]byte { return elsewhere }, logs: []*testLog{alpha}, statuses: "invalid unknown", policy: unknown, passed: "no", detail: "is not signed"},
		{name: "a retired log", scts: by(t, alpha, beta), logs: state(beta, probe.LogRetired, now), statuses: "verified verified", policy: met, passed: "yes"},
		{
			name: "a log that was retired before", scts: by(t, alpha, beta), logs: state(beta, probe.LogRetired, now.Add(-day)),
			statuses: "verified verified", policy: missed, passed: "no", detail: "SCTs of 1 logs count",
		},
		{
			name: "retired logs only", scts: by(t, beta, gamma),
			logs: []*testLog{
				{name: "B", operator: "B", key: beta.key, tiled: true, state: probe.LogRetired, since: now},
				{name: "C", operator: "C", key: gamma.key, state: probe.LogRetired, since: now},
			},
			statuses: "verified verified", policy: missed, passed: "no", detail: "every log is retired",
		},
		{name: "a read-only log", scts: by(t, alpha, beta), logs: state(beta, probe.LogReadOnly, now), statuses: "verified verified", policy: met, passed: "yes"},
		{name: "a pending log", scts: by(t, alpha, beta), logs: state(beta, probe.LogPending, now), statuses: "verified verified", policy: missed, passed: "no", detail: "SCTs of 1 logs count"},
		{name: "a rejected log", scts: by(t, alpha, beta), logs: state(beta, probe.LogRejected, now), statuses: "verified verified", policy: missed, passed: "no", detail: "SCTs of 1 logs count"},
		{name: "a state that is yet to be invented", scts: by(t, alpha, beta), logs: state(beta, "blessed", now), statuses: "verified verified", policy: unknown, detail: "does not know 1"},
		{name: "a minute ahead of our clock", scts: at(time.Minute, beta), statuses: "verified verified", policy: met, passed: "yes"},
		{name: "in the future", scts: at(time.Hour, beta), statuses: "verified future", policy: missed, passed: "no", detail: "is of 2026-11-01T13:00:00Z, which is yet to come"},
		{name: "a list of 70 days", scts: by(t, alpha, beta), age: 70 * day, statuses: "verified verified", policy: met, passed: "yes"},
		{name: "a stale list", scts: by(t, alpha, beta), age: 70*day + time.Second, statuses: "verified verified", policy: unknown, detail: "the list of logs is of 2026-08-23, more than 70 days old"},
		{name: "a stale list and too few", scts: by(t, alpha), age: 71 * day, statuses: "verified", policy: unknown, detail: "more than 70 days old"},
		{name: "a stale list and an invalid SCT", scts: func(ask) [][]byte { return elsewhere }, age: 71 * day, statuses: "invalid invalid", policy: unknown, passed: "no", detail: "is not signed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lifetime, issuer, listed, age := tt.lifetime, tt.issuer, tt.logs, tt.age
			if lifetime == 0 {
				lifetime = 90 * day
			}
			if listed == nil {
				listed = logs
			}
			if age == 0 {
				age = 10 * day
			}
			chain := ca.issue(t, lifetime, tt.scts)
			if issuer != nil {
				chain[1] = issuer.cert
			}
			seen, result := logsFrom(t, listOf(t, now.Add(-age), listed...)).Check(public, chain, now)
			if seen == nil {
				t.Fatal("nothing was seen")
			}
			var statuses []string
			for _, s := range seen.SCTs {
				statuses = append(statuses, string(s.Status))
			}
			if got := strings.Join(statuses, " "); got != tt.statuses || seen.Count != len(statuses) {
				t.Errorf("statuses %q of %d, want %q", got, seen.Count, tt.statuses)
			}
			if seen.Policy != tt.policy || !seen.ListTimestamp.Equal(now.Add(-age)) {
				t.Errorf("policy %q by a list of %s, want %q: %+v", seen.Policy, seen.ListTimestamp, tt.policy, seen)
			}
			passed, detail := "", seen.Detail
			if result != nil {
				passed, detail = "no", result.Detail
				if result.Passed {
					passed = "yes"
				}
				if result.Check != probe.CheckSCTs || result.Passed != (result.Detail == "") {
					t.Errorf("result %+v", result)
				}
			}
			if passed != tt.passed || !strings.Contains(detail, tt.detail) || detail != "" && tt.detail == "" {
				t.Errorf("passed %q, %q; want %q, %q", passed, detail, tt.passed, tt.detail)
			}
		})
	}
}

// TestFacts holds what is kept of an SCT.
func TestFacts(t *testing.T) {
	t.Parallel()
	logs := testLogs()
	chain := newAuthority(t, "CA").issue(t, 90*day, by(t, logs[1], logs[0]))
	seen, _ := logsFrom(t, listOf(t, published, logs...)).Check(public, chain, now)
	if seen.Count != 2 || !slices.Equal(seen.Operators, []string{"A", "B"}) || seen.Detail != "" || seen.Unreadable {
		t.Errorf("seen %+v", seen)
	}
	want := probe.SCT{
		LogID: logs[1].entry(t)["log_id"].(string), Timestamp: now.Add(-time.Minute),
		Log: "Beta 2027", Operator: "B", State: probe.LogUsable, Status: probe.SCTVerified,
	}
	if seen.SCTs[0] != want {
		t.Errorf("%+v, want %+v", seen.SCTs[0], want)
	}
}

// TestTargets holds for whose certificates SCTs are verified, counted or left alone.
func TestTargets(t *testing.T) {
	t.Parallel()
	logs := testLogs()
	ca := newAuthority(t, "CA")
	with, without := ca.issue(t, 90*day, by(t, logs[0], logs[1])), ca.issue(t, 90*day, nil)
	data := listOf(t, published, logs...)
	list := logsFrom(t, data)
	for _, tt := range []struct {
		name, file string
		target     string
		chain      []*x509.Certificate
		want       string
	}{
		{"public", issuing, "le", with, "verified, passed"},
		{"public without", issuing, "le", without, "verified, failed"},
		{"staging", staging, "le", with, "2 counted"},
		{"staging with a list of its own", staging + listed, "le", with, "2 counted"},
		{"staging without", staging, "le", without, "0 counted"},
		{"private", private, "corp", with, "nothing"},
		{"private with a list", private + listed, "corp", with, "verified, passed"},
		{"private with a list, without SCTs", private + listed, "corp", without, "nothing"},
	} {
		seen, result := list.Check(load(t, tt.file, string(data)).Targets[tt.target], tt.chain, now)
		got := "nothing"
		switch {
		case result != nil && result.Passed:
			got = "verified, passed"
		case result != nil:
			got = "verified, failed"
		case seen != nil && seen.Policy == "" && len(seen.SCTs) == 0:
			got = string(rune('0'+seen.Count)) + " counted"
		case seen != nil:
			got = "verified"
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if seen, result := list.Check(public, with[:1], now); result != nil || seen.Policy != probe.PolicyUnknown {
		t.Errorf("the leaf alone: %+v, %+v", seen, result)
	}
}

// TestMany has more SCTs than are verified.
func TestMany(t *testing.T) {
	t.Parallel()
	logs := testLogs()
	chain := newAuthority(t, "CA").issue(t, 90*day, func(a ask) (scts [][]byte) {
		one := logs[0].sign(t, a)
		for range 40 {
			scts = append(scts, one)
		}
		return append(scts, logs[1].sign(t, a))
	})
	seen, result := logsFrom(t, listOf(t, published, logs...)).Check(public, chain, now)
	if seen.Count != 41 || len(seen.SCTs) != maxSCTs || seen.Policy != probe.PolicyUnknown || result != nil {
		t.Errorf("%d of %d SCTs, policy %s, result %+v", len(seen.SCTs), seen.Count, seen.Policy, result)
	}
}

// TestOperatorBefore has a log that another operator had.
func TestOperatorBefore(t *testing.T) {
	t.Parallel()
	l := &log{operator: "new", previous: []operator{{"first", now.Add(-2 * day)}, {"second", now}}}
	for ago, want := range map[time.Duration]string{3 * day: "first", 2 * day: "second", day: "second", 0: "new"} {
		if got := l.operatorAt(now.Add(-ago)); got != want {
			t.Errorf("%s ago: %s, want %s", ago, got, want)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	logs := testLogs()
	chain := newAuthority(b, "CA").issue(b, 90*day, by(b, logs[0], logs[1]))
	list := logsFrom(b, listOf(b, published, logs...))
	b.ReportAllocs()
	for b.Loop() {
		if _, result := list.Check(public, chain, now); result == nil || !result.Passed {
			b.Fatalf("%+v", result)
		}
	}
}
