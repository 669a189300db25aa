package prober_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
	"github.com/acme-exporter/acme_exporter/prober"
)

func TestOrderFaults(t *testing.T) {
	t.Parallel()
	ca, client, unknown := probe.FaultCA, probe.FaultClient, probe.FaultUnknown
	table := map[string]fault{
		"500":                    {play: problem("serverInternal", 500), reason: "server_internal", fault: ca},
		"legacy 500":             {play: problem("urn:acme:error:serverInternal", 500), reason: "server_internal", fault: ca},
		"maintenance":            {play: &fakeca.Fault{Problem: &fakeca.Problem{Type: "urn:acme:error:serverInternal", Status: 503}, Header: retryAfter("60"), DropNonce: true}, reason: "server_internal", fault: ca, calls: map[probe.CallName]int{probe.CallNewOrder: 1}},
		"overload":               {play: &fakeca.Fault{Problem: &fakeca.Problem{Type: "rateLimited", Status: 503}, Header: retryAfter("1")}, reason: "throttled", fault: unknown, calls: map[probe.CallName]int{probe.CallNewOrder: 1}},
		"limit":                  {play: &fakeca.Fault{Problem: &fakeca.Problem{Type: "rateLimited", Status: 429}, Header: retryAfter("1000000")}, reason: "rate_limited"},
		"502 of the edge":        {play: &fakeca.Fault{HTML: true, Status: 502}, reason: "edge_5xx", fault: ca},
		"403 of the edge":        {play: &fakeca.Fault{HTML: true, Status: 403}, reason: "edge_4xx", fault: ca},
		"HTML":                   {play: &fakeca.Fault{HTML: true}, reason: "unexpected_status", fault: ca, calls: map[probe.CallName]int{probe.CallNewOrder: 1}},
		"redirect":               {play: &fakeca.Fault{Redirect: "https://127.0.0.1:1/"}, reason: "edge_3xx", fault: ca, calls: map[probe.CallName]int{probe.CallNewOrder: 1}},
		"hangs":                  {play: &fakeca.Fault{Hang: true}, hangs: true, reason: "no_answer_timeout", fault: probe.FaultUnknown, calls: map[probe.CallName]int{probe.CallNewOrder: 1}},
		"closed":                 {play: &fakeca.Fault{HangUp: fakeca.BeforeHeaders}, reason: "no_answer_closed", fault: ca, calls: map[probe.CallName]int{probe.CallNewOrder: 1}},
		"truncated":              {play: &fakeca.Fault{Truncate: true}, reason: "body_closed", fault: ca},
		"oversized":              {play: &fakeca.Fault{Oversize: 2 << 20}, reason: "too_large", fault: ca},
		"oversized error":        {play: &fakeca.Fault{Oversize: 2 << 20, Status: 500}, reason: "edge_5xx", fault: ca},
		"nonce always bad":       {play: &fakeca.Fault{BadNonce: true}, reason: "bad_nonce", fault: ca, calls: map[probe.CallName]int{probe.CallNewOrder: 4, probe.CallNewNonce: 1}},
		"name refused":           {play: problem("rejectedIdentifier", 400), reason: "rejected_identifier", fault: client},
		"account gone":           {play: problem("accountDoesNotExist", 400), reason: "account_does_not_exist", fault: client},
		"malformed":              {play: problem("malformed", 400), reason: "rejected_malformed", fault: unknown},
		"bad key":                {play: problem("badPublicKey", 400), reason: "rejected_bad_public_key", fault: unknown},
		"type of its own":        {play: problem("https://ca.example/strange", 400), reason: "rejected_other", fault: unknown},
		"born invalid":           {play: invalid("serverInternal", 500), reason: "server_internal", fault: ca},
		"invalid without reason": {play: edit(fakeca.Set("status", "invalid")), reason: "invalid", fault: unknown},
		"unknown status":         {play: edit(fakeca.Set("status", "happy")), reason: "protocol", fault: ca},
		"valid at once":          {play: edit(fakeca.Set("status", "valid")), reason: "protocol", fault: ca},
		"no authorizations":      {play: edit(fakeca.Set("authorizations", []string{})), reason: "protocol", fault: ca},
		"duplicated URLs":        {play: edit(twice), reason: "protocol", fault: ca},
		"too many URLs":          {play: edit(many), reason: "protocol", fault: ca},
		"http URL":               {play: edit(fakeca.WithScheme("http")), reason: "url_refused", fault: ca},
		"no finalize":            {play: edit(fakeca.Without("finalize")), reason: "protocol", fault: ca},
		"other name":             {play: edit(fakeca.Set("identifiers", []map[string]any{{"type": "dns", "value": "other.example"}})), reason: "protocol", fault: ca},
		"no Location":            {play: &fakeca.Fault{Header: map[string][]string{"Location": {}}}, reason: "protocol", fault: ca},
	}
	for name, f := range table {
		f.on, f.stage = probe.CallNewOrder, probe.StepOrder
		table[name] = f
	}
	check(t, table)
}

func twice(o map[string]any) {
	list := o["authorizations"].([]string)
	o["authorizations"] = append(list, list...)
}

func many(o map[string]any) {
	list := o["authorizations"].([]string)
	for i := range 1000 {
		list = append(list, list[0]+strings.Repeat("x", i))
	}
	o["authorizations"] = list
}

func TestAuthorizationFaults(t *testing.T) {
	t.Parallel()
	ca, unknown := probe.FaultCA, probe.FaultUnknown
	table := map[string]fault{
		"no such challenge": {play: edit(fakeca.WithoutChallenge(probe.HTTP01)), stage: probe.StepAuthorization, reason: "unsupported"},
		"no challenges":     {play: edit(fakeca.Without("challenges")), stage: probe.StepAuthorization, reason: "unsupported"},
		"other name":        {play: edit(fakeca.Set("identifier", map[string]any{"type": "dns", "value": "other.example"})), stage: probe.StepAuthorization, reason: "protocol", fault: ca},
		"unknown status":    {play: edit(fakeca.Set("status", "happy")), stage: probe.StepAuthorization, reason: "protocol", fault: ca},
		"expired":           {play: edit(fakeca.Set("status", "expired")), stage: probe.StepAuthorization, reason: "invalid", fault: unknown},
		"500":               {play: problem("serverInternal", 500), stage: probe.StepAuthorization, reason: "server_internal", fault: ca},
		"HTML":              {play: &fakeca.Fault{HTML: true}, stage: probe.StepAuthorization, reason: "protocol", fault: ca},
		"no token":          {play: edit(fakeca.EditChallenges(fakeca.Without("token"))), stage: probe.StepAuthorization, reason: "protocol", fault: ca},
		"token is a path":   {play: edit(fakeca.EditChallenges(fakeca.Set("token", "../../etc/passwd"))), stage: probe.StepAuthorization, reason: "protocol", fault: ca},
		"http challenge":    {play: edit(fakeca.EditChallenges(fakeca.Set("url", "http://127.0.0.1/x"))), stage: probe.StepAuthorization, reason: "url_refused", fault: ca},
		"private challenge": {play: edit(fakeca.EditChallenges(fakeca.Set("url", "https://10.0.0.1/x"))), stage: probe.StepValidation, reason: "url_refused", fault: ca},
	}
	for name, f := range table {
		f.on, f.prober = probe.CallAuthz, probe.ProberValidate
		table[name] = f
	}
	check(t, table)
}

func TestValidationFaults(t *testing.T) {
	t.Parallel()
	ca, client, unknown := probe.FaultCA, probe.FaultClient, probe.FaultUnknown
	day := fakeca.Fault{Header: retryAfter("86400")}
	past := fakeca.Fault{Header: retryAfter("Thu, 01 Jan 1970 00:00:00 GMT")}
	table := map[string]fault{
		"dns":                  {play: invalid("dns", 400), reason: "validation_dns", fault: unknown},
		"connection":           {play: invalid("connection", 400), reason: "validation_connection", fault: unknown},
		"tls":                  {play: invalid("tls", 400), reason: "validation_tls", fault: unknown},
		"unauthorized":         {play: invalid("unauthorized", 403), reason: "validation_unauthorized", fault: unknown},
		"incorrect":            {play: invalid("incorrectResponse", 403), reason: "validation_unauthorized", fault: unknown},
		"caa":                  {play: invalid("caa", 403), reason: "caa", fault: client},
		"validators are down":  {play: invalid("serverInternal", 500), reason: "server_internal", fault: ca},
		"legacy, and down":     {play: invalid("urn:acme:error:serverInternal", 500), reason: "server_internal", fault: ca},
		"limit":                {play: invalid("rateLimited", 429), reason: "rate_limited"},
		"asynchronous dns":     {ca: fakeca.Options{Polls: 2}, play: invalid("dns", 400), reason: "validation_dns", fault: unknown},
		"stuck":                {play: &fakeca.Fault{Stuck: true}, hangs: true, reason: "validation_timeout", fault: unknown},
		"challenge 500":        {play: problem("serverInternal", 500), reason: "server_internal", fault: ca, calls: map[probe.CallName]int{probe.CallChallenge: 1}},
		"challenge malformed":  {play: problem("malformed", 400), reason: "rejected_malformed", fault: unknown},
		"challenge hangs":      {play: &fakeca.Fault{Hang: true}, hangs: true, reason: "validation_timeout", fault: unknown},
		"challenge is HTML":    {play: &fakeca.Fault{HTML: true, Status: 503}, reason: "edge_5xx", fault: ca},
		"poll 500":             {arm: after(1, probe.CallAuthz, *problem("serverInternal", 500)), reason: "server_internal", fault: ca},
		"poll hangs":           {arm: after(1, probe.CallAuthz, fakeca.Fault{Hang: true}), ca: fakeca.Options{Polls: 1}, hangs: true, reason: "validation_timeout", fault: unknown},
		"poll of a word":       {arm: after(1, probe.CallAuthz, fakeca.Fault{Edit: fakeca.Set("status", "happy")}), reason: "protocol", fault: ca},
		"poll, then expired":   {arm: after(1, probe.CallAuthz, fakeca.Fault{Edit: fakeca.Set("status", "expired")}), reason: "invalid", fault: unknown},
		"stuck, a day":         {arm: after(1, probe.CallAuthz, day), play: &fakeca.Fault{Stuck: true}, hangs: true, reason: "validation_timeout", fault: unknown},
		"stuck, in the past":   {arm: after(1, probe.CallAuthz, past), play: &fakeca.Fault{Stuck: true}, hangs: true, reason: "validation_timeout", fault: unknown},
		"stuck, says nonsense": {arm: after(1, probe.CallAuthz, fakeca.Fault{Header: retryAfter("soon")}), play: &fakeca.Fault{Stuck: true}, hangs: true, reason: "validation_timeout", fault: unknown},
	}
	for name, f := range table {
		f.on, f.prober, f.stage = probe.CallChallenge, probe.ProberValidate, probe.StepValidation
		table[name] = f
	}
	check(t, table)
}

// What looks odd, and has to be put up with.
func TestOddAndWell(t *testing.T) {
	t.Parallel()
	check(t, map[string]fault{
		"issue":                     {calls: map[probe.CallName]int{probe.CallFinalize: 1, probe.CallCertificate: 1, probe.CallAuthz: 2}},
		"validate":                  {prober: probe.ProberValidate, calls: map[probe.CallName]int{probe.CallFinalize: 0}},
		"order":                     {prober: probe.ProberOrder, calls: map[probe.CallName]int{probe.CallChallenge: 0}},
		"asynchronous":              {ca: fakeca.Options{AsyncFinalize: true, Polls: 1, RetryAfter: "1"}, calls: map[probe.CallName]int{probe.CallFinalize: 1}},
		"asynchronous, past":        {ca: fakeca.Options{AsyncFinalize: true, Polls: 1, RetryAfter: "Thu, 01 Jan 1970 00:00:00 GMT"}},
		"asynchronous, nonsense":    {ca: fakeca.Options{AsyncFinalize: true, Polls: 1, RetryAfter: "-5"}},
		"validated within the POST": {ca: fakeca.Options{SyncValidation: true, HTTP1: true, Validate: fakeca.Solved(50 * time.Millisecond)}},
		"validated later":           {ca: fakeca.Options{Validate: fakeca.Solved(300 * time.Millisecond)}},
		"bad nonce, once":           {arm: once(probe.CallNewOrder, fakeca.Fault{BadNonce: true}), calls: map[probe.CallName]int{probe.CallNewOrder: 2, probe.CallNewNonce: 1}},
		"bad nonce, three times":    {arm: func(ca *fakeca.CA) { ca.Fault(probe.CallFinalize, fakeca.Fault{BadNonce: true}, 3) }, calls: map[probe.CallName]int{probe.CallFinalize: 4}},
		"not ready, once":           {arm: once(probe.CallFinalize, *problem("orderNotReady", 403)), calls: map[probe.CallName]int{probe.CallFinalize: 2}},
		"answers without nonces":    {play: &fakeca.Fault{DropNonce: true}, on: probe.CallAuthz},
		"fields nobody knows":       {play: edit(fakeca.Set("shiny", map[string]any{"new": true})), on: probe.CallDirectory},
		"slow":                      {play: &fakeca.Fault{Delay: 50 * time.Millisecond, BodyDelay: 50 * time.Millisecond}, on: probe.CallOrder, ca: fakeca.Options{AsyncFinalize: true}},
		"no other than 127.0.0.1":   {ca: fakeca.Options{Host: "localhost"}},
	})
}

func TestFinalizationFaults(t *testing.T) {
	t.Parallel()
	ca, unknown := probe.FaultCA, probe.FaultUnknown
	async := fakeca.Options{AsyncFinalize: true}
	table := map[string]fault{
		"500":                  {play: problem("serverInternal", 500), reason: "server_internal", fault: ca, calls: map[probe.CallName]int{probe.CallFinalize: 1}},
		"no SCTs":              {play: invalid("serverInternal", 500), reason: "server_internal", fault: ca},
		"no SCTs, later":       {ca: async, play: invalid("serverInternal", 500), reason: "server_internal", fault: ca},
		"no reason":            {ca: async, arm: func(c *fakeca.CA) { c.Fault(probe.CallOrder, fakeca.Fault{Edit: fakeca.Set("status", "invalid")}, 0) }, reason: "invalid", fault: unknown},
		"stuck":                {play: &fakeca.Fault{Stuck: true}, hangs: true, reason: "finalization_timeout", fault: ca},
		"stuck, a day":         {ca: fakeca.Options{RetryAfter: "86400"}, play: &fakeca.Fault{Stuck: true}, hangs: true, reason: "finalization_timeout", fault: ca},
		"hangs":                {play: &fakeca.Fault{Hang: true}, hangs: true, reason: "no_answer_timeout", fault: probe.FaultUnknown},
		"bad CSR":              {play: problem("badCSR", 400), reason: "rejected_bad_csr", fault: unknown},
		"never ready":          {play: problem("orderNotReady", 403), reason: "rejected_order_not_ready", fault: unknown},
		"unknown status":       {play: edit(fakeca.Set("status", "happy")), reason: "protocol", fault: ca},
		"HTML":                 {play: &fakeca.Fault{HTML: true}, reason: "protocol", fault: ca},
		"no certificate URL":   {play: edit(fakeca.Without("certificate")), reason: "protocol", fault: ca},
		"http certificate URL": {play: edit(fakeca.Set("certificate", "http://127.0.0.1/x")), reason: "url_refused", fault: ca},
		"private finalize URL": {arm: once(probe.CallNewOrder, fakeca.Fault{Edit: fakeca.Set("finalize", "https://10.0.0.1/x")}), reason: "url_refused", fault: ca},
		"poll 500":             {ca: async, arm: func(c *fakeca.CA) { c.Fault(probe.CallOrder, *problem("serverInternal", 500), 0) }, reason: "server_internal", fault: ca},
	}
	for name, f := range table {
		f.on, f.stage = probe.CallFinalize, probe.StepFinalization
		table[name] = f
	}
	check(t, table)
}

func TestCertificateFaults(t *testing.T) {
	t.Parallel()
	defect := func(d fakeca.CertificateDefect) *fakeca.Fault { return &fakeca.Fault{Certificate: d} }
	table := map[string]fault{
		"other key":     {play: defect(fakeca.CertificateOtherKey), stage: probe.StepCertificate, reason: "certificate_key"},
		"other names":   {play: defect(fakeca.CertificateOtherNames), stage: probe.StepCertificate, reason: "certificate_names"},
		"extra name":    {play: defect(fakeca.CertificateExtraName), stage: probe.StepCertificate, reason: "certificate_names"},
		"expired":       {play: defect(fakeca.CertificateExpired), stage: probe.StepCertificate, reason: "certificate_validity"},
		"not yet valid": {play: defect(fakeca.CertificateNotYetValid), stage: probe.StepCertificate, reason: "certificate_validity"},
		"swapped":       {play: defect(fakeca.CertificateSwapped), stage: probe.StepCertificate, reason: "certificate_key"},
		"unrelated":     {play: defect(fakeca.CertificateUnrelated), stage: probe.StepCertificate, reason: "certificate_order"},
		"leaf only":     {play: defect(fakeca.CertificateLeafOnly), stage: probe.StepCertificate, reason: "certificate_order"},
		"bad signature": {play: defect(fakeca.CertificateBadSignature), stage: probe.StepCertificate, reason: "certificate_signatures"},
		"empty":         {play: defect(fakeca.CertificateEmpty), stage: probe.StepDownload, reason: "certificate_unreadable"},
		"not PEM":       {play: defect(fakeca.CertificateNotPEM), stage: probe.StepDownload, reason: "certificate_unreadable"},
		"not DER":       {play: defect(fakeca.CertificateNotDER), stage: probe.StepDownload, reason: "certificate_unreadable"},
		"long chain":    {play: defect(fakeca.CertificateLong), stage: probe.StepDownload, reason: "certificate_unreadable"},
		"huge chain":    {play: defect(fakeca.CertificateHuge), stage: probe.StepDownload, reason: "too_large"},
		"HTML":          {play: &fakeca.Fault{HTML: true}, stage: probe.StepDownload, reason: "certificate_unreadable"},
		"500":           {play: problem("serverInternal", 500), stage: probe.StepDownload, reason: "server_internal"},
		"404":           {play: &fakeca.Fault{Status: 404}, stage: probe.StepDownload, reason: "edge_4xx"},
	}
	for name, f := range table {
		f.on, f.fault = probe.CallCertificate, probe.FaultCA
		table[name] = f
	}
	check(t, table)
}

func TestOurOwnFaults(t *testing.T) {
	t.Parallel()
	local := probe.FaultLocal
	check(t, map[string]fault{
		"the responder fails":    {edit: func(_ *testing.T, r *prober.Request) { r.Solver = solver{errTest} }, stage: probe.StepSetup, reason: "local", fault: local, calls: map[probe.CallName]int{probe.CallChallenge: 0}},
		"the disk is full":       {edit: func(_ *testing.T, r *prober.Request) { r.FollowUps = followUps{errTest} }, stage: probe.StepSetup, reason: "local", fault: local, calls: map[probe.CallName]int{probe.CallChallenge: 0}},
		"the exporter has a bug": {edit: func(_ *testing.T, r *prober.Request) { r.Accounts = nil }, stage: probe.StepNonce, reason: "local", fault: local},
	})
}

// A run that is cut by our own stop says nothing about the CA.
func TestCanceled(t *testing.T) {
	t.Parallel()
	for _, play := range []fakeca.Fault{{Hang: true}, {Stuck: true}} {
		ca := fakeca.New(t, fakeca.Options{})
		ca.Fault(probe.CallChallenge, play, 0)
		req := request(t, ca, ca.URL(), probe.ProberValidate)
		ctx, cancel := context.WithCancel(t.Context())
		accepted := make(chan struct{})
		req.Progress = func(s probe.StepName) {
			if s == probe.StepValidation {
				close(accepted)
			}
		}
		go func() {
			<-accepted
			cancel()
		}()
		facts := prober.Run(ctx, req)
		req.HTTP.Close()
		v := verdict.Judge(&facts, verdict.Context{})
		if v.Outcome != probe.OutcomeSkipped || v.Reason != verdict.Canceled || v.Stage != probe.StepValidation {
			t.Errorf("%+v: verdict %+v, want skipped because canceled, in validation", play, v)
		}
	}
}

// The text of a paused identifier's limit holds a token.
func TestUnpauseURLIsNotKept(t *testing.T) {
	t.Parallel()
	const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
	ca := fakeca.New(t, fakeca.Options{})
	ca.Fault(probe.CallNewOrder, fakeca.Fault{Problem: &fakeca.Problem{
		Type: "rateLimited", Status: 429, Detail: "paused; see https://portal.example/sfe/v1/unpause?jwt=" + jwt,
	}}, 0)
	req := request(t, ca, ca.URL(), probe.ProberIssue)
	facts := prober.Run(t.Context(), req)
	req.HTTP.Close()
	v := verdict.Judge(&facts, verdict.Context{Prober: probe.ProberIssue})
	if v.Reason != verdict.RateLimited || !strings.Contains(v.Summary, "paused") {
		t.Errorf("verdict %+v, want one that quotes the CA", v)
	}
	for part := range strings.SplitSeq(jwt, ".") {
		for _, text := range []string{v.Summary, facts.Failure.Detail, facts.Calls[facts.Failure.Call].Problem.Detail} {
			if strings.Contains(text, part) {
				t.Errorf("the token is in %q", text)
			}
		}
	}
}

func TestFollowUpFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault  fakeca.Fault
		on     probe.CallName
		stage  probe.StepName
		reason probe.Reason
		fate   string // of the authorization
	}{
		"works":         {fate: "deactivated"},
		"500":           {fault: *problem("serverInternal", 500), on: probe.CallDeactivateAuthz, stage: probe.StepDeactivation, reason: "server_internal", fate: "valid"},
		"not offered":   {fault: *problem("malformed", 400), on: probe.CallDeactivateAuthz, stage: probe.StepDeactivation, reason: "unsupported", fate: "valid"},
		"still valid":   {fault: fakeca.Fault{Edit: fakeca.Set("status", "valid")}, on: probe.CallDeactivateAuthz, stage: probe.StepDeactivation, reason: "protocol", fate: "deactivated"},
		"pending again": {fault: fakeca.Fault{Edit: fakeca.Set("status", "pending")}, on: probe.CallAuthz, fate: "valid"},
		"forgotten":     {fault: *problem("malformed", 404), on: probe.CallAuthz, fate: "valid"},
		"edge 404":      {fault: fakeca.Fault{HTML: true, Status: 404}, on: probe.CallAuthz, stage: probe.StepAuthorization, reason: "edge_4xx", fate: "valid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := fakeca.New(t, fakeca.Options{})
			parent := request(t, ca, ca.URL(), probe.ProberValidate)
			facts := prober.Run(t.Context(), parent)
			parent.HTTP.Close()
			if facts.Failure != nil {
				t.Fatalf("the run to be followed up failed: %+v", facts.Failure)
			}
			ca.Fault(test.on, test.fault, 0)
			req := request(t, ca, ca.URL(), probe.ProberValidate)
			req.Accounts = parent.Accounts
			req.FollowUp = &probe.FollowUp{ID: "1", Kind: probe.FollowUpDeactivateAuthz, URL: ca.Authorizations()[0].URL}
			facts = prober.Run(t.Context(), req)
			req.HTTP.Close()
			v := verdict.Judge(&facts, verdict.Context{})
			if v.Stage != test.stage || v.Reason != test.reason {
				t.Errorf("got stage %q, reason %q, want %q, %q: %s", v.Stage, v.Reason, test.stage, test.reason, v.Summary)
			}
			if got := ca.Authorizations()[0].Status; got != test.fate {
				t.Errorf("the authorization is %s, want %s", got, test.fate)
			}
			sound(t, ca, facts, v)
		})
	}
}
