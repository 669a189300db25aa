package prober

import (
	"context"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Records has TXT records where DNS is elsewhere. Its errors are
// [*probe.PublicationError]. Its methods may be called at the same time.
type Records interface {
	// Locate returns the name at which the CA will look for a record of name: it
	// follows CNAME records, and every authoritative server must say the same.
	// Without one: name itself.
	Locate(ctx context.Context, name string) (string, error)
	// Publish writes the records that are not Standing, and returns when every
	// authoritative server of their zones has all of them; when ctx ends first, the
	// error says which server lacks which.
	Publish(ctx context.Context, records []probe.Record) error
	// Withdraw removes records; that one is not there is fine. It waits for no
	// server but the one that takes updates.
	Withdraw(ctx context.Context, records []probe.Record) error
}
