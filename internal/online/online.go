// Package online compares a configuration with the world: whether the zones are
// delegated to us, whether CAA records let the CAs issue, whether our responders
// can be reached, and what the CAs' directories say.
//
// It decides what to ask and what an answer means. It creates no account and no
// order, and leaves nothing behind: the records that it writes to name servers
// elsewhere it removes. How a responder is opened, a record written and a
// directory read is for others to know, see [Options].
package online

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What one configuration may take.
const (
	topicTimeout   = 60 * time.Second // for all checks of one topic
	closeTimeout   = 5 * time.Second  // to end what a check began
	maxTopics      = 8                // at work at the same time
	maxText        = 800              // bytes of one finding's text
	usualPatience  = 15 * time.Second
	connectTimeout = 10 * time.Second // to reach a responder of ours, and be answered
)

// Status is how a check has ended.
type Status string

// The statuses. Only [Missing] and [Wrong] stand in the way of a probe.
const (
	OK      Status = "ok"
	Warning Status = "warning" // it may work, or could not be seen from here
	Missing Status = "missing" // something has to be added
	Wrong   Status = "wrong"   // something has to be changed
)

// Finding is the outcome of one check.
type Finding struct {
	Status Status
	Topic  string // what it is about, such as "zone fra.acme-probe.example"
	Text   string // what was seen and what to do about it; one line, bounded
	// Records are those that are missing, in the form of a zone file, and Zone is
	// the one that they belong into, empty if it is not known.
	Zone    string
	Records []string
}

// Bad reports whether something has to be done.
func (f *Finding) Bad() bool { return f.Status == Missing || f.Status == Wrong }

// Responder is one of our own listeners.
type Responder interface {
	// Present publishes the answer to a challenge until withdraw is called.
	Present(ctx context.Context, c probe.Challenge) (withdraw func() []probe.Visit, err error)
	// Close stops it.
	Close(ctx context.Context) error
}

// Records has TXT records where DNS is elsewhere. Its errors are
// *[probe.PublicationError].
type Records interface {
	// Locate returns the name to which CNAME records lead from name; without one,
	// name itself.
	Locate(ctx context.Context, name string) (string, error)
	// Publish writes the records that are not Standing, and returns when every
	// authoritative server has all of them.
	Publish(ctx context.Context, records []probe.Record) error
	// Withdraw removes records.
	Withdraw(ctx context.Context, records []probe.Record) error
}

// Reading is a run of the prober directory.
type Reading struct {
	Directory *probe.Directory // nil: there was none to be read
	Verdict   probe.Verdict
}

// Options are a configuration and what it takes to check it. All fields but the
// last three must be set.
type Options struct {
	Config  *config.Config
	DNS     *dnsclient.Client
	Records Records
	// Open opens the responders that r has. Where a port is taken, its error is a
	// syscall.EADDRINUSE.
	Open func(r config.Responders) (Responder, error)
	// Directory reads the directory of a target.
	Directory func(ctx context.Context, target string, protocol config.IPProtocol) Reading
	// Account returns the URL of a target's account; empty: there is none yet.
	Account func(target string) string
	// HTTPPort and TLSPort are where validators look for our responders; 0: 80 and 443.
	HTTPPort, TLSPort uint16
	// Patience is how long to wait for a resolver that asks our own name server, and
	// may get no answer there;
	// 0: 15 s.
	Patience time.Duration
}

// Check checks a configuration that has no mistakes. It calls report for each
// finding, for one at a time, in an order that depends on the configuration
// alone, and returns when all is told and ended.
func Check(ctx context.Context, o Options, report func(Finding)) {
	c := &checker{
		Options: o, pairs: o.Config.Pairs(), directories: make(map[string]*probe.Directory),
		lost: make(map[string]bool), caaSeen: make(map[string]caaAnswer),
	}
	c.patient = &dnsclient.Client{Timeout: cmp.Or(o.Patience, usualPatience)}
	c.readDirectories(ctx)
	c.open()
	defer c.close(ctx)
	// What comes later looks for no name in a zone that nobody gets to.
	c.work(ctx, c.zones(), report)
	c.work(ctx, c.topics(), report)
}

// checker is one check of one configuration.
type checker struct {
	Options
	pairs   []config.Pair
	patient *dnsclient.Client // as DNS, with patience; it knows no resolvers
	// readings are of each target's directory, over the protocols that its pairs
	// use; directories has the first that could be read. Both are set before the
	// topics are worked on.
	readings    map[string][]protocolReading
	directories map[string]*probe.Directory

	dns, http, alpn opened

	mu sync.Mutex // guards what follows
	// lost are the zones of ours to which the world does not get.
	lost map[string]bool
	// caaSeen are the CAA records at each name that was asked for.
	caaSeen map[string]caaAnswer
}

// topic is one thing to be checked. One goroutine owns it while it is worked on.
type topic struct {
	name     string
	check    func(ctx context.Context, t *topic)
	findings []Finding
	done     chan struct{}
}

// work has every topic checked, some at the same time, and reports in order.
func (c *checker) work(ctx context.Context, topics []*topic, report func(Finding)) {
	free := make(chan struct{}, maxTopics)
	var working sync.WaitGroup
	for _, t := range topics {
		t.done = make(chan struct{})
		working.Go(func() {
			defer close(t.done)
			free <- struct{}{}
			defer func() { <-free }()
			ctx, cancel := context.WithTimeout(ctx, topicTimeout)
			defer cancel()
			t.check(ctx, t)
		})
	}
	for _, t := range topics {
		<-t.done
		for _, f := range t.findings {
			report(f)
		}
	}
	working.Wait()
}

// zones lists the zones of ours.
func (c *checker) zones() []*topic {
	var topics []*topic
	if d := c.Config.Responders.DNS; d != nil {
		for _, zone := range d.Zones {
			topics = append(topics, &topic{name: "zone " + zone, check: func(ctx context.Context, t *topic) { c.checkZone(ctx, t, zone) }})
		}
	}
	return topics
}

// topics lists everything else that there is to check.
func (c *checker) topics() []*topic {
	var topics []*topic
	add := func(name string, check func(context.Context, *topic)) {
		topics = append(topics, &topic{name: name, check: check})
	}
	r := &c.Config.Responders
	if r.HTTP != nil {
		add("responders.http", c.checkHTTP)
	}
	if r.TLSALPN != nil {
		add("responders.tls_alpn", c.checkALPN)
	}
	for _, u := range r.DNSUpdates {
		add("update zone "+u.Zone, func(ctx context.Context, t *topic) { c.checkUpdate(ctx, t, u.Zone) })
	}
	for _, domain := range r.DNSAliases {
		add("alias domain "+domain, func(ctx context.Context, t *topic) { c.checkAlias(ctx, t, domain) })
	}
	for _, target := range c.targets() {
		add("target "+target, func(ctx context.Context, t *topic) { c.checkTarget(ctx, t, target) })
	}
	for i := range c.pairs {
		if p := &c.pairs[i]; len(names(p)) > 0 {
			add(p.Pair.String(), func(ctx context.Context, t *topic) { c.checkPair(ctx, t, p) })
		}
	}
	return topics
}

func (t *topic) add(f Finding) {
	f.Topic = t.name
	f.Text = printable(f.Text)
	for i, r := range f.Records {
		f.Records[i] = printable(r)
	}
	t.findings = append(t.findings, f)
}

func (t *topic) ok(format string, args ...any) {
	t.add(Finding{Status: OK, Text: fmt.Sprintf(format, args...)})
}

func (t *topic) warn(format string, args ...any) {
	t.add(Finding{Status: Warning, Text: fmt.Sprintf(format, args...)})
}

func (t *topic) wrong(format string, args ...any) {
	t.add(Finding{Status: Wrong, Text: fmt.Sprintf(format, args...)})
}

// missing tells of records that somebody has to add to a zone.
func (t *topic) missing(zone string, records []string, format string, args ...any) {
	t.add(Finding{Status: Missing, Text: fmt.Sprintf(format, args...), Zone: zone, Records: records})
}

// printable makes one bounded line of a text, which may hold foreign words.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + " …"
	}
	return text
}
