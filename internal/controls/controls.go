// Package controls finds out whether our own line works when a CA was not reached:
// it asks others, none of them that CA. What their answers mean for a run is the
// verdict's business.
//
// Any answer proves the way there and back, so nothing of it is trusted and nothing
// is done with it: certificates are not verified, redirects not followed, bodies
// not asked for. The addresses are the configuration's own choice, and may be private.
package controls

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Timeout is how long a control has to answer.
const Timeout = 3 * time.Second

// Rest is for how long the answer of a control stands. It is not asked again before,
// counted from when it was asked.
const Rest = 15 * time.Second

// maxTarget is the bytes of a URL that are kept.
const maxTarget = 200

// Options say what is asked.
type Options struct {
	Config *config.Config // must not be nil
	// UserAgent is sent with every request; empty: the client's own.
	UserAgent string
	// Resolver finds the hosts of URLs; nil: net.DefaultResolver.
	Resolver *net.Resolver
}

// Asker asks controls. It may be used by several goroutines at once.
type Asker struct {
	// of has those that tell about a target. It never changes, and no list is empty.
	of map[string][]*control
}

// New returns an Asker for the controls of a configuration; it asks nobody.
func New(o Options) *Asker {
	a := &Asker{of: make(map[string][]*control)}
	type key struct {
		kind probe.ControlKind
		what string
	}
	known := make(map[key]*control)
	client := &dnsclient.Client{Timeout: Timeout}
	for target := range o.Config.Targets {
		for _, one := range o.Config.ControlsOf(target) {
			k := key{one.Kind, one.URL + one.Host}
			if known[k] == nil {
				known[k] = o.control(one, client)
			}
			a.of[target] = append(a.of[target], known[k])
		}
	}
	return a
}

// control makes one of the configuration's controls askable.
func (o *Options) control(one config.Control, client *dnsclient.Client) *control {
	if one.Kind == probe.ControlName {
		n := &named{name: one.Host, resolvers: o.Config.Resolvers, client: client}
		return &control{kind: one.Kind, target: acmehttp.Scrub(n.name, maxTarget), ask: n.ask}
	}
	shown := one.URL
	if u, err := url.Parse(one.URL); err == nil {
		shown = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	}
	l := &linked{
		url: one.URL, userAgent: o.UserAgent, resolver: o.Resolver,
		proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
	}
	if one.Proxy != nil {
		if proxy := one.Proxy.Proxy(); proxy != nil {
			l.proxy = proxy
		}
		l.proxyHeader = one.Proxy.GetProxyConnectHeader()
	}
	return &control{kind: one.Kind, target: acmehttp.Scrub(shown, maxTarget), ask: l.ask}
}

// Configured reports whether the target has a control.
func (a *Asker) Configured(target string) bool { return len(a.of[target]) > 0 }

// Ask asks the controls of a target that was not reached, all at once, and returns
// what became of each within [Timeout], in the order of [config.Config.ControlsOf].
// Who asks while they are being asked gets the same answers, and so does who asks
// within [Rest]. It returns nil if the target has no control, and if ctx ends first:
// then nothing is known. The asking goes on for others, for no longer than Timeout; a
// question to a silent resolver of the system ends when that gives up, after 5 s.
func (a *Asker) Ask(ctx context.Context, target string) []probe.Control {
	if ctx.Err() != nil {
		return nil
	}
	controls := a.of[target]
	askings := make([]*asking, len(controls))
	for i, c := range controls {
		askings[i] = c.join(ctx)
	}
	var answers []probe.Control
	for _, one := range askings {
		select {
		case <-one.done:
			answers = append(answers, one.answer)
		case <-ctx.Done():
			return nil
		}
	}
	return answers
}

// control is something that can be asked.
type control struct {
	kind   probe.ControlKind
	target string // as it is shown
	// ask asks once, and returns soon after ctx ends. The error says why there was no
	// whole answer; what is alive may have one.
	ask func(ctx context.Context) (alive bool, err *probe.CallError)

	mu   sync.Mutex // guards the field below
	last *asking    // nil: it was never asked
}

// asking is one time that a control is asked.
type asking struct {
	start  time.Time
	done   chan struct{} // closed when the answer is there
	answer probe.Control // owned by the asking goroutine until then
}

// join returns the asking under way or the last one, if that is still good, or
// begins another. It goes on when ctx ends, for those who joined.
func (c *control) join(ctx context.Context) *asking {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && time.Since(c.last.start) < Rest {
		return c.last
	}
	a := &asking{start: time.Now(), done: make(chan struct{})}
	c.last = a
	go func() {
		defer close(a.done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Timeout)
		defer cancel()
		alive, err := c.ask(ctx)
		a.answer = probe.Control{
			Kind: c.kind, Target: c.target, Alive: alive,
			Asked: a.start, Duration: time.Since(a.start), Error: err,
		}
	}()
	return a
}
