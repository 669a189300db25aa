package prober_test

import (
	"net"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/prober"
)

// closedPort is where nobody listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "https://" + l.Addr().String() + "/directory"
}

func TestDirectoryFaults(t *testing.T) {
	t.Parallel()
	const step, on = probe.StepDirectory, probe.CallDirectory
	ca, unknown := probe.FaultCA, probe.FaultUnknown
	documents := map[string]fault{
		"HTML":             {play: &fakeca.Fault{HTML: true}, reason: "protocol", fault: ca},
		"empty":            {play: &fakeca.Fault{Body: []byte{}}, reason: "protocol", fault: ca},
		"null":             {play: &fakeca.Fault{Body: []byte("null")}, reason: "protocol", fault: ca},
		"array":            {play: &fakeca.Fault{Body: []byte("[]")}, reason: "protocol", fault: ca},
		"20 MiB":           {play: &fakeca.Fault{Oversize: 20 << 20}, reason: "too_large", fault: ca},
		"gzip bomb":        {play: &fakeca.Fault{GzipBomb: 5 << 20}, reason: "too_large", fault: ca},
		"redirect":         {play: &fakeca.Fault{Redirect: "https://127.0.0.1:1/"}, reason: "edge_3xx", fault: ca, calls: map[probe.CallName]int{on: 1}},
		"no newOrder":      {play: edit(fakeca.Without("newOrder")), reason: "protocol", fault: ca},
		"no newNonce":      {play: edit(fakeca.Without("newNonce")), reason: "protocol", fault: ca},
		"http URLs":        {play: edit(fakeca.WithScheme("http")), reason: "url_refused", fault: ca},
		"relative URL":     {play: edit(fakeca.Set("newOrder", "/new-order")), reason: "protocol", fault: ca},
		"wrong types":      {play: edit(fakeca.Set("newOrder", []int{1})), reason: "protocol", fault: ca},
		"meta of a number": {play: edit(fakeca.Set("meta", 1)), reason: "protocol", fault: ca},
		"404 of the edge":  {play: &fakeca.Fault{HTML: true, Status: 404}, reason: "edge_4xx", fault: ca},
		"502 of the edge":  {play: &fakeca.Fault{HTML: true, Status: 502}, reason: "edge_5xx", fault: ca},
		"503, empty":       {play: &fakeca.Fault{Status: 503}, reason: "edge_5xx", fault: ca},
		"500":              {play: problem("serverInternal", 500), reason: "server_internal", fault: ca},
		"legacy 503":       {play: problem("urn:acme:error:serverInternal", 503), reason: "server_internal", fault: ca},
		"204":              {play: &fakeca.Fault{Status: 204}, reason: "unexpected_status", fault: ca},
		"429 of the edge":  {play: &fakeca.Fault{HTML: true, Status: 429}, reason: "rate_limited"},
		"problem on 200":   {play: &fakeca.Fault{Body: []byte(`{"type":"urn:ietf:params:acme:error:serverInternal"}`)}, reason: "protocol", fault: ca},

		"hangs":          {play: &fakeca.Fault{Hang: true}, hangs: true, reason: "no_answer_timeout", fault: unknown},
		"hangs in body":  {play: &fakeca.Fault{BodyDelay: time.Hour}, hangs: true, reason: "body_timeout", fault: unknown},
		"closed":         {play: &fakeca.Fault{HangUp: fakeca.BeforeHeaders}, reason: "no_answer_closed", fault: unknown},
		"closed in body": {play: &fakeca.Fault{HangUp: fakeca.AfterHeaders}, reason: "body_closed", fault: unknown},
		"truncated":      {play: &fakeca.Fault{Truncate: true}, reason: "body_closed", fault: unknown},

		"never answers":     {url: func(t *testing.T) string { return fakeca.Silent(t) }, hangs: true, reason: "tls_timeout", fault: unknown},
		"nobody listens":    {url: closedPort, reason: "connect_refused", fault: unknown},
		"no such name":      {url: func(*testing.T) string { return "https://ca.invalid/directory" }, reason: "dns_not_found", fault: unknown},
		"TLS expired":       {ca: fakeca.Options{API: fakeca.APIExpired}, reason: "tls_expired", fault: ca},
		"TLS not yet valid": {ca: fakeca.Options{API: fakeca.APINotYetValid}, reason: "tls_expired", fault: ca},
		"TLS of other name": {ca: fakeca.Options{API: fakeca.APIWrongName}, reason: "tls_certificate", fault: ca},
		"TLS untrusted":     {ca: fakeca.Options{API: fakeca.APIUntrusted}, reason: "tls_certificate", fault: ca},
		"works":             {},
	}
	table := map[string]fault{}
	for name, f := range documents {
		f.prober, f.on = probe.ProberDirectory, on
		if f.reason != "" {
			f.stage = step
		}
		table[name] = f
		if f.play != nil { // whoever speaks, HTTP/1.1 or 2, it is the same
			f.ca.HTTP1 = true
			table[name+", HTTP/1.1"] = f
		}
	}
	check(t, table)
}

// The certificate that was refused is what its owner wants to see.
func TestExpiredCertificateIsShown(t *testing.T) {
	t.Parallel()
	ca := fakeca.New(t, fakeca.Options{API: fakeca.APIExpired})
	req := request(t, ca, ca.URL(), probe.ProberDirectory)
	facts := prober.Run(t.Context(), req)
	req.HTTP.Close()
	if facts.API == nil || !facts.API.NotAfter.Before(time.Now()) {
		t.Errorf("API certificate %+v, want the expired one", facts.API)
	}
}

func TestConnectingFaults(t *testing.T) {
	t.Parallel()
	ca := probe.FaultCA
	nonce, account := probe.CallNewNonce, probe.CallNewAccount
	check(t, map[string]fault{
		"private URLs":         {play: edit(fakeca.WithHost("10.0.0.1")), on: probe.CallDirectory, prober: probe.ProberDirectory, stage: probe.StepDirectory, reason: "url_refused", fault: ca},
		"metadata URLs":        {play: edit(fakeca.WithHost("169.254.169.254")), on: probe.CallDirectory, stage: probe.StepDirectory, reason: "url_refused", fault: ca},
		"nonce 500":            {play: problem("serverInternal", 500), on: nonce, prober: probe.ProberNonce, stage: probe.StepNonce, reason: "http_5xx", fault: ca},
		"nonce of the edge":    {play: &fakeca.Fault{HTML: true, Status: 502}, on: nonce, prober: probe.ProberNonce, stage: probe.StepNonce, reason: "http_5xx", fault: ca},
		"nonce hangs":          {play: &fakeca.Fault{Hang: true}, on: nonce, hangs: true, prober: probe.ProberNonce, stage: probe.StepNonce, reason: "no_answer_timeout", fault: probe.FaultUnknown},
		"no nonce":             {play: &fakeca.Fault{DropNonce: true}, on: nonce, prober: probe.ProberNonce, stage: probe.StepNonce, reason: "protocol", fault: ca},
		"nonce is no base64":   {play: &fakeca.Fault{Header: map[string][]string{"Replay-Nonce": {"a nonce"}}}, on: nonce, prober: probe.ProberNonce, stage: probe.StepNonce, reason: "protocol", fault: ca},
		"nonce is 429":         {play: &fakeca.Fault{Status: 429}, on: nonce, prober: probe.ProberNonce, stage: probe.StepNonce, reason: "rate_limited"},
		"account 500":          {play: problem("serverInternal", 500), on: account, prober: probe.ProberAccount, stage: probe.StepAccount, reason: "server_internal", fault: ca},
		"account without URL":  {play: &fakeca.Fault{Header: map[string][]string{"Location": {}}}, on: account, prober: probe.ProberAccount, stage: probe.StepAccount, reason: "protocol", fault: ca},
		"account of a word":    {play: edit(fakeca.Set("status", "happy")), on: probe.CallAccount, prober: probe.ProberAccount, stage: probe.StepAccount, reason: "protocol", fault: ca},
		"account deactivated":  {play: edit(fakeca.Set("status", "deactivated")), on: probe.CallAccount, prober: probe.ProberAccount, stage: probe.StepAccount, reason: "configuration", fault: probe.FaultClient},
		"account not known":    {play: problem("accountDoesNotExist", 400), on: probe.CallAccount, prober: probe.ProberAccount, stage: probe.StepAccount, reason: "account_does_not_exist", fault: probe.FaultClient},
		"new terms":            {play: problem("userActionRequired", 403), on: probe.CallAccount, prober: probe.ProberAccount, stage: probe.StepAccount, reason: "user_action_required", fault: probe.FaultClient},
		"EAB missing":          {ca: fakeca.Options{EAB: map[string][]byte{"kid": []byte("key")}}, prober: probe.ProberAccount, stage: probe.StepAccount, reason: "configuration", fault: probe.FaultClient},
		"EAB missing, unsaid":  {ca: fakeca.Options{EAB: map[string][]byte{"kid": []byte("key")}}, play: edit(fakeca.Without("meta")), on: probe.CallDirectory, prober: probe.ProberAccount, stage: probe.StepAccount, reason: "external_account_required", fault: probe.FaultClient},
		"contact refused":      {play: problem("invalidContact", 400), on: account, prober: probe.ProberAccount, stage: probe.StepAccount, reason: "invalid_contact", fault: probe.FaultClient},
		"terms not agreed to":  {ca: fakeca.Options{Terms: "https://ca.example/terms"}, edit: disagree, prober: probe.ProberAccount, stage: probe.StepAccount, reason: "configuration", fault: probe.FaultClient},
		"terms agreed to":      {ca: fakeca.Options{Terms: "https://ca.example/terms"}, prober: probe.ProberAccount},
		"account works":        {prober: probe.ProberAccount},
		"nonce works":          {prober: probe.ProberNonce, calls: map[probe.CallName]int{probe.CallDirectory: 1, nonce: 1}},
		"signature of the 90s": {play: problem("badSignatureAlgorithm", 400), on: account, prober: probe.ProberAccount, stage: probe.StepAccount, reason: "rejected_bad_signature_algorithm", fault: probe.FaultUnknown},
	})
}

func disagree(_ *testing.T, r *prober.Request) { r.Pair.Target.Account.AgreeToTerms = false }
