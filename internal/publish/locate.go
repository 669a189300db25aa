package publish

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxAliases is the length of the longest chain of CNAME records that is followed.
const maxAliases = 8

// Locate returns the name at which the CA will look for a record of name: it
// follows CNAME records, and every authoritative server must say the same. Without
// one: name itself. It follows none within a zone of our own responder, which has
// none. Errors are [*probe.PublicationError].
func (p *Publisher) Locate(ctx context.Context, name string) (string, error) {
	chain := []string{name}
	for {
		at := chain[len(chain)-1]
		if place, _ := p.responders.Place(at); place == config.PlaceResponder {
			return at, nil
		}
		zone, err := p.zoneOf(ctx, at)
		if err != nil {
			return "", err
		}
		target, failure := p.alias(ctx, zone, at)
		switch {
		case failure != nil:
			return "", failure
		case target == "":
			return at, nil
		case slices.Contains(chain, target):
			return "", misled("the CNAME records lead round in a circle: %s", strings.Join(append(chain, target), " → "))
		case len(chain) > maxAliases:
			return "", misled("more than %d CNAME records lead away from %s: %s", maxAliases, name, strings.Join(append(chain, target), " → "))
		case !ordinary(target):
			return "", misled("the CNAME record of %s leads to %q, which is no host's name", at, target)
		}
		chain = append(chain, target)
	}
}

// misled is the error of aliases that lead nowhere.
func misled(format string, args ...any) *probe.PublicationError {
	return &probe.PublicationError{
		Kind: probe.FailureClient, Detail: bounded(fmt.Sprintf(format, args...)),
		Advice: "correct the CNAME record so that it leads into a zone of responders.dns or responders.dns_updates",
	}
}

// alias returns where the CNAME record of name leads; empty: there is none. Each
// server of the zone has to say so: the CA asks the one that it likes.
func (p *Publisher) alias(ctx context.Context, zone dnsclient.Zone, name string) (string, *probe.PublicationError) {
	witnesses, failure := witnessesOf(zone)
	if failure != nil {
		return "", failure
	}
	targets := make([]string, len(witnesses))
	var all sync.WaitGroup
	for i, w := range witnesses {
		all.Go(func() {
			r, err := p.ask(ctx, w.address, name, dns.TypeCNAME)
			w.judge(zone.Name, r, err)
			targets[i] = r.alias
		})
	}
	all.Wait()
	switch wrong := troubles(witnesses); {
	case len(wrong) > 0:
		return "", trouble(zone, wrong)
	case unreachable(witnesses):
		return "", trouble(zone, witnesses)
	}
	first := -1
	for i, w := range witnesses {
		switch {
		case w.state != heard:
		case first < 0:
			first = i
		case targets[i] != targets[first]:
			return "", &probe.PublicationError{
				Kind: probe.FailureClient,
				Detail: bounded(fmt.Sprintf("the name servers of %s contradict each other: %s has %s at %s, and %s has %s", zone.Name,
					witnesses[first], aliasText(targets[first]), name, w, aliasText(targets[i]))),
				Advice: "see that every name server of the zone has its newest version",
			}
		}
	}
	return targets[first], nil
}

func aliasText(target string) string {
	if target == "" {
		return "no CNAME record"
	}
	return "a CNAME record that leads to " + target
}
