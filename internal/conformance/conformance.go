// Package conformance checks an issued certificate against what was asked for,
// against what its CA promises, and against the rules of its trade.
//
// It reads bytes of a CA's and compares. It fetches nothing, keeps nothing, and
// does not say whose fault a failed check is. What cannot be checked, because
// nothing is known to compare with, is not in the outcome at all.
package conformance

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What is read and shown of a certificate at most.
const (
	maxChain  = 10  // certificates
	maxQuoted = 200 // bytes of somebody else's words
	maxShown  = 3   // words of a list
)

// Wanted is what a certificate is compared with.
type Wanted struct {
	Key   crypto.PublicKey // of the request
	Names []string         // DNS names in lower case and IP addresses; no order
	Now   time.Time
	// Public says that the CA is one of those that browsers trust, or the staging of
	// one: the CA/Browser Forum's Baseline Requirements (BR) hold.
	Public bool
	// MaxLifetime is the longest validity that the certificate may have; 0: not
	// known, and it may have any.
	MaxLifetime time.Duration
	// Roots are those to which the chain may lead; nil: not known.
	Roots *x509.CertPool
	Lint  bool // run zlint
}

// ParseChain reads application/pem-certificate-chain (RFC 8555 §9.1): 1 to 10
// certificates, the leaf first. A certificate that has an extension twice, or a
// negative serial number, cannot be read.
func ParseChain(body []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		if block, body = pem.Decode(body); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a PEM block of the type %q", quoted(block.Type))
		}
		if len(chain) == maxChain {
			return nil, fmt.Errorf("more than %d certificates", maxChain)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(chain)+1, err)
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, errors.New("no certificate in it")
	}
	return chain, nil
}

// Check checks the chain, leaf first and not empty. The outcomes have the order of
// [probe.Checks], and none of what could not be checked. lints is nil if there were
// none.
func Check(chain []*x509.Certificate, w Wanted) (results []probe.CheckResult, lints *probe.Lints) {
	leaf := chain[0]
	add := func(check probe.Check, note, detail string) {
		results = append(results, probe.CheckResult{Check: check, Passed: detail == "", Note: note, Detail: detail})
	}
	// It verifies the leaf's signature, which takes the longest: once is enough.
	distrust, proven := "", false
	if w.Roots != nil {
		distrust, proven = checkTrust(chain, w)
	}
	add(probe.CheckKey, "", checkKey(leaf, w.Key))
	add(probe.CheckNames, "", checkNames(leaf, w.Names))
	add(probe.CheckValidity, "", checkValidity(leaf, w.Now))
	add(probe.CheckOrder, "", checkOrder(chain))
	add(probe.CheckSignatures, "", checkSignatures(chain, proven))
	if w.MaxLifetime > 0 {
		add(probe.CheckProfile, "", checkProfile(leaf, w.MaxLifetime))
	}
	add(probe.CheckSerial, "", checkSerial(leaf, w.Public))
	note, detail := checkUsage(leaf, w.Public)
	add(probe.CheckKeyUsage, note, detail)
	note, detail = checkExtensions(leaf, w.Public)
	add(probe.CheckExtensions, note, detail)
	if w.Roots != nil {
		add(probe.CheckTrust, "", distrust)
	}
	if w.Lint {
		if lints = lint(leaf.Raw, w.Public); lints != nil {
			add(probe.CheckLint, "", checkLints(lints))
		}
	}
	return results, lints
}

// Failures returns what is wrong, in words; empty: nothing.
func Failures(results []probe.CheckResult) string {
	var failed []string
	for _, c := range results {
		if !c.Passed {
			failed = append(failed, string(c.Check)+": "+c.Detail)
		}
	}
	return strings.Join(failed, "; ")
}

// quoted returns somebody else's words in a form that may be shown.
func quoted(s string) string { return acmehttp.Scrub(s, maxQuoted) }

// quotedAll returns as many words of somebody else's as a list shows.
func quotedAll(all []string) (shown []string) {
	for _, one := range all[:min(len(all), maxShown)] {
		shown = append(shown, quoted(one))
	}
	return shown
}

// list shows words to a person, the first ones of count.
func list(all []string, count int) string {
	s := make([]string, 0, maxShown+1)
	for _, one := range all[:min(len(all), maxShown)] {
		s = append(s, strconv.Quote(one))
	}
	if more := count - len(s); more > 0 {
		s = append(s, fmt.Sprintf("%d more", more))
	}
	return strings.Join(s, ", ")
}
