package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/letsencrypt/pebble/v2/db"
	"github.com/miekg/dns"
)

// finalizePath is before the ID of an order that is finalized.
const finalizePath = "/finalize-order/"

// policy is what the CA refuses beyond what Pebble does.
type policy struct {
	caa     bool     // it looks for CAA records, which Pebble never does
	blocked []string // domains for which, and beneath which, it issues nothing
}

func policyFlags(p *policy) {
	flag.BoolVar(&p.caa, "caa", false, "refuse to finalize orders for names whose CAA records let nobody issue, by the DNS server of -resolver")
	flag.Func("blocked", "domain for which, and beneath which, nothing is issued; may be given several times", func(s string) error {
		if s == "" {
			return errors.New("want a domain")
		}
		p.blocked = append(p.blocked, s)
		return nil
	})
}

// wrap has Pebble, of which next is the handler, keep to it. CAA is looked for when an
// order is finalized, as RFC 8659 §3 has it: before a certificate is issued.
func (p *policy) wrap(next http.Handler, store *db.MemoryStore, resolver string) http.Handler {
	for _, name := range p.blocked {
		_ = store.AddBlockedDomain(name) // it is not empty
	}
	if !p.caa {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, finalizes := strings.CutPrefix(r.URL.Path, finalizePath)
		order := store.GetOrderByID(id)
		if !finalizes || order == nil {
			next.ServeHTTP(w, r)
			return
		}
		order.RLock()
		identifiers := order.Identifiers
		order.RUnlock()
		for _, i := range identifiers {
			if forbidden, err := forbids(r.Context(), resolver, i.Value); err != nil || forbidden {
				detail := fmt.Sprintf("CAA record for %s prevents issuance", i.Value)
				if err != nil {
					detail = fmt.Sprintf("while looking up CAA for %s: %v", i.Value, err)
				}
				problem{"urn:ietf:params:acme:error:caa", detail, http.StatusForbidden}.write(w, http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// forbids reports whether a name's own CAA records let nobody issue (RFC 8659 §4.2).
func forbids(ctx context.Context, resolver, name string) (bool, error) {
	client := &dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	m, _, err := client.ExchangeContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(strings.TrimPrefix(name, "*.")), dns.TypeCAA), resolver)
	if err != nil {
		return false, err
	}
	issue := false
	for _, rr := range m.Answer {
		if record, ok := rr.(*dns.CAA); ok && record.Tag == "issue" {
			if strings.TrimSpace(record.Value) != ";" {
				return false, nil
			}
			issue = true
		}
	}
	return issue, nil
}
