package prober

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/conformance"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxNames is how many names of a certificate the facts keep.
const maxNames = 100

// inspect checks the chain, leaf first and not empty, against what was asked for,
// and keeps what it is.
func (r *run) inspect(chain []*x509.Certificate, key crypto.PublicKey, names []string) error {
	leaf := chain[0]
	target, issue := r.Pair.Target, r.Pair.Module.Issue
	f := describe(chain)
	f.Checks, f.Lints = conformance.Check(chain, conformance.Wanted{
		Key: key, Names: names, Now: time.Now(),
		Public:      target.Public(),
		MaxLifetime: target.MaxLifetime(issue.Profile, leaf.NotBefore),
		Roots:       target.Issuers(),
		Lint:        issue.Lint,
	})
	r.lookIntoSCTs(f, chain)
	r.facts.Certificate = f
	if detail := conformance.Failures(f.Checks); detail != "" {
		broken := r.broken(objectCertificate, "%s", detail)
		broken.Kind = probe.FailureCertificate
		return broken
	}
	return nil
}

// maxEvidence bounds the certificates that are kept as they are, in bytes of PEM: an
// incident has room for it, twice.
const maxEvidence = 12 << 10

// evidence returns the chain in PEM, leaf first, as far as there is room for it.
func evidence(chain []*x509.Certificate) string {
	var all []byte
	for _, c := range chain {
		one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		if len(all)+len(one) > maxEvidence {
			break
		}
		all = append(all, one...)
	}
	return string(all)
}

// describe says what the chain is, without judging it.
func describe(chain []*x509.Certificate) *probe.Certificate {
	leaf := chain[0]
	f := &probe.Certificate{
		Serial:    serialOf(leaf),
		Issuer:    bounded(leaf.Issuer.String()),
		NotBefore: leaf.NotBefore,
		NotAfter:  leaf.NotAfter,
		Chain:     len(chain),
	}
	all := conformance.Names(leaf)
	for _, name := range all[:min(len(all), maxNames)] {
		f.Names = append(f.Names, bounded(name))
	}
	return f
}
