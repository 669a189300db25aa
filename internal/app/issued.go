package app

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

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

	mu   sync.Mutex // guards the field below
	last map[string][]*x509.Certificate
}

// storedChain is the stored form.
type storedChain struct {
	Chain [][]byte `json:"chain"` // in DER, leaf first
}

func newIssued(s *store, logger *slog.Logger) *lastIssued {
	return &lastIssued{store: s, logger: logger, last: map[string][]*x509.Certificate{}}
}

// of returns those of one target, as a run needs them.
func (i *lastIssued) of(target string) issuedBy { return issuedBy{i, target} }

// issuedBy implements prober.Issued.
type issuedBy struct {
	all    *lastIssued
	target string
}

// Keep implements prober.Issued. That it could not be stored harms nothing until
// the next start.
func (b issuedBy) Keep(chain []*x509.Certificate) {
	var kept storedChain
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
	b.all.last[b.target] = chain
	b.all.mu.Unlock()
	if err := b.all.store.Commit(state.Change{Bucket: bucketIssued, Key: b.target, Value: kept}); err != nil {
		b.all.logger.Warn("The last certificate was not stored", "target", b.target, "err", err)
	}
}

// Last implements prober.Issued.
func (b issuedBy) Last() ([]*x509.Certificate, error) {
	b.all.mu.Lock()
	defer b.all.mu.Unlock()
	if chain := b.all.last[b.target]; chain != nil {
		return chain, nil
	}
	if err := b.all.store.elsewhere(); err != nil {
		return nil, fmt.Errorf("what was issued, the exporter knows that runs: %w", err)
	}
	data, err := b.all.store.Get(bucketIssued, b.target)
	if err != nil || data == nil {
		return nil, err
	}
	chain, err := readStored(data)
	if err != nil {
		return nil, fmt.Errorf("the last certificate cannot be read: %w", err)
	}
	b.all.last[b.target] = chain
	return chain, nil
}

func readStored(data []byte) (chain []*x509.Certificate, err error) {
	var kept storedChain
	if err := json.Unmarshal(data, &kept); err != nil {
		return nil, err
	}
	for _, der := range kept.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("it is empty")
	}
	return chain, nil
}
