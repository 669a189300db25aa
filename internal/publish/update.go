package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	// ttl is that of our records: a validator that comes again must not be told what
	// was there the time before.
	ttl = 0
	// maxBatch is how many records one update has: with the longest of them it is
	// still shorter than a message may be.
	maxBatch = 50
)

// change is what an update does with a record.
type change func(m *dns.Msg, rr dns.RR)

func insert(m *dns.Msg, rr dns.RR) { m.Insert([]dns.RR{rr}) }

// remove takes away the record of exactly this value (RFC 2136 §2.5.4).
func remove(m *dns.Msg, rr dns.RR) { m.Remove([]dns.RR{rr}) }

// update changes the records of each zone at the server that takes its updates.
// The error is a [*probe.PublicationError] of the first zone that failed; the
// others were tried all the same.
func (p *Publisher) update(ctx context.Context, writes map[string][]probe.Record, do change) error {
	var (
		group errgroup.Group // without a context of its own: no zone ends another's
		some  atomic.Bool    // something was changed, or may have been
	)
	for zone, records := range writes {
		group.Go(func() error {
			changed, err := p.updateZone(ctx, p.responders.Update(zone), records, do)
			if changed {
				some.Store(true)
			}
			return err
		})
	}
	err := group.Wait()
	if err != nil && !some.Load() {
		return unwritten(err)
	}
	return err
}

// updateZone reports also whether anything was changed, or may have been.
func (p *Publisher) updateZone(ctx context.Context, u *config.DNSUpdate, records []probe.Record, do change) (changed bool, err error) {
	secret, err := u.TSIG.Key()
	if err != nil {
		return false, &probe.PublicationError{
			Kind:   probe.FailureClient,
			Detail: bounded(fmt.Sprintf("the secret of key %s, for zone %s, cannot be had: %v", u.TSIG.KeyName, u.Zone, err)),
			Advice: "correct the file of tsig.secret_file, or give the secret in tsig.secret",
		}
	}
	key := dnsclient.Key{Name: u.TSIG.KeyName, Algorithm: u.TSIG.Algorithm, Secret: secret}
	for batch := range slices.Chunk(records, maxBatch) {
		m := new(dns.Msg).SetUpdate(dns.Fqdn(u.Zone))
		for _, r := range batch {
			do(m, dnsclient.NewTXT(r.Name, r.Value, ttl))
		}
		if err := p.client.Update(ctx, u.Server, key, m); err != nil {
			return changed || !unmade(err), refused(u, err)
		}
		changed = true
	}
	return changed, nil
}

// unmade reports whether it is certain that the server has made nothing of an
// update: all or nothing of one is made, and what refuses it is found out before the
// first record is touched (RFC 2136 §3). A server that fails may have failed after
// that, or only have passed the update on (§6).
func unmade(err error) bool {
	if refusal, ok := errors.AsType[*dnsclient.UpdateError](err); ok {
		switch refusal.Rcode {
		case dns.RcodeRefused, dns.RcodeNotAuth, dns.RcodeNotZone, dns.RcodeNotImplemented, dns.RcodeFormatError:
			return true
		}
		return false
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" // it did not hear of it
}

// refused says why an update was not made, and what to do about it.
func refused(u *config.DNSUpdate, err error) *probe.PublicationError {
	e := &probe.PublicationError{Kind: probe.FailureClient, Detail: bounded(err.Error())}
	refusal, ok := errors.AsType[*dnsclient.UpdateError](err)
	switch {
	case errors.Is(err, dnsclient.ErrUnsigned):
		e.Detail = bounded(fmt.Sprintf("update of zone %s: %v", u.Zone, err))
		e.Advice = fmt.Sprintf("see that the server has key %s with the same secret, and that nobody answers in its place", u.TSIG.KeyName)
	case !ok:
		e.Kind = probe.FailureLocal
		e.Detail = bounded(fmt.Sprintf("update of zone %s: %v", u.Zone, err))
		e.Advice = "see that this machine reaches the server over TCP, and that it is at work"
	case refusal.TSIGError != 0:
		e.Advice = keyAdvice(u.TSIG, refusal)
	default:
		e.Kind, e.Advice = rcodeAdvice(u, refusal.Rcode)
	}
	return e
}

// keyAdvice is for servers that do not accept our signature (RFC 8945 §5.2).
func keyAdvice(t *config.TSIG, refusal *dnsclient.UpdateError) string {
	switch refusal.TSIGError {
	case dns.RcodeBadKey:
		return fmt.Sprintf("the server knows no key %s with the algorithm %s: configure it there, or correct tsig.key_name and tsig.algorithm (Knot says the same where its acl does not let the key update)", t.KeyName, t.Algorithm)
	case dns.RcodeBadSig:
		return fmt.Sprintf("the server has another secret for key %s: write the one that it has into tsig.secret or tsig.secret_file", t.KeyName)
	case dns.RcodeBadTime:
		return clockAdvice(refusal.Skew)
	}
	return fmt.Sprintf("see how the server wants to be spoken to with key %s", t.KeyName)
}

func clockAdvice(skew time.Duration) string {
	switch {
	case skew > 0:
		return fmt.Sprintf("the clocks differ: the server's is %s ahead of this machine's; set the one that is wrong", skew)
	case skew < 0:
		return fmt.Sprintf("the clocks differ: the server's is %s behind this machine's; set the one that is wrong", -skew)
	}
	return "the clocks differ by more than 5 minutes: set the server's or this machine's"
}

// rcodeAdvice is for servers that know who we are, or do not mind.
func rcodeAdvice(u *config.DNSUpdate, rcode int) (probe.FailureKind, string) {
	switch rcode {
	case dns.RcodeRefused:
		return probe.FailureClient, fmt.Sprintf("the server does not let key %s update TXT records in zone %s: allow it there", u.TSIG.KeyName, u.Zone)
	case dns.RcodeNotAuth, dns.RcodeNotZone:
		return probe.FailureClient, fmt.Sprintf("the server is not the primary of zone %s: correct the zone, or set server to the one that its SOA record names", u.Zone)
	case dns.RcodeServerFailure:
		return probe.FailureLocal, "look into the server's log: it may not be able to write the zone's files or journal"
	case dns.RcodeNotImplemented, dns.RcodeFormatError:
		return probe.FailureClient, "the server does not understand dynamic updates (RFC 2136): switch them on there, or use another one"
	}
	return probe.FailureClient, "look into the server's log for why it did not make the update"
}
