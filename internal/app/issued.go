package app

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/state"
)

// bucketIssued has the last certificate of each target, by its name.
const bucketIssued = "issued"

// maxIssued is how large a chain may be that is kept, in bytes.
const maxIssued = 64 << 10

// lastIssued remembers the last certificate that each target has issued to us, over
// restarts where there is a store.
type lastIssued struct {
	store  *store
	logger *slog.Logger

	mu   sync.Mutex             // guards the field below
	last map[string]issuedChain // by target
}

// issuedChain is what a CA has issued.
type issuedChain struct {
	directory string // its URL: another CA's certificates are none of a target's
	chain     []*x509.Certificate
}

// storedChain is the stored form.
type storedChain struct {
	Directory string   `json:"directory_url"`
	Chain     [][]byte `json:"chain"` // in DER, leaf first
}

func newIssued(s *store, logger *slog.Logger) *lastIssued {
	return &lastIssued{store: s, logger: logger, last: map[string]issuedChain{}}
}

// of returns those of one target at the CA with that directory, as a run needs them.
func (i *lastIssued) of(target, directory string) issuedBy { return issuedBy{i, target, directory} }

// issuedBy implements prober.Issued.
type issuedBy struct {
	all               *lastIssued
	target, directory string
}

// Keep implements prober.Issued. That it could not be stored harms nothing until
// the next start.
func (b issuedBy) Keep(chain []*x509.Certificate) {
	kept := storedChain{Directory: b.directory}
	size := 0
	for _, c := range chain {
		kept.Chain = append(kept.Chain, c.Raw)
		size += len(c.Raw)
	}
	if size > maxIssued {
		b.all.logger.Warn("A chain is too long to be kept for those who look at it", "target", b.target, "bytes", size)
		return
	}
	b.all.mu.Lock()
	b.all.last[b.target] = issuedChain{b.directory, chain}
	b.all.mu.Unlock()
	if err := b.all.store.Commit(state.Change{Bucket: bucketIssued, Key: b.target, Value: kept}); err != nil {
		b.all.logger.Warn("The last certificate was not stored", "target", b.target, "err", err)
	}
}

// Last implements prober.Issued. Of a certificate that has expired nobody publishes
// anything any more.
func (b issuedBy) Last() ([]*x509.Certificate, error) {
	last, err := b.read()
	if err != nil || last.directory != b.directory || len(last.chain) == 0 || time.Now().After(last.chain[0].NotAfter) {
		return nil, err
	}
	return last.chain, nil
}

// read returns what is remembered of the target, whichever CA it is of.
func (b issuedBy) read() (issuedChain, error) {
	b.all.mu.Lock()
	defer b.all.mu.Unlock()
	if last, ok := b.all.last[b.target]; ok {
		return last, nil
	}
	if err := b.all.store.elsewhere(); err != nil {
		return issuedChain{}, fmt.Errorf("what was issued, the exporter knows that runs: %w", err)
	}
	data, err := b.all.store.Get(bucketIssued, b.target)
	if err != nil || data == nil {
		return issuedChain{}, err
	}
	last, err := readStored(data)
	if err != nil {
		return issuedChain{}, fmt.Errorf("the last certificate cannot be read: %w", err)
	}
	b.all.last[b.target] = last
	return last, nil
}

func readStored(data []byte) (last issuedChain, err error) {
	var kept storedChain
	if err := json.Unmarshal(data, &kept); err != nil {
		return last, err
	}
	last.directory = kept.Directory
	for _, der := range kept.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return last, err
		}
		last.chain = append(last.chain, c)
	}
	if len(last.chain) == 0 {
		return last, errors.New("it is empty")
	}
	return last, nil
}
