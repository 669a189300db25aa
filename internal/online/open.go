package online

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// opened is a responder of ours, or why it could not be opened.
type opened struct {
	responder Responder
	err       error
}

// taken reports whether somebody has its port: an exporter that runs, presumably.
func (o *opened) taken() bool { return errors.Is(o.err, syscall.EADDRINUSE) }

// open opens the responders that are configured, each on its own, so that a port
// that is taken stands in the way of one of them alone.
func (c *checker) open() {
	r := &c.Config.Responders
	open := func(o *opened, alone config.Responders) { o.responder, o.err = c.Open(alone) }
	if r.DNS != nil {
		open(&c.dns, config.Responders{DNS: r.DNS})
	}
	if r.HTTP != nil {
		open(&c.http, config.Responders{HTTP: r.HTTP})
	}
	if r.TLSALPN != nil {
		open(&c.alpn, config.Responders{TLSALPN: r.TLSALPN})
	}
}

// close closes the responders.
func (c *checker) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	for _, o := range []opened{c.dns, c.http, c.alpn} {
		if o.responder != nil && o.err == nil {
			_ = o.responder.Close(ctx) // nobody's connection is worth a word
		}
	}
}

// randomLabel returns a label that nobody has used before, with 100 random bits.
func randomLabel() string { return strings.ToLower(rand.Text()[:20]) }

// newChallenge returns a challenge of a CA that does not exist.
func newChallenge(kind probe.ChallengeType, name string) probe.Challenge {
	c := probe.Challenge{Type: kind, Identifier: name, Start: time.Now()}
	c.Token = rand.Text()
	c.KeyAuthorization = c.Token + "." + rand.Text()
	if kind.DNS() {
		sum := sha256.Sum256([]byte(c.KeyAuthorization))
		c.Record = probe.Record{Name: probe.ChallengeLabel + name, Value: base64.RawURLEncoding.EncodeToString(sum[:])}
	}
	return c
}
