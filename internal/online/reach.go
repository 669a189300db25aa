package online

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxEndpoints bounds the addresses at which one responder is looked for, and
// maxBody what is read of an answer.
const (
	maxEndpoints = 20
	maxBody      = 4 << 10
)

// endpoint is where a CA's validators look for a responder of ours.
type endpoint struct {
	address netip.Addr
	name    string // that is validated there
}

// checkHTTP looks for our HTTP responder as a validator does.
func (c *checker) checkHTTP(ctx context.Context, t *topic) {
	c.reach(ctx, t, probe.HTTP01, &c.http, c.HTTPPort, 80, c.Config.Responders.HTTP.ListenAddress, c.tryHTTP)
}

// checkALPN looks for our TLS-ALPN responder as a validator does.
func (c *checker) checkALPN(ctx context.Context, t *topic) {
	c.reach(ctx, t, probe.TLSALPN01, &c.alpn, c.TLSPort, 443, c.Config.Responders.TLSALPN.ListenAddress, c.tryALPN)
}

// errForeign is an answer that is not our responder's.
type errForeign struct{ what string }

// Error says what was answered.
func (e *errForeign) Error() string { return e.what }

// errRedirect is an answer that leads elsewhere.
type errRedirect struct{ to string }

// Error says where to.
func (e *errRedirect) Error() string { return fmt.Sprintf("leads to %q", e.to) }

// trial asks at an address, as a validator would, for a challenge that is
// presented, or not where the port is taken. The error is an *errForeign, or of the
// way there.
type trial func(ctx context.Context, at string, challenge probe.Challenge, presented bool) error

// reach tries a responder at every address at which validators look for it.
func (c *checker) reach(ctx context.Context, t *topic, kind probe.ChallengeType, o *opened, port, usual uint16, listen string, try trial) {
	if o.err != nil && !o.taken() {
		t.wrong("it cannot be opened: %s", o.err)
		return
	}
	if port == 0 {
		port = usual
	}
	found := c.endpoints(ctx, t, kind)
	errs := make([]error, len(found))
	var trying sync.WaitGroup
	for i, e := range found {
		trying.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			challenge := newChallenge(kind, e.name)
			if o.err == nil {
				withdraw, err := o.responder.Present(ctx, challenge)
				if err != nil {
					errs[i] = &errForeign{"nothing, for our responder takes no challenge: " + err.Error()}
					return
				}
				defer withdraw()
			}
			errs[i] = try(ctx, net.JoinHostPort(e.address.String(), strconv.Itoa(int(port))), challenge, o.err == nil)
		})
	}
	trying.Wait()
	for i, e := range found {
		at := net.JoinHostPort(e.address.String(), strconv.Itoa(int(port)))
		foreign, is := errors.AsType[*errForeign](errs[i])
		redirect, elsewhere := errors.AsType[*errRedirect](errs[i])
		switch {
		case errs[i] == nil && o.err != nil:
			t.ok("its port is taken, presumably by the exporter that runs; what answers at %s for %s does so as ours does", at, e.name)
		case errs[i] == nil:
			t.ok("a challenge for %s was answered at %s", e.name, at)
		case elsewhere:
			t.warn("what answers at %s for %s %s: most CAs follow that to port 80 or 443, and have to find our responder there", at, e.name, redirect)
		case is:
			t.wrong("at %s somebody else answers for %s: %s: lead port %d of %s to %s of this host", at, e.name, foreign.what, usual, e.address, listen)
		default:
			t.warn("%s, where validators look for %s, cannot be reached from here: %s: many networks do not lead their own public addresses back inside, so try it from elsewhere while the exporter runs",
				at, e.name, errs[i])
		}
	}
}

// endpoints returns where validators look for the names that are validated in this
// way, one name for each address. Without a module that does, they are the
// addresses that our DNS responder gives.
func (c *checker) endpoints(ctx context.Context, t *topic, kind probe.ChallengeType) []endpoint {
	var found []endpoint
	add := func(name string, ips ...netip.Addr) {
		for _, ip := range ips {
			if !slices.ContainsFunc(found, func(e endpoint) bool { return e.address == ip }) && len(found) < maxEndpoints {
				found = append(found, endpoint{ip, name})
			}
		}
	}
	used := false
	r := &c.Config.Responders
	for i := range c.pairs {
		o, _ := order(&c.pairs[i])
		if o.challenge != kind {
			continue
		}
		used = true
		for _, n := range names(&c.pairs[i]) {
			place, _ := r.Place(n.text)
			switch {
			case n.ip.IsValid():
				add(n.text, n.ip)
			case place == config.PlaceResponder:
				add(n.text, r.DNS.Addresses...)
			default:
				add(n.text, c.hostOf(ctx, t, n)...)
			}
		}
	}
	if !used && r.DNS != nil {
		add(randomLabel()+"."+r.DNS.Zones[0], r.DNS.Addresses...)
	}
	if len(found) == 0 && len(t.findings) == 0 {
		t.warn("nothing says at which address validators look for it: no module uses it, and there are no responders.dns.addresses")
	}
	return found
}

// hostOf returns the addresses of a name that is not in a zone of ours.
func (c *checker) hostOf(ctx context.Context, t *topic, n name) []netip.Addr {
	ips, err := c.DNS.Addresses(ctx, n.text)
	switch {
	case err != nil:
		t.wrong("the addresses of %s cannot be found: %s", n, err)
	case len(ips) == 0:
		known := []netip.Addr(nil)
		if d := c.Config.Responders.DNS; d != nil {
			known = d.Addresses
		}
		holder := ""
		if zone, err := c.DNS.Zone(ctx, n.text); err == nil {
			holder = zone.Name
		}
		t.missing(holder, hostRecords(n.owner(""), known, ttlHost), "%s has no address, at which a CA would look for us", n)
	}
	return ips
}

// tryHTTP asks as RFC 8555 §8.3 says.
func (c *checker) tryHTTP(ctx context.Context, at string, challenge probe.Challenge, presented bool) error {
	host := challenge.Identifier
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		host = "[" + host + "]"
	}
	u := url.URL{Scheme: "http", Host: host, Path: "/.well-known/acme-challenge/" + challenge.Token}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at)
		},
	}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return err
	}
	text := strings.TrimRight(string(body), " \t\r\n") // "SHOULD ignore whitespace characters at the end of the body"
	switch {
	case presented && response.StatusCode == http.StatusOK && text == challenge.KeyAuthorization:
		return nil
	case !presented && response.StatusCode == http.StatusNotFound && text == "not found":
		return nil
	case response.Header.Get("Location") != "":
		return &errRedirect{response.Header.Get("Location")}
	}
	return &errForeign{fmt.Sprintf("HTTP %d", response.StatusCode)}
}

// acmeIdentifier is id-pe-acmeIdentifier of RFC 8737 §6.1.
var acmeIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

// remoteError is the operation of a *net.OpError that is a TLS alert of the other
// side, and unrecognizedName the text of the one with which our responder refuses a
// name that it has no challenge for.
const (
	remoteError      = "remote error"
	unrecognizedName = "tls: unrecognized name"
)

// tryALPN asks as RFC 8737 §3 says.
func (c *checker) tryALPN(ctx context.Context, at string, challenge probe.Challenge, presented bool) error {
	server := challenge.Identifier
	if ip, err := netip.ParseAddr(server); err == nil {
		// RFC 8738 §6: an address is asked for by its reverse name.
		reverse, err := dns.ReverseAddr(ip.String())
		if err != nil {
			return err
		}
		server = strings.TrimSuffix(reverse, ".")
	}
	if !presented {
		server = rand.Text()[:20] + "." + server // that no run has a challenge for
	}
	dialer := tls.Dialer{Config: &tls.Config{
		ServerName: server, NextProtos: []string{"acme-tls/1"}, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // the certificate is self-signed: what is in it is the answer
	}}
	conn, err := dialer.DialContext(ctx, "tcp", at)
	if alert, is := errors.AsType[*net.OpError](err); is && alert.Op == remoteError {
		if !presented && alert.Err.Error() == unrecognizedName {
			return nil
		}
		return &errForeign{"the TLS alert " + strings.TrimPrefix(alert.Err.Error(), "tls: ")}
	}
	if err != nil {
		if _, is := errors.AsType[tls.RecordHeaderError](err); is {
			return &errForeign{"something that is not TLS"}
		}
		return err
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	if state.NegotiatedProtocol != "acme-tls/1" {
		return &errForeign{"a TLS server that does not speak acme-tls/1"}
	}
	digest := sha256.Sum256([]byte(challenge.KeyAuthorization))
	want, err := asn1.Marshal(digest[:])
	if err != nil {
		return err
	}
	for _, e := range state.PeerCertificates[0].Extensions {
		if presented && e.Id.Equal(acmeIdentifier) && e.Critical && slices.Equal(e.Value, want) {
			return nil
		}
	}
	return &errForeign{"a certificate that is not that of our challenge"}
}
