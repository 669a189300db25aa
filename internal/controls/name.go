package controls

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxMessage is the bytes of an error's text that are kept.
const maxMessage = 500

// named is a control that is a name.
type named struct {
	name      string
	resolvers []string // ip:port
	client    *dnsclient.Client
}

// ask has every resolver resolve the name. It is alive as soon as one of them says
// what there is at the name, be it nothing, or that there is no such name: either is
// an answer from beyond our line. SERVFAIL and REFUSED are none, for a resolver next
// to us says that when it reaches nobody.
func (n *named) ask(ctx context.Context) (alive bool, failed *probe.CallError) {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type reply struct {
		from int
		err  error
	}
	replies := make(chan reply, len(n.resolvers))
	for i, server := range n.resolvers {
		asking.Go(func() { replies <- reply{i, n.askOne(ctx, server)} })
	}
	errs := make([]error, len(n.resolvers))
	for range n.resolvers {
		r := <-replies
		if r.err == nil {
			return true, nil
		}
		errs[r.from] = r.err
	}
	return false, explain(ctx, errs)
}

func (n *named) askOne(ctx context.Context, server string) error {
	q := dnsclient.NewQuery(n.name, dns.TypeA)
	q.RecursionDesired = true
	m, err := n.client.Exchange(ctx, server, q)
	switch {
	case err != nil:
		return err
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return fmt.Errorf("name server %s: %s", server, dnsclient.RcodeName(m.Rcode))
	}
	return nil
}

// explain makes one error of what the resolvers did. Its cause is that of the first.
func explain(ctx context.Context, errs []error) *probe.CallError {
	if len(errs) == 0 {
		return &probe.CallError{Phase: probe.PhaseRequest, Cause: probe.CauseOther, Message: "no resolver to ask"}
	}
	cause := probe.CauseTimeout
	if !errors.Is(errs[0], dnsclient.ErrNoAnswer) {
		cause = acmehttp.Explain(ctx, errs[0], probe.PhaseDNS).Cause
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return &probe.CallError{Phase: probe.PhaseDNS, Cause: cause, Message: acmehttp.Scrub(strings.Join(texts, "; "), maxMessage)}
}
