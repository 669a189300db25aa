package challenge

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What one challenge may take. Visits that did not get the answer cannot use up
// the room of those that did: whoever guesses a parent's name may ask for its
// address as often as he likes.
const (
	maxVisits      = 1000 // of one challenge
	maxOtherVisits = 500  // of these, those that are not OK
	maxLivePerName = 100  // challenges of one type for one name; bounds a TXT answer
	maxTokenLength = 512
	maxValueLength = 512 // bytes of a TXT record: an answer with a hundred of them can be sent
)

// board is the live challenges, as the responders look them up.
type board struct {
	mu     sync.Mutex // guards what follows, and the visits of every presentation
	tokens map[hostToken][]*presentation
	hosts  map[string][]*presentation // http-01, by host
	txt    map[string][]*presentation // DNS challenges, by the owner name of the TXT record
	sni    map[string][]*presentation // tls-alpn-01, by server name
	names  map[string][]*presentation // all, by identifier and its parents inside the zone
}

// hostToken is what a request of http-01 names.
type hostToken struct{ host, token string }

// presentation is one live challenge. All but visits and what counts them is
// constant after it is on the board.
type presentation struct {
	kind       probe.ChallengeType
	start      time.Time
	identifier string // canonical, with the final dot; an IP address as it is printed
	host       string // http-01: as in a Host header
	token      string
	keyAuth    string
	sni        string           // tls-alpn-01: as in a client hello, in lower case
	cert       *tls.Certificate // tls-alpn-01: the answer
	owner      string           // DNS challenges: of the TXT record, canonical
	value      string           // DNS challenges: of the TXT record
	withheld   bool             // nobody gets the answer
	forbidden  bool             // CAA lets nobody issue for the identifier
	ahead      bool             // there is no answer yet
	names      []string         // the identifier and its parents inside the zone, canonical

	gone      chan struct{} // closed when it is withdrawn
	withdrawn bool
	visits    []probe.Visit
	others    int // visits that are not OK
	networks  map[netip.Prefix]int
}

func newBoard() *board {
	return &board{
		tokens: make(map[hostToken][]*presentation),
		hosts:  make(map[string][]*presentation),
		txt:    make(map[string][]*presentation),
		sni:    make(map[string][]*presentation),
		names:  make(map[string][]*presentation),
	}
}

// newPresentation checks c. The CA chose the token and the identifier, so that
// both are foreign.
func newPresentation(c probe.Challenge) (*presentation, error) {
	p := &presentation{
		kind: c.Type, start: c.Start, token: c.Token, keyAuth: c.KeyAuthorization,
		withheld: c.Withheld, forbidden: c.Forbidden, ahead: c.Ahead,
		networks: make(map[netip.Prefix]int), gone: make(chan struct{}),
	}
	if !c.Type.DNS() && !c.Ahead {
		if err := checkKeyAuthorization(c); err != nil {
			return nil, err
		}
	}
	if ip, err := netip.ParseAddr(c.Identifier); err == nil {
		return p, p.answerAddress(ip)
	}
	if !isName(c.Identifier) {
		return nil, errors.New("the identifier is not a domain name")
	}
	p.identifier = dns.CanonicalName(c.Identifier)
	if c.Ahead {
		return p, nil
	}
	return p, p.answerName(c.Record)
}

// checkKeyAuthorization checks what http-01 and tls-alpn-01 are answered with.
func checkKeyAuthorization(c probe.Challenge) error {
	if !validToken(c.Token) {
		return errors.New("the token has characters outside base64url, or a length that is not from 1 to 512")
	}
	// RFC 8555 §8.1: keyAuthorization = token || '.' || base64url(Thumbprint(accountKey)).
	thumbprint, found := strings.CutPrefix(c.KeyAuthorization, c.Token+".")
	if !found || !validToken(thumbprint) {
		return errors.New("the key authorization is not the token, a dot and a thumbprint")
	}
	return nil
}

// isName reports whether s is a domain name that is written without escapes, and
// no wildcard.
func isName(s string) bool {
	_, ok := dns.IsDomainName(s)
	return ok && s != "" && s != "." && !strings.ContainsAny(s, `*\`)
}

// answerAddress makes p the answer for an IP address. RFC 8738 §4: "The existing
// "http-01" and "tls-alpn-01" challenges can be used to validate IP addresses", and
// §7: dns-01 must not.
func (p *presentation) answerAddress(ip netip.Addr) (err error) {
	p.identifier = ip.String()
	switch p.kind {
	case probe.HTTP01:
		p.host = p.identifier
	case probe.TLSALPN01:
		p.sni = reverseName(ip)
		p.cert, err = alpnCertificate("", ip, p.keyAuth)
	default:
		err = errors.New("an IP address cannot be validated by this challenge")
	}
	return err
}

// answerName makes p the answer for its identifier, a name.
func (p *presentation) answerName(record probe.Record) (err error) {
	name := strings.TrimSuffix(p.identifier, ".")
	switch {
	case p.kind == probe.HTTP01:
		p.host = name
	case p.kind == probe.TLSALPN01:
		p.sni = name
		p.cert, err = alpnCertificate(name, netip.Addr{}, p.keyAuth)
	case !p.kind.DNS():
		err = errors.New("there is no responder for this type of challenge")
	case !isName(record.Name):
		err = errors.New("the record's name is not a domain name")
	case record.Value == "" || len(record.Value) > maxValueLength:
		err = errors.New("the record's value has a length that is not from 1 to 512")
	default:
		p.owner, p.value = dns.CanonicalName(record.Name), record.Value
	}
	return err
}

// validToken reports whether s may be a token. RFC 8555 §8.3: it "MUST NOT
// contain any characters outside the base64url alphabet and MUST NOT include
// base64 padding characters".
func validToken(s string) bool {
	if s == "" || len(s) > maxTokenLength {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// errBusy is a challenge that another one stands in the way of, until gone is
// closed.
type errBusy struct{ gone <-chan struct{} }

// Error says why.
func (e *errBusy) Error() string {
	return "another challenge for the same name is live, and a TLS handshake does not tell which one it is for"
}

// add makes p live, or returns an *errBusy.
func (b *board) add(p *presentation) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.hosts[p.host]) >= maxLivePerName && p.kind == probe.HTTP01 ||
		len(b.txt[p.owner]) >= maxLivePerName && p.kind.DNS() ||
		len(b.sni[p.sni]) >= maxLivePerName && p.kind == probe.TLSALPN01 {
		return errors.New("100 challenges for this name are live already")
	}
	key := hostToken{p.host, p.token}
	if same := b.tokens[key]; p.kind == probe.HTTP01 && len(same) > 0 && same[0].keyAuth != p.keyAuth {
		return errors.New("another account's challenge with the same token is live")
	}
	if same := b.sni[p.sni]; p.kind == probe.TLSALPN01 && len(same) > 0 && same[0].keyAuth != p.keyAuth {
		return &errBusy{same[0].gone}
	}
	switch {
	case p.ahead: // there is nothing but its name
	case p.kind == probe.HTTP01:
		if !p.withheld {
			b.tokens[key] = append(b.tokens[key], p)
		}
		b.hosts[p.host] = append(b.hosts[p.host], p)
	case p.kind == probe.TLSALPN01:
		b.sni[p.sni] = append(b.sni[p.sni], p)
	case p.kind.DNS():
		b.txt[p.owner] = append(b.txt[p.owner], p)
	}
	for _, name := range p.names {
		b.names[name] = append(b.names[name], p)
	}
	return nil
}

// remove ends p and returns its visits, every time the same ones.
func (b *board) remove(p *presentation) []probe.Visit {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !p.withdrawn {
		p.withdrawn = true
		without(b.tokens, hostToken{p.host, p.token}, p)
		without(b.hosts, p.host, p)
		without(b.txt, p.owner, p)
		without(b.sni, p.sni, p)
		close(p.gone)
		for _, name := range p.names {
			without(b.names, name, p)
		}
		slices.SortStableFunc(p.visits, func(a, b probe.Visit) int { return cmp.Compare(a.At, b.At) })
	}
	return slices.Clone(p.visits)
}

// without takes p out of m[key]. It makes a new slice: the old one may be in the
// hands of a responder.
func without[K comparable](m map[K][]*presentation, key K, p *presentation) {
	var left []*presentation
	for _, q := range m[key] {
		if q != p {
			left = append(left, q)
		}
	}
	if len(left) == 0 {
		delete(m, key)
		return
	}
	m[key] = left
}

// lookupHTTP returns the key authorization for a request, empty if there is
// none, and the challenges that the request is a visit of: the one whose token it
// names, else all of that host.
func (b *board) lookupHTTP(host, token string) (keyAuth string, visited []*presentation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if live := b.tokens[hostToken{host, token}]; len(live) > 0 {
		return live[0].keyAuth, live
	}
	return "", b.hosts[host]
}

// lookupSNI returns the answer for a server name in lower case, nil if there is
// none, and the challenges that the handshake is a visit of.
func (b *board) lookupSNI(name string) (*tls.Certificate, []*presentation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	live := b.sni[name]
	for _, p := range live {
		if !p.withheld {
			return p.cert, live
		}
	}
	return nil, live
}

// lookupTXT returns the values at a canonical name, each once (RFC 2181 §5), and
// the challenges that they answer.
func (b *board) lookupTXT(name string) (values []string, visited []*presentation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	live := b.txt[name]
	for _, p := range live {
		if !p.withheld && !slices.Contains(values, p.value) {
			values = append(values, p.value)
		}
	}
	return values, live
}

// lookupName returns the challenges that a query for another type at a canonical
// name is a visit of.
func (b *board) lookupName(name string, qtype uint16) []*presentation {
	b.mu.Lock()
	defer b.mu.Unlock()
	if live := b.txt[name]; len(live) > 0 {
		return live
	}
	switch qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeCAA:
		return b.names[name]
	}
	return nil
}

// forbids reports whether CAA lets nobody issue for a canonical name.
func (b *board) forbids(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.names[name], func(p *presentation) bool { return p.forbidden && p.identifier == name })
}

// record adds one visit to each of the challenges that are still live.
func (b *board) record(visited []*presentation, from netip.Addr, asked, answered string, ok bool) {
	if len(visited) == 0 {
		return
	}
	family := probe.IPv6
	if from.Is4() {
		family = probe.IPv4
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range visited {
		if p.withdrawn || len(p.visits) >= maxVisits || !ok && p.others >= maxOtherVisits {
			continue
		}
		if !ok {
			p.others++
		}
		n := network(from, 48)
		if p.networks[n] == 0 {
			p.networks[n] = len(p.networks) + 1
		}
		p.visits = append(p.visits, probe.Visit{
			At: now.Sub(p.start), Challenge: p.kind, Identifier: strings.TrimSuffix(p.identifier, "."), Family: family,
			Network: p.networks[n], Remote: from, Asked: asked, Answered: answered, OK: ok,
		})
	}
}
