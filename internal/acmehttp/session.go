package acmehttp

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Session is one run's http.RoundTripper; safe for concurrent use.
type Session struct {
	transport *Transport
	pool      *pool
	names     *registry
	clock     clock

	mu      sync.Mutex // guards the fields below
	records []*record
	api     *probe.APICertificate
	closed  bool
	pause   pause
}

// Client returns an http.Client on s. It follows no redirect: RFC 8555 has none,
// and the one that came is what there is to show. Its time-outs are those of the
// requests' contexts.
func (s *Session) Client() *http.Client {
	return &http.Client{
		Transport:     s,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip implements http.RoundTripper. When it returns, the answer's body
// has been read whole and within its bounds. Its errors wrap a
// *probe.CallError, the one that is recorded; only those of a session that is
// closed, of one that has made too many calls, and of a request that our own
// pace held back (ErrPace) are recorded nowhere.
func (s *Session) RoundTrip(req *http.Request) (*http.Response, error) {
	e := exchangeOf(req.Context())
	r, err := s.begin(req, e)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	res, body, err := s.send(req, r)
	call, err := s.end(req, r, res, body, err)
	if err != nil {
		return nil, err
	}
	if e != nil && !r.onTheWay {
		e.Response = &Response{Status: res.StatusCode, Header: res.Header, Body: body, TLS: res.TLS}
	}
	s.names.learn(req.URL, call, res.StatusCode, res.Header, body)
	res.Body = &readCloser{*bytes.NewReader(body)}
	return res, nil
}

// readCloser is a body that is in memory.
type readCloser struct{ bytes.Reader }

// Close does nothing.
func (*readCloser) Close() error { return nil }

// closeBody keeps http.RoundTripper's promise about requests that are not sent.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// begin names the call that req makes, and records its start.
func (s *Session) begin(req *http.Request, e *Exchange) (*record, error) {
	key := urlKey(req.URL)
	name, onTheWay := e.identify(s.names, req.Method, key)
	r := &record{
		ctx: req.Context(), clock: &s.clock, onTheWay: onTheWay, phase: probe.PhaseRequest, limit: maxBody,
		own: name == probe.CallDirectory && key == urlKey(s.transport.directory) || s.transport.guard.own(req.URL),
	}
	if _, err := netip.ParseAddr(req.URL.Hostname()); err != nil {
		r.named = true
	}
	if name == probe.CallCertificate {
		r.limit = maxChain
	}
	if e != nil && !onTheWay {
		r.chosen, r.anyCertificate, r.read = e.Chosen, e.AnyCertificate, e.Read
		r.limit = cmp.Or(e.Limit, r.limit)
	}
	r.call = probe.Call{Name: name, Method: req.Method, URL: recordedURL(req.URL)}
	if e != nil {
		r.call.Step = e.Step
		if !onTheWay {
			r.call.Attempt, r.call.RetryCause = e.Attempt, e.RetryCause
		}
	}
	waited, err := s.wait(req.Context(), name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if waited {
		s.pause.waits(&s.clock, -1)
	}
	if err != nil {
		return nil, err
	}
	if s.closed {
		return nil, refuse(probe.CauseCanceled, "the session is closed")
	}
	if len(s.records) >= maxCalls {
		return nil, refuse(probe.CauseOther, "too many calls in one run")
	}
	r.index = len(s.records)
	s.records = append(s.records, r)
	s.pause.flies(&s.clock, 1)
	switch {
	case e == nil:
	case onTheWay:
		e.NonceIndex = r.index
	default:
		e.CallIndex = r.index
	}
	r.call.Start = s.clock.elapsed()
	return r, nil
}

// beside reports whether the call is for something that a CA publishes beside its
// API. It is signed, and so there need be no https: in a chain of trust that would
// have no beginning.
func beside(name probe.CallName) bool {
	return name == probe.CallCRL || name == probe.CallOCSP || name == probe.CallAIA
}

// send makes the exchange, and reads the body whole.
func (s *Session) send(req *http.Request, r *record) (*http.Response, []byte, error) {
	out, err := s.outgoing(req, r)
	if err != nil {
		closeBody(req)
		return nil, nil, err
	}
	client := s.pool.http
	if r.anyCertificate {
		client = s.pool.unverified
	}
	res, err := client.RoundTrip(out)
	if err != nil {
		return nil, nil, err
	}
	if err := req.Context().Err(); err != nil {
		// Some servers answer because we give up, and net/http hands on what it
		// reads while it closes the connection. Nobody was waiting any more.
		res.Body.Close()
		return nil, nil, err
	}
	res.Request = req
	r.body()
	if r.read != nil && res.StatusCode == http.StatusOK {
		r.streamed, err = stream(res, r.limit, r.read)
		return res, nil, err
	}
	body, err := readBody(res, r.limit)
	return res, body, err
}

// outgoing returns the request that is sent for req, or why none is.
func (s *Session) outgoing(req *http.Request, r *record) (*http.Request, error) {
	u := req.URL
	switch {
	case u.Scheme != "https" && !(u.Scheme == "http" && beside(r.call.Name)):
		return nil, refuse(probe.CauseScheme, "the URL's scheme is not https")
	case u.Hostname() == "":
		return nil, refuse(probe.CauseOther, "the URL has no host")
	case len(u.Path)+len(u.RawQuery)+len(u.Host) > maxURL:
		return nil, refuse(probe.CauseTooLarge, "the URL is too long")
	}
	if proxy := s.transport.options.Proxy; proxy != nil {
		p, err := proxy(req)
		if err != nil {
			return nil, err
		}
		if r.proxy = p; p != nil {
			if err := s.transport.guard.checkHost(u.Hostname(), r.own || r.chosen, s.pool.blocks()); err != nil {
				return nil, err
			}
		}
	}
	out := req.WithContext(r.trace(req.Context()))
	out.Header = maps.Clone(req.Header)
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	if ua := s.transport.options.UserAgent; ua != "" {
		out.Header.Set("User-Agent", ua)
	}
	if u.User != nil { // http.Client has made credentials of it, which a CA's URLs cannot ask for
		out.Header.Del("Authorization")
	}
	return out, nil
}

// end records how the call ended, and returns its name.
func (s *Session) end(req *http.Request, r *record, res *http.Response, body []byte, err error) (probe.CallName, error) {
	end := s.clock.elapsed()
	c := probe.Call{End: end, Bytes: r.streamed + int64(len(body))}
	phase := r.fill(&c, true)
	if err != nil {
		err = classify(req.Context(), err, phase)
		c.Error = callError(err)
	}
	state := r.state(res)
	if res != nil {
		describe(&c, res, body)
	}
	if state != nil {
		c.Connection.TLSVersion = tls.VersionName(state.Version)
		if state.CurveID != 0 {
			c.Connection.KeyExchange = state.CurveID.String()
		}
	}
	if r.own && res != nil && res.StatusCode == http.StatusOK {
		s.learnBlock(req, r)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.pause.flies(&s.clock, -1)
	if s.closed {
		return r.call.Name, err
	}
	if s.api == nil && !beside(r.call.Name) && r.call.Name != probe.CallSite && r.call.Name != probe.CallStatusPage {
		s.api = apiCertificate(leaf(r, state, err))
	}
	c.Name, c.Step, c.Method, c.URL = r.call.Name, r.call.Step, r.call.Method, r.call.URL
	c.Attempt, c.RetryCause, c.Start = r.call.Attempt, r.call.RetryCause, r.call.Start
	r.call, r.done = c, true
	return c.Name, err
}

// state returns the state of the TLS connection that carried the call; nil:
// none did.
func (r *record) state(res *http.Response) *tls.ConnectionState {
	if res != nil && res.TLS != nil {
		return res.TLS
	}
	return r.connection()
}

// leaf returns the certificate that the CA's API presented, whether or not it
// passed verification; nil: none.
func leaf(r *record, state *tls.ConnectionState, err error) *x509.Certificate {
	if state != nil && len(state.PeerCertificates) > 0 {
		return state.PeerCertificates[0]
	}
	failed, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if ok && len(failed.UnverifiedCertificates) > 0 && !r.throughProxy() {
		return failed.UnverifiedCertificates[0]
	}
	return nil
}

// learnBlock remembers where the configured directory lives.
func (s *Session) learnBlock(req *http.Request, r *record) {
	if r.proxy != nil {
		if a, err := netip.ParseAddr(req.URL.Hostname()); err == nil {
			s.pool.learn(a)
		}
		return
	}
	r.mu.Lock()
	remote := r.remote()
	r.mu.Unlock()
	if remote.IsValid() {
		s.pool.learn(remote.Addr())
	}
}

// Calls returns the calls recorded so far, in the order of their start. One
// that is still in flight has an Error that says so, and ends now.
func (s *Session) Calls() []probe.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]probe.Call, len(s.records))
	for i, r := range s.records {
		calls[i] = s.snapshot(r)
	}
	return calls
}

// Call returns Calls()[i], and false if there is no such call.
func (s *Session) Call(i int) (probe.Call, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i < 0 || i >= len(s.records) {
		return probe.Call{}, false
	}
	return s.snapshot(s.records[i]), true
}

// snapshot returns the call of r as it stands. The caller holds s.mu.
func (s *Session) snapshot(r *record) probe.Call {
	c := r.call
	if r.done {
		return c
	}
	c.End = s.clock.elapsed()
	phase := r.fill(&c, false)
	c.Error = &probe.CallError{Phase: phase, Cause: probe.CauseOther, Message: "still in flight"}
	return c
}

// APICertificate returns what the CA's API presented first; nil: nothing did.
func (s *Session) APICertificate() *probe.APICertificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.api == nil {
		return nil
	}
	api := *s.api
	return &api
}

// Close ends the session: nothing is recorded any more, and fresh connections
// are closed. A call still in flight is recorded as canceled.
func (s *Session) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	for _, r := range s.records {
		if r.done {
			continue
		}
		c := s.snapshot(r)
		c.Error = &probe.CallError{Phase: c.Error.Phase, Cause: probe.CauseCanceled, Message: "the session was closed"}
		r.call, r.done = c, true
	}
	s.mu.Unlock()
	s.transport.release(s.pool)
}

// apiCertificate describes a certificate; nil stays nil.
func apiCertificate(c *x509.Certificate) *probe.APICertificate {
	if c == nil {
		return nil
	}
	const names, length = 20, 200
	api := &probe.APICertificate{
		Subject: clean(c.Subject.String(), length), Issuer: clean(c.Issuer.String(), length),
		NotBefore: c.NotBefore.UTC().Truncate(time.Second), NotAfter: c.NotAfter.UTC().Truncate(time.Second),
	}
	for _, name := range c.DNSNames[:min(len(c.DNSNames), names)] {
		api.DNSNames = append(api.DNSNames, clean(name, 255))
	}
	return api
}
