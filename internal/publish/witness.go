package publish

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxNamed is how many servers a text names.
const maxNamed = 3

// state is what is known of an address of a name server.
type state int

const (
	unasked   state = iota
	routeless       // this machine has no way to its address family: it does not count
	silent          // no answer
	broken          // an answer that may be another one soon: SERVFAIL
	lame            // an answer that says that the server does not serve the zone
	heard           // it says what it has
)

// witness is one address of an authoritative server, and what is known of it.
type witness struct {
	server  string
	address netip.Addr
	state   state
	said    string // where it is not heard: what it did
}

// String names the server.
func (w *witness) String() string { return w.server + " (" + w.address.String() + ")" }

// witnessesOf returns every address of the zone's servers. One that has none is an
// error: some resolvers take that for a reason to fail.
func witnessesOf(zone dnsclient.Zone) ([]*witness, *probe.PublicationError) {
	var witnesses []*witness
	for _, s := range zone.Servers {
		if len(s.Addresses) == 0 {
			return nil, &probe.PublicationError{
				Kind:   probe.FailureClient,
				Detail: bounded(fmt.Sprintf("the name server %s of %s has no address", s.Name, zone.Name)),
				Advice: "give it an A or AAAA record, or remove its NS record",
			}
		}
		for _, a := range s.Addresses {
			witnesses = append(witnesses, &witness{server: s.Name, address: a})
		}
	}
	return witnesses, nil
}

// byServer returns the witnesses of each server; they are in that order.
func byServer(witnesses []*witness) [][]*witness {
	var groups [][]*witness
	for i, w := range witnesses {
		if i == 0 || witnesses[i-1].server != w.server {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], w)
	}
	return groups
}

// judge notes what came of asking.
func (w *witness) judge(zone string, r reply, err error) {
	switch {
	case err != nil && dnsclient.NoRoute(err):
		w.state, w.said = routeless, "no route to it"
	case err != nil:
		_, said, _ := strings.Cut(err.Error(), ": ") // behind the server's address
		w.state, w.said = silent, said
	case r.rcode == dns.RcodeServerFailure:
		w.state, w.said = broken, "it answered SERVFAIL"
	case r.rcode != dns.RcodeSuccess && r.rcode != dns.RcodeNameError:
		w.state, w.said = lame, "it answered "+dnsclient.RcodeName(r.rcode)
	case !r.authoritative && r.referral != "" && r.referral != zone:
		w.state, w.said = lame, "it refers to the zone "+r.referral
	case !r.authoritative:
		w.state, w.said = lame, "its answer is not authoritative"
	default:
		w.state, w.said = heard, ""
	}
}

// hurry notes that the time was over before it answered.
func (w *witness) hurry() {
	if w.state == unasked {
		w.state, w.said = silent, "no answer in the time that the step may take"
	}
}

// troubled returns those addresses of one server because of which it is not known
// what the server has: none if it is heard and nothing contradicts it, or if there
// is no way to any of them.
func troubled(server []*witness) []*witness {
	wrong := slices.DeleteFunc(slices.Clone(server), func(w *witness) bool { return w.state != lame && w.state != broken })
	if len(wrong) > 0 || slices.ContainsFunc(server, func(w *witness) bool { return w.state == heard }) {
		return wrong
	}
	return slices.DeleteFunc(slices.Clone(server), func(w *witness) bool { return w.state == routeless })
}

// troubles are those of all servers.
func troubles(witnesses []*witness) (all []*witness) {
	for _, server := range byServer(witnesses) {
		all = append(all, troubled(server)...)
	}
	return all
}

// unreachable reports whether there is no way to any server.
func unreachable(witnesses []*witness) bool {
	return !slices.ContainsFunc(witnesses, func(w *witness) bool { return w.state != routeless })
}

// trouble is the error of servers that did not say what they have, at least one.
func trouble(zone dnsclient.Zone, witnesses []*witness) *probe.PublicationError {
	e := &probe.PublicationError{
		Kind:   probe.FailureLocal,
		Advice: "see that this machine reaches it over UDP and TCP, and that it is at work",
	}
	said := make([]string, len(witnesses))
	for i, w := range witnesses {
		said[i] = fmt.Sprintf("%s: %s", w, w.said)
		if w.state == lame {
			e.Kind = probe.FailureClient
			e.Advice = "have it serve the zone, or remove its NS record there and in the zone above"
		}
	}
	e.Detail = bounded("not every name server of " + zone.Name + " can be asked: " + several(said))
	return e
}

// several joins what is said of the first few.
func several(said []string) string {
	if n := len(said) - maxNamed; n > 0 {
		return fmt.Sprintf("%s; and %d more", strings.Join(said[:maxNamed], "; "), n)
	}
	return strings.Join(said, "; ")
}
