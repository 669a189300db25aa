package app

import (
	"context"
	"errors"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// comes is a validator that says what it found. It wants the answer to the challenge,
// and if that is there, whether CAA lets anybody issue.
func comes(s *scene) validator {
	return func(ctx context.Context, c probe.Challenge) error {
		come := fakeca.ValidateHTTP(s.address("http"))
		if c.Type == probe.DNS01 {
			come = fakeca.ValidateDNS(s.address("dns"))
		}
		err := come(ctx, c)
		if _, ok := errors.AsType[*fakeca.Problem](err); ok || err != nil {
			// A name without a TXT record is one that the library knows no more of.
			return &fakeca.Problem{Type: "unauthorized", Status: 403, Detail: "in words"}
		}
		if s.expect == probe.ProblemCAA && forbids(ctx, s.address("dns")(), c.Identifier) {
			return &fakeca.Problem{Type: "caa", Status: 403, Detail: "in words"}
		}
		return nil
	}
}

// careless is a validator that looks, and does not mind what it finds.
func careless(s *scene) validator {
	return func(ctx context.Context, c probe.Challenge) error {
		_ = comes(s)(ctx, c)
		return nil
	}
}

// forbids reports whether a name server has a CAA record by which nobody may issue.
func forbids(ctx context.Context, server, name string) bool {
	m, _, err := new(dns.Client).ExchangeContext(ctx, new(dns.Msg).SetQuestion(name+".", dns.TypeCAA), server)
	if err != nil || len(m.Answer) != 1 {
		return false
	}
	record, ok := m.Answer[0].(*dns.CAA)
	return ok && record.Tag == "issue" && record.Value == ";"
}

// The CA has to refuse, and does it or not.
func refusedCases() []faultCase {
	const (
		order, authorization     = probe.StepOrder, probe.StepAuthorization
		validation, finalization = probe.StepValidation, probe.StepFinalization
	)
	unauthorized := func(cases ...faultCase) []faultCase { return expecting(probe.ProblemUnauthorized, cases) }
	caa := func(cases ...faultCase) []faultCase { return expecting(probe.ProblemCAA, cases) }
	policy := func(cases ...faultCase) []faultCase { return expecting(probe.ProblemRejectedIdentifier, cases) }
	plain := fakeca.Options{Challenges: []probe.ChallengeType{probe.HTTP01, probe.DNS01}}
	blocked := on(probe.CallNewOrder, problem("rejectedIdentifier", 400))
	var cases []faultCase
	cases = append(cases, unauthorized(
		faultCase{name: "nobody answers, and it refuses", validator: comes, want: succeeded},
		faultCase{name: "nobody answers in DNS, and it refuses", challenge: probe.DNS01, validator: comes, want: succeeded},
		faultCase{name: "nobody answers, and it refuses, again", worked: 1, validator: comes, want: succeeded},
		faultCase{name: "nobody answers, and it issues", ca: plain, want: byCA(finalization, "misissued")},
		faultCase{name: "nobody answers, and it came, and issues", ca: plain, validator: careless, want: byCA(finalization, "misissued")},
		faultCase{name: "nobody answers, and it takes records that stay, of which nobody knows", want: unknown(finalization, "misissuance_unproven")},
		faultCase{name: "nobody answers, and it takes records that stay, and there is none", resolvers: []string{"misses"}, want: byCA(finalization, "misissued")},
		faultCase{name: "nobody answers, and it was authorized before", ca: fakeca.Options{Authorized: true}, want: unknown(authorization, "misissuance_unproven")},
		faultCase{name: "nobody answers, and it authorizes, and cannot issue", ca: plain, arm: on(probe.CallFinalize, problem("serverInternal", 500)), want: byCA(validation, "misauthorized")},
		faultCase{name: "nobody answers, and its resolver is down", arm: fails("dns", 400), want: unknown(validation, "refused_otherwise")},
		faultCase{name: "nobody answers, and its validators are down", validator: asksInVain(&fakeca.Problem{Type: "serverInternal", Status: 500}), want: byCA(validation, "server_internal")},
		faultCase{name: "nobody answers, and the account may not order", arm: on(probe.CallNewOrder, problem("unauthorized", 403)), want: unknown(order, "rejected_unauthorized")},
		faultCase{name: "nobody answers, and it is never done", waits: true, arm: on(probe.CallChallenge, fakeca.Fault{Stuck: true}), want: unknown(validation, "refused_otherwise")},
		faultCase{name: "nobody answers, and the order is rejected by policy", arm: blocked, want: byClient(order, "rejected_identifier")},
		faultCase{name: "nobody answers, and it is down", arm: on(probe.CallNewOrder, problem("serverInternal", 500)), want: byCA(order, "server_internal")},
	)...)
	cases = append(cases, caa(
		faultCase{name: "CAA forbids, and it refuses", validator: comes, want: succeeded},
		faultCase{name: "CAA forbids in DNS, and it refuses", challenge: probe.DNS01, validator: comes, want: succeeded},
		faultCase{name: "CAA forbids, and it refuses to issue", arm: on(probe.CallFinalize, problem("caa", 403)), want: succeeded},
		faultCase{name: "CAA forbids, and it issues", challenge: probe.DNS01, validator: careless, want: byCA(finalization, "misissued")},
		faultCase{name: "CAA forbids, and it never came", challenge: probe.DNS01, want: unknown(finalization, "misissuance_unproven")},
		faultCase{name: "CAA forbids, and they did not get through", validator: asks(&fakeca.Problem{Type: "connection"}), want: byCA(validation, "validation_connection")},
	)...)
	return append(cases, policy(
		faultCase{name: "its policy refuses the name", arm: blocked, want: succeeded},
		faultCase{name: "its policy does not refuse the name", want: unknown(order, "not_refused")},
		faultCase{name: "its policy does not refuse the name, and it issues", ca: fakeca.Options{Authorized: true}, want: byCA(finalization, "misissued")},
		faultCase{name: "its policy is down", arm: on(probe.CallNewOrder, problem("rejectedIdentifier", 500)), want: byCA(order, "http_5xx")},
	)...)
}

// expecting fills in what cases of one problem have in common.
func expecting(problem string, cases []faultCase) []faultCase {
	for i := range cases {
		cases[i].expect, cases[i].prober = problem, probe.ProberIssue
		cases[i].name = problem + ": " + cases[i].name
	}
	return cases
}

// asksInVain is a validator that comes for an answer that there is not, and says what
// it is told to.
func asksInVain(says *fakeca.Problem) func(*scene) validator {
	return func(s *scene) validator {
		return func(ctx context.Context, c probe.Challenge) error {
			if err := comes(s)(ctx, c); err == nil {
				s.t.Error("there is an answer")
			}
			return says
		}
	}
}
