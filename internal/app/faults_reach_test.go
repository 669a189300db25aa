package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// named is the directory of a host that [useResolver] knows something about.
func named(label string) func(*testing.T) (string, []byte) {
	return func(*testing.T) (string, []byte) { return "https://" + label + ".faults.test/directory", nil }
}

// port is a directory at a port.
func port(open func(*testing.T) int) func(*testing.T) (string, []byte) {
	return func(t *testing.T) (string, []byte) { return "https://" + at(open(t)) + "/directory", nil }
}

// The CA has no address.
func namesThatFail() []faultCase {
	const directory = probe.StepDirectory
	return []faultCase{
		{name: "NXDOMAIN", site: named("missing"), want: unknown(directory, "dns_not_found")},
		{name: "NXDOMAIN, controls alive", site: named("missing"), controls: []string{"alive"}, want: unreachable(directory, "dns_not_found")},
		{name: "NXDOMAIN, controls dead", site: named("missing"), controls: []string{"dead"}, want: local(directory, "dns_not_found")},
		{name: "no address", site: named("empty"), controls: []string{"alive"}, want: unreachable(directory, "dns_not_found")},
		{name: "SERVFAIL", site: named("servfail"), want: unknown(directory, "dns_failed")},
		{name: "SERVFAIL, controls alive", site: named("servfail"), controls: []string{"alive"}, want: unreachable(directory, "dns_failed")},
		{name: "DNS time-out", site: named("silent"), waits: true, want: unknown(directory, "dns_timeout")},
		{name: "DNS time-out, controls alive", site: named("silent"), controls: []string{"alive"}, waits: true, want: unreachable(directory, "dns_timeout")},
		{name: "DNS time-out, controls dead", site: named("silent"), controls: []string{"dead"}, waits: true, want: local(directory, "dns_timeout")},
	}
}

// There is an address, and nobody to talk to.
func connectionsThatFail() []faultCase {
	const directory = probe.StepDirectory
	cases := []faultCase{
		{name: "refused", want: unknown(directory, "connect_refused")},
		{name: "refused, controls alive", controls: []string{"alive", "alive"}, want: unreachable(directory, "connect_refused")},
		{name: "refused, some controls alive", controls: []string{"dead", "alive", "dead"}, want: unreachable(directory, "connect_refused")},
		{name: "refused, controls dead", controls: []string{"dead", "dead"}, want: local(directory, "connect_refused")},
		{name: "refused, another CA answers", served: true, prober: probe.ProberValidate, want: unreachable(directory, "connect_refused")},
		{name: "refused, a name is found", controls: []string{"named"}, resolvers: []string{"finds"}, want: unreachable(directory, "connect_refused")},
		{name: "refused, a name is not there", controls: []string{"named"}, resolvers: []string{"refuses", "misses"}, want: unreachable(directory, "connect_refused")},
		{name: "refused, resolvers reach nobody", controls: []string{"named"}, resolvers: []string{"fails", "refuses"}, want: local(directory, "connect_refused")},
		{name: "refused, resolvers are silent", controls: []string{"named"}, resolvers: []string{"silent"}, want: local(directory, "connect_refused")},
	}
	for i := range cases {
		cases[i].site = port(refusing)
	}
	nowhere := func(*testing.T) (string, []byte) { return "https://255.255.255.255/directory", nil } // to all there are no connections
	return append(cases,
		faultCase{name: "no route", site: nowhere, want: unknown(directory, "connect_unreachable")},
		faultCase{name: "no route, controls alive", site: nowhere, controls: []string{"alive"}, want: unreachable(directory, "connect_unreachable")},
		faultCase{name: "no route, controls dead", site: nowhere, controls: []string{"dead"}, want: local(directory, "connect_unreachable")},
		faultCase{name: "blackhole", site: port(swallowing), waits: true, want: unknown(directory, "connect_timeout")},
		faultCase{name: "blackhole, controls alive", site: port(swallowing), controls: []string{"alive"}, waits: true, want: unreachable(directory, "connect_timeout")},
		faultCase{name: "blackhole, controls dead", site: port(swallowing), controls: []string{"dead"}, waits: true, want: local(directory, "connect_timeout")},
	)
}

// Somebody is there, and TLS does not come about. Who has shown a wrong certificate
// has answered, whatever controls would say.
func handshakesThatFail() []faultCase {
	const directory = probe.StepDirectory
	reset := func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1)) // or it would be the connection that is refused
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	alert := func(c net.Conn) {
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		_ = tls.Server(c, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return nil, errors.New("refused")
		}}).Handshake()
	}
	talk := func(do func(net.Conn)) func(*testing.T) (string, []byte) {
		return port(func(t *testing.T) int { return accepting(t, do) })
	}
	silent := func(t *testing.T) (string, []byte) { return fakeca.Silent(t), nil }
	cases := []faultCase{
		{name: "reset before TLS", site: talk(reset), want: unknown(directory, "tls_failed")},
		{name: "reset before TLS, controls alive", site: talk(reset), controls: []string{"alive"}, want: unreachable(directory, "tls_failed")},
		{name: "reset before TLS, controls dead", site: talk(reset), controls: []string{"dead"}, want: local(directory, "tls_failed")},
		{name: "alert", site: talk(alert), want: unknown(directory, "tls_failed")},
		{name: "alert, controls alive", site: talk(alert), controls: []string{"alive"}, want: unreachable(directory, "tls_failed")},
		{name: "no TLS at all", site: port(answering), want: unknown(directory, "tls_failed")},
		{name: "TLS stalls", site: silent, waits: true, want: unknown(directory, "tls_timeout")},
		{name: "TLS stalls, controls alive", site: silent, controls: []string{"alive"}, waits: true, want: unreachable(directory, "tls_timeout")},
		{name: "TLS stalls, controls dead", site: silent, controls: []string{"dead"}, waits: true, want: local(directory, "tls_timeout")},
	}
	for defect, reason := range map[fakeca.APIDefect]probe.Reason{
		fakeca.APIExpired: "tls_expired", fakeca.APINotYetValid: "tls_expired",
		fakeca.APIWrongName: "tls_certificate", fakeca.APIUntrusted: "tls_certificate",
	} {
		broken := fakeca.Options{API: defect}
		cases = append(cases,
			faultCase{name: "API certificate: " + string(defect), ca: broken, want: byCA(directory, reason)},
			faultCase{name: "API certificate, controls dead: " + string(defect), ca: broken, controls: []string{"dead"}, want: byCA(directory, reason)},
		)
	}
	return cases
}

// The first request of the run has no whole answer: nothing shows that the way to the
// CA works.
func answersThatFail() []faultCase {
	const directory = probe.StepDirectory
	first := func(f fakeca.Fault) armed { return on(probe.CallDirectory, f) }
	many := http.Header{"X": slices.Repeat([]string{strings.Repeat("x", 1000)}, 300)}
	slow := fakeca.Fault{Delay: 300 * time.Millisecond, BodyDelay: 300 * time.Millisecond}
	return []faultCase{
		{name: "slow", arm: first(slow), want: succeeded},
		{name: "slow first byte", arm: first(fakeca.Fault{Hang: true}), waits: true, want: unknown(directory, "no_answer_timeout")},
		{name: "slow first byte, controls alive", arm: first(fakeca.Fault{Hang: true}), controls: []string{"alive"}, waits: true, want: unreachable(directory, "no_answer_timeout")},
		{name: "slow first byte, controls dead", arm: first(fakeca.Fault{Hang: true}), controls: []string{"dead"}, waits: true, want: local(directory, "no_answer_timeout")},
		{name: "slow body", arm: first(fakeca.Fault{BodyDelay: time.Hour}), waits: true, want: unknown(directory, "body_timeout")},
		{name: "slow body, controls alive", arm: first(fakeca.Fault{BodyDelay: time.Hour}), controls: []string{"alive"}, waits: true, want: unreachable(directory, "body_timeout")},
		{name: "closed", arm: first(fakeca.Fault{HangUp: fakeca.BeforeHeaders}), want: unknown(directory, "no_answer_closed")},
		{name: "reset", ca: fakeca.Options{HTTP1: true}, arm: first(fakeca.Fault{HangUp: fakeca.BeforeHeaders, Reset: true}), want: unknown(directory, "no_answer_closed")},
		{name: "reset, controls alive", arm: first(fakeca.Fault{HangUp: fakeca.BeforeHeaders, Reset: true}), controls: []string{"alive"}, want: unreachable(directory, "no_answer_closed")},
		{name: "reset in the body", ca: fakeca.Options{HTTP1: true}, arm: first(fakeca.Fault{HangUp: fakeca.AfterHeaders, Reset: true}), want: unknown(directory, "body_closed")},
		{name: "truncated body", arm: first(fakeca.Fault{Truncate: true}), want: unknown(directory, "body_closed")},
		{name: "truncated body, controls dead", arm: first(fakeca.Fault{Truncate: true}), controls: []string{"dead"}, want: local(directory, "body_closed")},
		{name: "no HTTP", site: saying("220 mail.example ESMTP\r\n"), want: unknown(directory, "no_answer_failed")},
		{name: "no gzip", arm: first(header(fakeca.Fault{}, "Content-Encoding", "gzip")), want: unknown(directory, "body_failed")},
		{name: "oversized body", arm: first(fakeca.Fault{Oversize: 2 << 20}), want: byCA(directory, "too_large")},
		{name: "oversized when unpacked", arm: first(fakeca.Fault{GzipBomb: 2 << 20}), want: byCA(directory, "too_large")},
		{name: "oversized header", ca: fakeca.Options{HTTP1: true}, arm: first(header(fakeca.Fault{}, "X", strings.Repeat("x", 300<<10))), want: byCA(directory, "too_large")},
		{name: "oversized header, HTTP/2", arm: first(fakeca.Fault{Header: many}), want: byCA(directory, "too_large")},
	}
}

// stages are the calls of an issuance with the step that each belongs to.
var stages = []struct {
	call  probe.CallName
	stage probe.StepName
}{
	{probe.CallNewNonce, probe.StepNonce},
	{probe.CallNewAccount, probe.StepAccount},
	{probe.CallNewOrder, probe.StepOrder},
	{probe.CallAuthz, probe.StepAuthorization},
	{probe.CallChallenge, probe.StepValidation},
	{probe.CallFinalize, probe.StepFinalization},
	{probe.CallOrder, probe.StepFinalization},
	{probe.CallCertificate, probe.StepDownload},
}

// The directory came, and at one of the calls behind it the answer does not: it is the
// CA's if our own line works, and ours if it was cut meanwhile. Where nobody can be
// asked, somebody must have closed a connection; silence tells nothing.
func hangups() []faultCase {
	var cases []faultCase
	for _, s := range stages {
		play := func(how string, f fakeca.Fault, reason probe.Reason, alone probe.Verdict) {
			for _, v := range []struct {
				name     string
				controls []string
				want     probe.Verdict
			}{
				{"", nil, alone},
				{", controls alive", []string{"dead", "alive"}, byCA(s.stage, reason)},
				{", controls dead", []string{"dead"}, local(s.stage, reason)},
			} {
				cases = append(cases, faultCase{
					name: fmt.Sprintf("%s at %s%s", how, s.call, v.name), prober: probe.ProberIssue, ca: fakeca.Options{AsyncFinalize: true},
					controls: v.controls, arm: on(s.call, f), waits: f.Hang, want: v.want,
				})
			}
		}
		play("reset", fakeca.Fault{HangUp: fakeca.BeforeHeaders, Reset: true}, "no_answer_closed", byCA(s.stage, "no_answer_closed"))
		if s.call != probe.CallChallenge { // whose answer may have to wait for us
			play("stall", fakeca.Fault{Hang: true}, "no_answer_timeout", unknown(s.stage, "no_answer_timeout"))
		}
		if s.call != probe.CallNewNonce { // whose answer has no body
			play("truncated body", fakeca.Fault{Truncate: true}, "body_closed", byCA(s.stage, "body_closed"))
		}
	}
	return cases
}
