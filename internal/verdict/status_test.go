package verdict_test

import (
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
)

// meaning is what a problem of a type means: as a 4xx answer, and embedded.
type meaning struct {
	answered, embedded             probe.Reason
	answeredFault, embeddedFault   probe.Fault
	answeredSkipped, embeddedSkips bool
}

func both(r probe.Reason, f probe.Fault) meaning {
	return meaning{answered: r, embedded: r, answeredFault: f, embeddedFault: f}
}

// problems has every type of RFC 8555 §6.7, those of later documents, and one
// that nobody has heard of.
var problems = map[string]meaning{
	"accountDoesNotExist":     both("account_does_not_exist", probe.FaultClient),
	"userActionRequired":      both("user_action_required", probe.FaultClient),
	"externalAccountRequired": both("external_account_required", probe.FaultClient),
	"rejectedIdentifier":      both("rejected_identifier", probe.FaultClient),
	"unsupportedIdentifier":   both("unsupported_identifier", probe.FaultClient),
	"invalidProfile":          both("invalid_profile", probe.FaultClient),
	"alreadyReplaced":         both("already_replaced", probe.FaultClient),
	"caa":                     both("caa", probe.FaultClient),
	"invalidContact":          both("invalid_contact", probe.FaultClient),
	"unsupportedContact":      both("invalid_contact", probe.FaultClient),
	"serverInternal":          both("server_internal", probe.FaultCA),
	"badNonce":                both("bad_nonce", probe.FaultCA),
	"dns":                     both("validation_dns", probe.FaultUnknown),
	"connection":              both("validation_connection", probe.FaultUnknown),
	"tls":                     both("validation_tls", probe.FaultUnknown),
	"incorrectResponse":       both("validation_unauthorized", probe.FaultUnknown),
	"malformed":               both("rejected_malformed", probe.FaultUnknown),
	"badPublicKey":            both("rejected_bad_public_key", probe.FaultUnknown),
	"badCSR":                  both("rejected_bad_csr", probe.FaultUnknown),
	"badSignatureAlgorithm":   both("rejected_bad_signature_algorithm", probe.FaultUnknown),
	"orderNotReady":           both("rejected_order_not_ready", probe.FaultUnknown),
	"alreadyRevoked":          both("rejected_other", probe.FaultUnknown),
	"badRevocationReason":     both("rejected_other", probe.FaultUnknown),
	"compound":                both("rejected_other", probe.FaultUnknown),
	"https://x.example/err":   both("rejected_other", probe.FaultUnknown),
	"":                        both("rejected_other", probe.FaultUnknown),
	"unauthorized":            {answered: "rejected_unauthorized", embedded: "validation_unauthorized", answeredFault: probe.FaultUnknown, embeddedFault: probe.FaultUnknown},
	"rateLimited":             {answered: "rate_limited", embedded: "rate_limited", answeredSkipped: true, embeddedSkips: true},
}

func judged(r probe.Reason, f probe.Fault, isSkipped bool, step probe.StepName) judgement {
	if isSkipped {
		return skipped(step, r)
	}
	return failure(step, r, f)
}

func TestProblemsOfEveryStatus(t *testing.T) {
	for kind, m := range problems {
		for _, status := range []int{100, 301, 400, 401, 403, 404, 405, 409, 415, 429, 500, 502, 503, 504, 599, 700} {
			facts := failed(probe.FailureCall, probe.StepOrder, directoryCall(), answered(probe.CallNewOrder, probe.StepOrder, status, &probe.Problem{Type: kind}))
			want := judged(m.answered, m.answeredFault, m.answeredSkipped, probe.StepOrder)
			switch {
			case status == 429:
				want = skipped(probe.StepOrder, verdict.RateLimited)
			case kind == "rateLimited" && status == 503:
				want = failure(probe.StepOrder, verdict.Throttled, probe.FaultUnknown)
			case kind == "rateLimited", kind == "serverInternal":
			case status >= 600:
				want = failure(probe.StepOrder, verdict.UnexpectedStatus, probe.FaultCA)
			case status >= 500:
				want = failure(probe.StepOrder, verdict.HTTP5xx, probe.FaultCA)
			}
			if got := judge(facts); got != want {
				t.Errorf("%d %q: got %v, want %v", status, kind, got, want)
			}
		}
	}
}

func TestEmbeddedProblems(t *testing.T) {
	for kind, m := range problems {
		for _, what := range []string{"order", "authorization", "challenge"} {
			for _, status := range []int{0, 400, 403, 429, 500, 503} {
				want := judged(m.embedded, m.embeddedFault, m.embeddedSkips, probe.StepValidation)
				switch {
				case status == 429:
					want = skipped(probe.StepValidation, verdict.RateLimited)
				case kind == "rateLimited" && status == 503:
					want = failure(probe.StepValidation, verdict.Throttled, probe.FaultUnknown)
				case kind == "rateLimited", kind == "serverInternal":
				case status >= 500:
					want = failure(probe.StepValidation, verdict.HTTP5xx, probe.FaultCA)
				}
				if got := judge(object(probe.StepValidation, what, &probe.Problem{Type: kind, Status: status})); got != want {
					t.Errorf("%s with %q and status %d: got %v, want %v", what, kind, status, got, want)
				}
			}
		}
	}
	if got, want := judge(object(probe.StepFinalization, "order", nil)), failure(probe.StepFinalization, verdict.Invalid, probe.FaultUnknown); got != want {
		t.Errorf("without a problem: got %v, want %v", got, want)
	}
}

func TestAnswersWithoutProblem(t *testing.T) {
	for status := range 1000 {
		if status == 0 {
			continue
		}
		want := failure(probe.StepNonce, verdict.UnexpectedStatus, probe.FaultCA)
		switch {
		case status == 429:
			want = skipped(probe.StepNonce, verdict.RateLimited)
		case status >= 300 && status <= 399:
			want = failure(probe.StepNonce, verdict.Edge3xx, probe.FaultCA)
		case status >= 400 && status <= 499:
			want = failure(probe.StepNonce, verdict.Edge4xx, probe.FaultCA)
		case status >= 500 && status <= 599:
			want = failure(probe.StepNonce, verdict.Edge5xx, probe.FaultCA)
		}
		if got := judge(failed(probe.FailureCall, probe.StepNonce, answered(probe.CallNewNonce, probe.StepNonce, status, nil))); got != want {
			t.Errorf("%d: got %v, want %v", status, got, want)
		}
	}
}

// An answer to HEAD never has a problem document: that tells nothing of an edge.
func TestAnswersToHead(t *testing.T) {
	for status, want := range map[int]judgement{
		302: failure(probe.StepNonce, verdict.Edge3xx, probe.FaultCA),
		404: failure(probe.StepNonce, verdict.Edge4xx, probe.FaultCA),
		429: skipped(probe.StepNonce, verdict.RateLimited),
		500: failure(probe.StepNonce, verdict.HTTP5xx, probe.FaultCA),
		700: failure(probe.StepNonce, verdict.UnexpectedStatus, probe.FaultCA),
	} {
		c := answered(probe.CallNewNonce, probe.StepNonce, status, nil)
		c.Method = "HEAD"
		if got := judge(failed(probe.FailureCall, probe.StepNonce, c)); got != want {
			t.Errorf("%d: got %v, want %v", status, got, want)
		}
	}
}

// The status line of an error says enough, even if its body then breaks off.
func TestStatusBeforeBrokenBody(t *testing.T) {
	for status, want := range map[int]judgement{
		200: failure(probe.StepOrder, verdict.BodyClosed, probe.FaultCA),
		429: skipped(probe.StepOrder, verdict.RateLimited),
		502: failure(probe.StepOrder, verdict.Edge5xx, probe.FaultCA),
	} {
		c := broken(probe.CallNewOrder, probe.StepOrder, probe.PhaseBody, probe.CauseClosed)
		c.Status = status
		if got := judge(failed(probe.FailureCall, probe.StepOrder, directoryCall(), c)); got != want {
			t.Errorf("%d: got %v, want %v", status, got, want)
		}
	}
}

// TestLimits holds what a 429 and a 503 mean with what our budget knows of it.
func TestLimits(t *testing.T) {
	rateLimited := &probe.Problem{Type: "rateLimited"}
	for name, c := range map[string]struct {
		status  int
		problem *probe.Problem
		limit   *probe.RateLimit
		paced   bool
		want    judgement
	}{
		"429":                        {429, rateLimited, nil, false, skipped("order", "rate_limited")},
		"429 of an edge":             {429, nil, &probe.RateLimit{Limit: probe.LimitRequests, Refused: true}, true, skipped("order", "rate_limited")},
		"429 expected":               {429, rateLimited, &probe.RateLimit{Limit: "certificates_per_domain", Refused: true}, true, skipped("order", "rate_limited")},
		"429 for a paused name":      {429, rateLimited, &probe.RateLimit{Limit: "consecutive_failures", Refused: true, Paused: true}, true, skipped("order", "identifier_paused")},
		"429 against the ledger":     {429, rateLimited, &probe.RateLimit{Limit: "new_orders", Refused: true, Unexpected: true}, true, failure("order", "unexpected_limit", probe.FaultUnknown)},
		"503":                        {503, rateLimited, nil, false, failure("order", "throttled", probe.FaultUnknown)},
		"503 below half of the edge": {503, rateLimited, nil, true, failure("order", "throttled", probe.FaultCA)},
		"503 that is no limit":       {503, &probe.Problem{Type: "serverInternal"}, nil, true, failure("order", "server_internal", probe.FaultCA)},
	} {
		f := &probe.Facts{
			Calls:     []probe.Call{{Name: probe.CallNewOrder, Method: "POST", Status: c.status, Problem: c.problem}},
			Failure:   &probe.Failure{Step: probe.StepOrder, Kind: probe.FailureCall},
			RateLimit: c.limit,
		}
		v := verdict.Judge(f, verdict.Context{Paced: c.paced})
		if got := (judgement{v.Outcome, v.Stage, v.Reason, v.Fault}); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	denied := &probe.Facts{
		Failure:   &probe.Failure{Step: probe.StepSetup, Kind: probe.FailureBudget, Call: -1, Detail: "rate limit new_orders: all 300 are spent"},
		RateLimit: &probe.RateLimit{Limit: "new_orders"},
	}
	v := verdict.Judge(denied, verdict.Context{Prober: probe.ProberIssue})
	if want := "issue: setup was given up: our own budget of the CA's rate limits does not allow it yet (rate limit new_orders: all 300 are spent)."; v.Summary != want || v.Reason != verdict.Budget {
		t.Errorf("%s %q", v.Reason, v.Summary)
	}
}
