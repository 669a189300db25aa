package app

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Whoever stands before the CA answers for it.
func edges() []faultCase {
	const directory, nonce, order = probe.StepDirectory, probe.StepNonce, probe.StepOrder
	first := func(f fakeca.Fault) armed { return on(probe.CallDirectory, f) }
	cases := []faultCase{
		{name: "HTML instead of the directory", arm: first(html(200)), want: byCA(directory, "protocol")},
		{name: "redirect", arm: first(fakeca.Fault{Redirect: "https://127.0.0.1:1/"}), want: byCA(directory, "edge_3xx")},
		{name: "redirect of a new order", prober: probe.ProberOrder, arm: on(probe.CallNewOrder, fakeca.Fault{Redirect: "https://127.0.0.1:1/", Status: 307}), want: byCA(order, "edge_3xx")},
		{name: "503 with Retry-After", arm: first(header(fakeca.Fault{Status: 503}, "Retry-After", "120")), want: byCA(directory, "edge_5xx")},
		{name: "HTML from the CDN with 502 at the nonce", prober: probe.ProberNonce, arm: on(probe.CallNewNonce, html(502)), want: byCA(nonce, "http_5xx")},
		{name: "HTML from the CDN with 403 at the nonce", prober: probe.ProberNonce, arm: on(probe.CallNewNonce, html(403)), want: byCA(nonce, "edge_4xx")},
		{name: "204 instead of the directory", arm: first(fakeca.Fault{Status: 204}), want: byCA(directory, "unexpected_status")},
		{name: "200 instead of 201 to a new order", prober: probe.ProberOrder, arm: on(probe.CallNewOrder, fakeca.Fault{Body: []byte("{}")}), want: byCA(order, "unexpected_status")},
		{name: "HTML with 200 to a new order", prober: probe.ProberOrder, arm: on(probe.CallNewOrder, html(200)), want: byCA(order, "unexpected_status")},
		{name: "status 999", arm: first(fakeca.Fault{Status: 999}), want: byCA(directory, "unexpected_status")},
	}
	for status, reason := range map[int]probe.Reason{403: "edge_4xx", 502: "edge_5xx", 503: "edge_5xx", 520: "edge_5xx"} {
		name := fmt.Sprintf("HTML from the CDN with %d", status)
		cases = append(cases,
			faultCase{name: name, arm: first(html(status)), controls: []string{"dead"}, want: byCA(directory, reason)},
			faultCase{name: name + " at a new order", prober: probe.ProberOrder, arm: on(probe.CallNewOrder, html(status)), want: byCA(order, reason)},
		)
	}
	return cases
}

// The CA says that something in it is broken.
func serverErrors() []faultCase {
	const order = probe.StepOrder
	cases := []faultCase{
		{name: "500 serverInternal at directory", arm: on(probe.CallDirectory, problem("serverInternal", 500)), want: byCA(probe.StepDirectory, "server_internal")},
		{name: "500 serverInternal at account", prober: probe.ProberAccount, arm: on(probe.CallAccount, problem("serverInternal", 500)), want: byCA(probe.StepAccount, "server_internal")},
		{name: "503 serverInternal with Retry-After", arm: on(probe.CallDirectory, header(problem("serverInternal", 503), "Retry-After", "3600")), want: byCA(probe.StepDirectory, "server_internal")},
		{name: "400 serverInternal", arm: on(probe.CallNewOrder, problem("serverInternal", 400)), want: byCA(order, "server_internal")},
		{name: "500 of another type", arm: on(probe.CallNewOrder, problem("compound", 500)), want: byCA(order, "http_5xx")},
		{name: "500 of an unknown type", arm: on(probe.CallNewOrder, problem("https://ca.example/oops", 500)), want: byCA(order, "http_5xx")},
		{name: "legacy prefix", arm: on(probe.CallNewOrder, problem("urn:acme:error:serverInternal", 503)), want: byCA(order, "server_internal")},
		{name: "problem that calls itself JSON", arm: on(probe.CallNewOrder, header(problem("serverInternal", 500), "Content-Type", "application/json")), want: byCA(order, "server_internal")},
		{name: "problem that calls itself HTML", arm: on(probe.CallNewOrder, header(problem("serverInternal", 500), "Content-Type", "text/html")), want: byCA(order, "edge_5xx")},
	}
	for i := range cases {
		if cases[i].want.Stage == order {
			cases[i].prober = probe.ProberOrder
		}
	}
	for _, s := range stages {
		c := faultCase{
			name: fmt.Sprintf("500 serverInternal at %s", s.call), prober: probe.ProberIssue, ca: fakeca.Options{AsyncFinalize: true},
			arm: on(s.call, problem("serverInternal", 500)), want: byCA(s.stage, "server_internal"),
		}
		if s.call == probe.CallNewNonce { // a HEAD request, whose answer has no document
			c.want.Reason = "http_5xx"
		}
		cases = append(cases, c)
	}
	return cases
}

// The CA breaks RFC 8555.
func protocolErrors() []faultCase {
	const directory, nonce, order, authorization = probe.StepDirectory, probe.StepNonce, probe.StepOrder, probe.StepAuthorization
	edited := func(call probe.CallName, edit func(map[string]any)) armed { return on(call, fakeca.Fault{Edit: edit}) }
	named := func(ca *fakeca.CA) { // by a name of a private network
		u, _ := url.Parse(ca.URL())
		edited(probe.CallDirectory, fakeca.WithHost("inside.faults.test:"+u.Port()))(ca)
	}
	elsewhere := fakeca.Set("authorizations", []string{"https://10.0.0.1/a"})
	return []faultCase{
		{name: "directory without new-order", arm: edited(probe.CallDirectory, fakeca.Without("newOrder")), want: byCA(directory, "protocol")},
		{name: "http in the directory", arm: edited(probe.CallDirectory, fakeca.WithScheme("http")), want: byCA(directory, "url_refused")},
		{name: "http in an order", prober: probe.ProberOrder, arm: edited(probe.CallNewOrder, fakeca.WithScheme("http")), want: byCA(order, "url_refused")},
		{name: "a path instead of a URL in the directory", arm: edited(probe.CallDirectory, fakeca.Set("newOrder", "/new-order")), want: byCA(directory, "protocol")},
		{name: "a private address in the directory", arm: edited(probe.CallDirectory, fakeca.WithHost("10.0.0.1")), want: byCA(directory, "url_refused")},
		{name: "the metadata service in the directory", arm: edited(probe.CallDirectory, fakeca.WithHost("169.254.169.254")), want: byCA(directory, "url_refused")},
		{name: "a name of a private address in the directory", prober: probe.ProberNonce, arm: named, want: byCA(nonce, "url_refused")},
		{name: "a private address in an order", prober: probe.ProberOrder, arm: both(edited(probe.CallNewOrder, elsewhere), edited(probe.CallOrder, elsewhere)), want: byCA(authorization, "url_refused")},
		{name: "missing Replay-Nonce", prober: probe.ProberNonce, arm: on(probe.CallNewNonce, fakeca.Fault{DropNonce: true}), want: byCA(nonce, "protocol")},
		{name: "missing Replay-Nonce, elsewhere", prober: probe.ProberOrder, arm: on(probe.CallNewOrder, fakeca.Fault{DropNonce: true}), want: succeeded},
		{name: "order without finalize", prober: probe.ProberOrder, arm: edited(probe.CallNewOrder, fakeca.Without("finalize")), want: byCA(order, "protocol")},
		{name: "order that is HTML", prober: probe.ProberOrder, arm: on(probe.CallNewOrder, html(201)), want: byCA(order, "protocol")},
		{name: "order of an unknown status", prober: probe.ProberOrder, arm: edited(probe.CallNewOrder, fakeca.Set("status", "happy")), want: byCA(order, "protocol")},
		{name: "authorization for another name", prober: probe.ProberOrder, arm: edited(probe.CallAuthz, fakeca.Set("identifier", map[string]any{"type": "dns", "value": "x.example"})), want: byCA(authorization, "protocol")},
		{name: "authorization that has expired", prober: probe.ProberOrder, arm: edited(probe.CallAuthz, fakeca.Set("status", "expired")), want: unknown(authorization, "invalid")},
		{name: "order that is invalid from the start", prober: probe.ProberOrder, arm: on(probe.CallNewOrder, invalid("serverInternal", 500, "in words")), want: byCA(order, "server_internal")},
	}
}

// badNonce is retried three times, each time with a nonce that the CA has just
// given out.
func nonces() []faultCase {
	const order = probe.StepOrder
	bad, without := fakeca.Fault{BadNonce: true}, fakeca.Fault{BadNonce: true, DropNonce: true}
	cases := []faultCase{
		{name: "badNonce once", arm: times(1, probe.CallNewOrder, bad), want: succeeded},
		{name: "badNonce three times", arm: times(3, probe.CallNewOrder, bad), want: succeeded},
		{name: "badNonce four times", arm: times(4, probe.CallNewOrder, bad), want: byCA(order, "bad_nonce")},
		{name: "badNonce always", arm: on(probe.CallNewOrder, bad), want: byCA(order, "bad_nonce")},
		{name: "badNonce once, without a new nonce", arm: times(1, probe.CallNewOrder, without), want: succeeded},
		{name: "badNonce always, without a new nonce", arm: on(probe.CallNewOrder, without), want: byCA(order, "bad_nonce")},
	}
	for i := range cases {
		cases[i].prober = probe.ProberOrder
	}
	return cases
}

// The CA says that we come too often.
func limits() []faultCase {
	const order, setup = probe.StepOrder, probe.StepSetup
	const orders = "too many new orders: see https://letsencrypt.org/docs/rate-limits/#new-orders-per-account"
	limited := func(status int, detail, retryAfter string) armed {
		f := fakeca.Fault{Problem: &fakeca.Problem{Type: "rateLimited", Status: status, Detail: detail}}
		if retryAfter != "" {
			f = header(f, "Retry-After", retryAfter)
		}
		return on(probe.CallNewOrder, f)
	}
	ordersPer := func(period string) []string {
		return []string{"rate_limits: {new_orders: {count: 300, period: " + period + "}}"}
	}
	date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	busy := limited(503, "Service busy; retry later.", "30")
	cases := []faultCase{
		// A preset's requests are kept below half of what the CA publishes.
		{name: "503 rateLimited, above half of the edge limit", arm: busy, want: unknown(order, "throttled")},
		{name: "503 rateLimited, below half of the edge limit", target: []string{"preset: letsencrypt-staging"}, arm: busy, want: byCA(order, "throttled")},
		{name: "503 rateLimited, a preset that is ours", target: []string{"preset: letsencrypt-staging", "own_ca: true"}, arm: busy, want: unknown(order, "throttled")},
		{name: "429 without a ledger", arm: limited(429, orders, "3600"), want: skipped(order, "rate_limited")},
		{name: "429 until a date", arm: limited(429, orders, date), want: skipped(order, "rate_limited")},
		{name: "429 without Retry-After", arm: limited(429, orders, ""), want: skipped(order, "rate_limited")},
		{name: "429 with a ledger that knows too little", target: ordersPer("3h"), arm: limited(429, orders, "3600"), want: skipped(order, "rate_limited")},
		{name: "429 that the ledger contradicts", target: ordersPer("1s"), worked: 1, rest: 1500 * time.Millisecond, arm: limited(429, orders, "3600"), want: unknown(order, "unexpected_limit")},
		{name: "429 for another limit than the ledger has", target: ordersPer("1s"), worked: 1, rest: 1500 * time.Millisecond, arm: limited(429, "too many of something", "3600"), want: skipped(order, "rate_limited")},
		{name: "429, and again", target: ordersPer("3h"), arm: limited(429, orders, "3600"), runs: 2, want: skipped(setup, "budget")},
		{name: "429 of the edge", arm: on(probe.CallNewOrder, html(429)), want: skipped(order, "rate_limited")},
		{name: "429 at finalize", prober: probe.ProberIssue, arm: on(probe.CallFinalize, problem("rateLimited", 429)), want: skipped(probe.StepFinalization, "rate_limited")},
		{name: "429 at the nonce", prober: probe.ProberNonce, arm: on(probe.CallNewNonce, fakeca.Fault{Status: 429}), want: skipped(probe.StepNonce, "rate_limited")},
		{name: "429 at new-account", arm: on(probe.CallNewAccount, problem("rateLimited", 429)), want: skipped(probe.StepAccount, "rate_limited")},
		{name: "rateLimited, but 400", arm: on(probe.CallNewOrder, problem("rateLimited", 400)), want: skipped(order, "rate_limited")},
		{name: "429 of a paused identifier", arm: limited(429, "Your account is temporarily prevented from requesting certificates for a.example: unpause it", ""), want: skipped(order, "identifier_paused")},
		{name: "nothing is left", target: []string{"rate_limits: {new_orders: {count: 1, period: 7d}}"}, worked: 1, want: skipped(setup, "budget")},
	}
	for i := range cases {
		if cases[i].prober == "" {
			cases[i].prober = probe.ProberOrder
		}
	}
	return cases
}

// The CA says that it is the client's fault, and it is.
func refusals() []faultCase {
	const account, order = probe.StepAccount, probe.StepOrder
	cases := []faultCase{
		{name: "userActionRequired", arm: on(probe.CallNewOrder, problem("userActionRequired", 403)), want: byClient(order, "user_action_required")},
		{name: "invalidProfile", arm: on(probe.CallNewOrder, problem("invalidProfile", 400)), want: byClient(order, "invalid_profile")},
		{name: "rejectedIdentifier", arm: on(probe.CallNewOrder, problem("rejectedIdentifier", 400)), want: byClient(order, "rejected_identifier")},
		{name: "unsupportedIdentifier", arm: on(probe.CallNewOrder, problem("unsupportedIdentifier", 400)), want: byClient(order, "unsupported_identifier")},
		{name: "alreadyReplaced", arm: on(probe.CallNewOrder, problem("alreadyReplaced", 409)), want: byClient(order, "already_replaced")},
		{name: "caa", arm: on(probe.CallNewOrder, problem("caa", 403)), want: byClient(order, "caa")},
		{name: "invalidContact", arm: on(probe.CallNewAccount, problem("invalidContact", 400)), want: byClient(account, "invalid_contact")},
		{name: "unsupportedContact", arm: on(probe.CallNewAccount, problem("unsupportedContact", 400)), want: byClient(account, "invalid_contact")},
		{name: "externalAccountRequired", arm: on(probe.CallNewAccount, problem("externalAccountRequired", 403)), want: byClient(account, "external_account_required")},
		{name: "accountDoesNotExist", worked: 1, arm: (*fakeca.CA).ForgetAccounts, want: byClient(order, "account_does_not_exist")},
		{name: "accountDoesNotExist, at the account", prober: probe.ProberAccount, worked: 1, arm: (*fakeca.CA).ForgetAccounts, want: byClient(account, "account_does_not_exist")},
		{name: "accountDoesNotExist, twice", worked: 1, runs: 2, arm: (*fakeca.CA).ForgetAccounts, want: byClient(order, "account_does_not_exist")},
		{name: "terms that nobody has agreed to", ca: fakeca.Options{Terms: "https://ca.example/terms"}, target: []string{"account: {}"}, want: byClient(account, "configuration")},
		{name: "no binding", ca: fakeca.Options{EAB: map[string][]byte{"kid": []byte("key")}}, want: byClient(account, "configuration")},
	}
	for i := range cases {
		if cases[i].prober == "" {
			cases[i].prober = probe.ProberOrder
		}
	}
	return cases
}

// What is the client's in a right world is the CA's where it has just worked, and is
// rejected twice in a row.
func rejections() []faultCase {
	const order, finalization = probe.StepOrder, probe.StepFinalization
	var cases []faultCase
	for _, r := range []struct {
		kind   string
		call   probe.CallName
		stage  probe.StepName
		reason probe.Reason
	}{
		{"malformed", probe.CallNewOrder, order, "rejected_malformed"},
		{"badPublicKey", probe.CallNewOrder, order, "rejected_bad_public_key"},
		{"badSignatureAlgorithm", probe.CallNewOrder, order, "rejected_bad_signature_algorithm"},
		{"badCSR", probe.CallFinalize, finalization, "rejected_bad_csr"},
	} {
		c := faultCase{prober: probe.ProberIssue, arm: on(r.call, problem(r.kind, 400))}
		for _, v := range []struct {
			when         string
			worked, runs int
			want         probe.Verdict
		}{
			{" where it worked a minute ago", 1, 2, byCA(r.stage, r.reason)},
			{" where it worked a minute ago, once", 1, 1, unknown(r.stage, r.reason)},
			{" where it never worked", 0, 2, unknown(r.stage, r.reason)},
		} {
			c.name, c.worked, c.runs, c.want = r.kind+v.when, v.worked, v.runs, v.want
			cases = append(cases, c)
		}
	}
	bad := problem("malformed", 400)
	return append(cases,
		faultCase{
			name: "malformed, then well, then malformed", prober: probe.ProberOrder, worked: 1, runs: 3,
			arm:  both(both(times(1, probe.CallNewOrder, bad), times(1, probe.CallNewOrder, fakeca.Fault{})), on(probe.CallNewOrder, bad)),
			want: unknown(order, "rejected_malformed"),
		},
		faultCase{
			name: "malformed, then badPublicKey", prober: probe.ProberOrder, worked: 1, runs: 2,
			arm:  both(times(1, probe.CallNewOrder, bad), on(probe.CallNewOrder, problem("badPublicKey", 400))),
			want: unknown(order, "rejected_bad_public_key"),
		},
		faultCase{name: "unknown type", prober: probe.ProberOrder, worked: 1, runs: 2, arm: on(probe.CallNewOrder, problem("shiny", 400)), want: unknown(order, "rejected_other")},
		faultCase{name: "unauthorized", prober: probe.ProberOrder, worked: 1, runs: 2, arm: on(probe.CallNewOrder, problem("unauthorized", 403)), want: unknown(order, "rejected_unauthorized")},
		faultCase{name: "legacy malformed", prober: probe.ProberOrder, arm: on(probe.CallNewOrder, problem("urn:acme:error:malformed", 400)), want: unknown(order, "rejected_malformed")},
	)
}
