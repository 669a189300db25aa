package app

import (
	"net/http"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// secondary is how Let's Encrypt begins what its remote perspectives have found.
const secondary = "During secondary validation: in words"

// validating fills in what the cases of a challenge have in common.
func validating(kind probe.ChallengeType, cases []faultCase) []faultCase {
	for i := range cases {
		if cases[i].challenge = kind; cases[i].prober == "" {
			cases[i].prober = probe.ProberValidate
		}
	}
	return cases
}

// fails has the CA say it of every challenge, without asking for the answer.
func fails(kind string, status int) armed {
	return on(probe.CallChallenge, invalid(kind, status, "in words"))
}

// trying has the CA tell in a pending challenge what has failed, as step-ca does: it
// is not tried again without a new request (RFC 8555 §8.2).
func trying(kind string, status int) armed {
	p := map[string]any{"type": "urn:ietf:params:acme:error:" + kind, "status": status, "detail": "in words"}
	return later(1, probe.CallAuthz, fakeca.Fault{Edit: fakeca.EditChallenges(func(c map[string]any) {
		c["status"], c["error"] = "pending", p
	})})
}

// The CA's validators come by HTTP, or not.
func validationsByHTTP() []faultCase {
	const validation = probe.StepValidation
	connection := &fakeca.Problem{Type: "connection", Detail: "in words"}
	unauthorized := &fakeca.Problem{Type: "unauthorized", Status: 403, Detail: "in words"}
	partly := &fakeca.Problem{Type: "connection", Detail: secondary}
	finds, misses, silent := []string{"refuses", "finds"}, []string{"misses", "misses"}, []string{"silent", "silent"}
	return validating(probe.HTTP01, []faultCase{
		{name: "http-01 works", validator: asks(nil), want: succeeded},
		{name: "connection, nobody came", arm: fails("connection", 400), want: unknown(validation, "validation_connection")},
		{name: "connection, nobody came, the world finds us", arm: fails("connection", 400), resolvers: finds, want: unknown(validation, "validation_connection")},
		{name: "connection, nobody came, the world does not find us", arm: fails("connection", 400), resolvers: misses, want: byClient(validation, "validation_connection")},
		{name: "connection, nobody came, resolvers are silent", arm: fails("connection", 400), resolvers: silent, want: unknown(validation, "validation_connection")},
		{name: "connection, nobody came, and from another CA they did", arm: fails("connection", 400), served: true, want: byCA(validation, "validation_connection")},
		{name: "connection, nobody came, another CA, the world does not find us", arm: fails("connection", 400), served: true, resolvers: misses, want: byClient(validation, "validation_connection")},
		{name: "connection, they came", validator: asks(connection), want: byCA(validation, "validation_connection")},
		{name: "connection, they came, the world does not find us", validator: asks(connection), resolvers: misses, want: byCA(validation, "validation_connection")},
		{name: "connection, they got something else", validator: asksWrongly(connection), want: local(validation, "validation_connection")},
		{name: "connection, they came, polled", ca: fakeca.Options{Polls: 2}, validator: asks(connection), want: byCA(validation, "validation_connection")},
		{name: "connection, they came, within the POST", ca: fakeca.Options{SyncValidation: true}, validator: asks(connection), want: byCA(validation, "validation_connection")},
		{name: "unauthorized, nobody came", arm: fails("unauthorized", 403), want: unknown(validation, "validation_unauthorized")},
		{name: "unauthorized, nobody came, and from another CA they did", arm: fails("unauthorized", 403), served: true, want: byCA(validation, "validation_unauthorized")},
		{name: "unauthorized, they came", validator: asks(unauthorized), want: byCA(validation, "validation_unauthorized")},
		{name: "unauthorized, they got something else", validator: asksWrongly(unauthorized), want: local(validation, "validation_unauthorized")},
		{name: "unauthorized, they got something else, another CA", validator: asksWrongly(unauthorized), served: true, want: local(validation, "validation_unauthorized")},
		{name: "incorrectResponse, they got something else", validator: asksWrongly(&fakeca.Problem{Type: "incorrectResponse", Status: 403}), want: local(validation, "validation_unauthorized")},
		{name: "secondary validation, they came", validator: asks(partly), want: unknown(validation, "validation_connection")},
		{name: "secondary validation, they came, and from another CA they did", validator: asks(partly), served: true, want: byCA(validation, "validation_connection")},
		{name: "secondary validation, nobody came", arm: on(probe.CallChallenge, invalid("connection", 400, secondary)), want: unknown(validation, "validation_connection")},
		{name: "connection for one of three names, for which nobody came", names: 3, validator: asksForMost(connection), want: unknown(validation, "validation_connection")},
		{name: "connection for three names, they came", names: 3, validator: asks(connection), want: byCA(validation, "validation_connection")},
		{name: "connection while it tries again", ca: fakeca.Options{Polls: 9}, arm: trying("connection", 400), want: unknown(validation, "validation_connection")},
		{name: "dns of an address, the world finds us", arm: fails("dns", 400), resolvers: finds, want: unknown(validation, "validation_dns")},
		{name: "dns of an address, the world does not find us", arm: fails("dns", 400), resolvers: misses, want: byClient(validation, "validation_dns")},
	})
}

// They come by TLS, or not.
func validationsByTLS() []faultCase {
	const validation = probe.StepValidation
	handshake := &fakeca.Problem{Type: "tls", Detail: "in words"}
	return validating(probe.TLSALPN01, []faultCase{
		{name: "tls-alpn-01 works", validator: asks(nil), want: succeeded},
		{name: "tls, nobody came", arm: fails("tls", 400), want: unknown(validation, "validation_tls")},
		{name: "tls, nobody came, and from another CA they did", arm: fails("tls", 400), served: true, want: byCA(validation, "validation_tls")},
		{name: "tls, they came", validator: asks(handshake), want: byCA(validation, "validation_tls")},
	})
}

// They ask our name server, or not.
func validationsByDNS() []faultCase {
	const validation = probe.StepValidation
	lookup := &fakeca.Problem{Type: "dns", Detail: "query timed out"}
	return validating(probe.DNS01, []faultCase{
		{name: "dns-01 works", validator: asks(nil), want: succeeded},
		{name: "dns, nobody came", arm: fails("dns", 400), want: unknown(validation, "validation_dns")},
		{name: "dns, nobody came, the world finds the record", arm: fails("dns", 400), resolvers: []string{"finds", "finds"}, want: byCA(validation, "validation_dns")},
		{name: "dns, nobody came, half of the world finds the record", arm: fails("dns", 400), resolvers: []string{"misses", "finds"}, want: unknown(validation, "validation_dns")},
		{name: "dns, nobody came, the world does not find the record", arm: fails("dns", 400), resolvers: []string{"misses", "misses"}, want: byClient(validation, "validation_dns")},
		{name: "dns, nobody came, resolvers cannot find it out", arm: fails("dns", 400), resolvers: []string{"fails", "fails"}, want: byClient(validation, "validation_dns")},
		{name: "dns, nobody came, resolvers are silent", arm: fails("dns", 400), resolvers: []string{"silent", "silent"}, want: unknown(validation, "validation_dns")},
		{name: "dns, nobody came, resolvers are silent, another CA", arm: fails("dns", 400), resolvers: []string{"silent"}, served: true, want: byCA(validation, "validation_dns")},
		{name: "dns, they came", validator: asks(lookup), want: byCA(validation, "validation_dns")},
		{name: "dns, they came, the world does not find the record", validator: asks(lookup), resolvers: []string{"misses", "misses"}, want: byCA(validation, "validation_dns")},
		{name: "unauthorized, nobody came for the record, the world finds it", arm: fails("unauthorized", 403), resolvers: []string{"finds"}, want: unknown(validation, "validation_unauthorized")},
		{name: "unauthorized, they came for the record", validator: asks(&fakeca.Problem{Type: "unauthorized", Status: 403}), want: byCA(validation, "validation_unauthorized")},
	})
}

// What the CA says of itself, of us, or of nobody, needs nobody's opinion.
func validationsByWord() []faultCase {
	const validation, authorization = probe.StepValidation, probe.StepAuthorization
	caa := &fakeca.Problem{Type: "caa", Status: 403, Detail: "in words"}
	internal := func(detail string) *fakeca.Problem {
		return &fakeca.Problem{Type: "serverInternal", Status: 500, Detail: detail}
	}
	return validating(probe.HTTP01, []faultCase{
		{name: "caa, nobody came", arm: fails("caa", 403), want: byClient(validation, "caa")},
		{name: "caa, they came", validator: asks(caa), served: true, want: byClient(validation, "caa")},
		{name: "the validation authority is down", arm: fails("serverInternal", 500), resolvers: []string{"misses"}, want: byCA(validation, "server_internal")},
		{name: "the validation authority is down, they came", validator: asks(internal("Could not communicate with VA")), want: byCA(validation, "server_internal")},
		{name: "the validation authority is down for one of three names", names: 3, validator: asksForMost(internal("Could not communicate with VA")), want: byCA(validation, "server_internal")},
		{name: "the validation authority is down while it tries again", ca: fakeca.Options{Polls: 9}, arm: trying("serverInternal", 500), want: byCA(validation, "server_internal")},
		{name: "a remote one is down", validator: asks(internal(secondary)), want: byCA(validation, "server_internal")},
		{name: "the validation authority is down, legacy prefix", arm: fails("urn:acme:error:serverInternal", 500), want: byCA(validation, "server_internal")},
		{name: "authorization invalid by another error of the server", arm: fails("compound", 500), want: byCA(validation, "http_5xx")},
		{name: "authorization invalid by a limit", arm: fails("rateLimited", 429), want: skipped(validation, "rate_limited")},
		{name: "authorization invalid by an overload", arm: fails("rateLimited", 503), want: unknown(validation, "throttled")},
		{name: "authorization deactivated meanwhile", arm: later(1, probe.CallAuthz, fakeca.Fault{Edit: fakeca.Set("status", "deactivated")}), ca: fakeca.Options{Polls: 1}, want: unknown(validation, "invalid")},
		{name: "challenge missing", ca: fakeca.Options{Challenges: []probe.ChallengeType{probe.DNS01}}, want: skipped(authorization, "unsupported")},
		{name: "challenge malformed", worked: 1, runs: 2, arm: on(probe.CallChallenge, problem("malformed", 400)), want: byCA(validation, "rejected_malformed")},
	})
}

// The CA does not come to an end.
func unfinished() []faultCase {
	const validation, finalization = probe.StepValidation, probe.StepFinalization
	never := fakeca.Fault{Stuck: true}
	day := fakeca.Fault{Header: http.Header{"Retry-After": {"86400"}}}
	finalizing := fakeca.Options{AsyncFinalize: true, Polls: 1, RetryAfter: "86400"}
	return validating(probe.HTTP01, []faultCase{
		{name: "validation stuck, nobody came", arm: on(probe.CallChallenge, never), waits: true, want: unknown(validation, "validation_timeout")},
		{name: "validation stuck, nobody came, the world does not find us", arm: on(probe.CallChallenge, never), resolvers: []string{"misses"}, waits: true, want: byClient(validation, "validation_timeout")},
		{name: "validation stuck, they came", validator: asksForever, waits: true, want: byCA(validation, "validation_timeout")},
		{name: "validation stuck, nobody came, and from another CA they did", arm: on(probe.CallChallenge, never), served: true, waits: true, want: byCA(validation, "validation_timeout")},
		{name: "validation stuck within the POST, nobody came", arm: on(probe.CallChallenge, fakeca.Fault{Hang: true}), waits: true, want: unknown(validation, "validation_timeout")},
		{name: "validation stuck within the POST, they came", ca: fakeca.Options{SyncValidation: true}, validator: asksForever, waits: true, want: byCA(validation, "validation_timeout")},
		{name: "Retry-After of a day, and validation stuck", arm: both(on(probe.CallChallenge, never), on(probe.CallAuthz, day)), waits: true, want: unknown(validation, "validation_timeout")},
		{name: "stall at a poll of the authorization", ca: fakeca.Options{Polls: 1}, arm: later(1, probe.CallAuthz, fakeca.Fault{Hang: true}), controls: []string{"alive"}, waits: true, want: byCA(validation, "no_answer_timeout")},
		{name: "order stuck in processing", prober: probe.ProberIssue, arm: on(probe.CallFinalize, never), waits: true, want: byCA(finalization, "finalization_timeout")},
		{name: "Retry-After of a day, and order stuck", prober: probe.ProberIssue, ca: fakeca.Options{RetryAfter: "86400"}, arm: on(probe.CallFinalize, never), waits: true, want: byCA(finalization, "finalization_timeout")},
		// A third of what is left is slept, twice.
		{name: "Retry-After of a day on a poll", prober: probe.ProberIssue, ca: finalizing, waits: true, want: succeeded},
	})
}
