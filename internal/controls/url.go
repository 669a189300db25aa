package controls

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxHeader is the bytes of an answer's header that are read.
const maxHeader = 256 << 10

// linked is a control at a URL.
type linked struct {
	url, userAgent string
	proxy          func(*http.Request) (*url.URL, error)
	proxyHeader    http.Header   // sent with CONNECT
	resolver       *net.Resolver // nil: net.DefaultResolver
}

// ask requests the URL over a connection of its own. It is alive if it answers, with
// whatever status, or if it shows a certificate, whoever issued it. What is no TLS
// where TLS was asked for proves nothing: it may come from a box on the way. Neither
// does the certificate of a proxy, or its own word that it reaches nobody.
func (l *linked) ask(ctx context.Context) (alive bool, failed *probe.CallError) {
	var phase atomic.Value // of probe.Phase; hooks run beside each other
	phase.Store(probe.PhaseConnect)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { phase.Store(probe.PhaseDNS) },
		ConnectStart:      func(string, string) { phase.Store(probe.PhaseConnect) },
		TLSHandshakeStart: func() { phase.Store(probe.PhaseTLS) },
		GotConn:           func(httptrace.GotConnInfo) { phase.Store(probe.PhaseResponse) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, l.url, nil)
	if err != nil {
		return false, acmehttp.Explain(ctx, err, probe.PhaseRequest)
	}
	if l.userAgent != "" {
		req.Header.Set("User-Agent", l.userAgent)
	}
	proxy, err := l.proxy(req)
	if err != nil {
		return false, acmehttp.Explain(ctx, err, probe.PhaseRequest)
	}
	var certificate atomic.Bool
	transport := l.transport(proxy, &certificate)
	defer transport.CloseIdleConnections()
	// Not a Client's Do, which would follow redirects.
	res, err := transport.RoundTrip(req)
	if err != nil {
		return certificate.Load(), acmehttp.Explain(ctx, err, phase.Load().(probe.Phase))
	}
	_ = res.Body.Close()
	if proxy != nil && req.URL.Scheme == "http" && slices.Contains(proxyStatus, res.StatusCode) {
		return false, &probe.CallError{Phase: probe.PhaseResponse, Cause: probe.CauseOther, Message: "perhaps the proxy's own answer: " + http.StatusText(res.StatusCode)}
	}
	return true, nil
}

// proxyStatus are those with which a proxy says that it reaches nobody, or will not.
var proxyStatus = []int{
	http.StatusProxyAuthRequired, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// transport returns one for a single request. Its idle connections are to be closed
// afterwards, which also ends a dial and a handshake that nobody waits for any more.
func (l *linked) transport(proxy *url.URL, certificate *atomic.Bool) *http.Transport {
	dialer := net.Dialer{Resolver: l.resolver}
	return &http.Transport{
		Proxy:              http.ProxyURL(proxy),
		ProxyConnectHeader: l.proxyHeader,
		DialContext:        dialer.DialContext,
		TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, // whose certificate it is does not matter
			VerifyConnection: func(tls.ConnectionState) error {
				// In TLS 1.3 the server may refuse us after this.
				certificate.Store(proxy == nil)
				return nil
			},
		},
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeader,
	}
}
