// Package ct verifies the signed certificate timestamps (SCTs) that are embedded in
// an issued certificate (RFC 6962 §3.3) against a list of logs, and asks whether
// Chrome's policy is met.
//
// It owns the list that is shipped, and reads another one that the configuration
// names. It fetches nothing, asks no log, and does not say whose fault it is.
//
// It reads TLS and DER by itself, for it is little: the certificate has been
// parsed already, and a second parser of a CA's bytes (that of
// certificate-transparency-go is an old fork of crypto/x509) could only disagree.
package ct

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	maxSCTs = 20 // that are verified; others are counted
	// maxAhead is how far ahead of our clock an SCT may be: it was made a moment ago, and
	// clocks differ.
	maxAhead = 5 * time.Minute
)

// Logs are what certificates are compared with.
type Logs struct {
	list    *List
	shipped bool // it is not the configuration's own
}

// Load returns the list that cfg names, or the one that is shipped. An error is a
// *config.Error.
func Load(cfg *config.Config) (*Logs, error) {
	data := cfg.LogList()
	if data == nil {
		data = shipped
	}
	list, err := Parse(data)
	if err != nil {
		return nil, cfg.Mistake(err.Error(), keyFile)
	}
	return &Logs{list: list, shipped: cfg.LogList() == nil}, nil
}

// keyFile is the configuration's that names a list.
const keyFile = "log_list_file"

// Timestamp is when the list in use was published.
func (l *Logs) Timestamp() time.Time { return l.list.Timestamp }

// Warnings says that the list is too old at now for anything of cfg that is compared
// with it; empty: it is not.
func (l *Logs) Warnings(cfg *config.Config, now time.Time) []*config.Error {
	if !l.list.stale(now) {
		return nil
	}
	for _, pair := range cfg.Pairs() {
		if pair.Module.Prober == probe.ProberIssue && pair.Target.VerifiesSCTs() {
			what := "is of"
			if l.shipped {
				what = "is not given, and the list of CT logs that is shipped is of"
			}
			return []*config.Error{cfg.Mistake(fmt.Sprintf(
				"%s %s, more than 70 days ago: whether SCTs meet Chrome's policy is not known; get https://www.gstatic.com/ct/log_list/v3/log_list.json",
				what, l.list.Timestamp.Format(time.DateOnly)), keyFile)}
		}
	}
	return nil
}

// Check looks at the SCTs of a certificate that t issued, the first of chain; the
// second one, if there is one, is its issuer. Both results may be nil. seen is if
// nothing is expected of t: a private CA, whose certificate has no SCTs or for which
// no list is configured. result is if that cannot be told: of an unknown log, or from
// a list that is too old.
func (l *Logs) Check(t *config.Target, chain []*x509.Certificate, now time.Time) (seen *probe.Transparency, result *probe.CheckResult) {
	leaf := chain[0]
	value, present := embedded(leaf)
	if t.Preset == "" && (!present || !t.VerifiesSCTs()) {
		return nil, nil
	}
	seen = &probe.Transparency{}
	var list []sct
	if present {
		var err error
		list, err = parseSCTs(value)
		seen.Count = len(list)
		if err != nil {
			seen.Unreadable, seen.Detail = true, "the SCTs cannot be read: "+err.Error()
			return seen, failed(seen.Detail)
		}
	}
	if !t.VerifiesSCTs() {
		return seen, nil
	}
	seen.ListTimestamp = l.list.Timestamp
	var logs []*log
	seen.SCTs, logs = l.list.verify(list[:min(len(list), maxSCTs)], chain, now)
	l.list.judge(seen, logs, leaf.NotAfter.Sub(leaf.NotBefore), now)
	return seen, outcome(seen)
}

// outcome is the check's; nil: it cannot be told.
func outcome(t *probe.Transparency) *probe.CheckResult {
	for i := range t.SCTs {
		switch s := &t.SCTs[i]; s.Status {
		case probe.SCTInvalid:
			return failed(fmt.Sprintf("the SCT of the log %q is not signed by it, or is for another certificate", s.Log))
		case probe.SCTFuture:
			return failed(fmt.Sprintf("the SCT of the log %q is of %s, which is yet to come", s.Log, s.Timestamp.Format(time.RFC3339)))
		}
	}
	switch t.Policy {
	case probe.PolicyMet:
		return &probe.CheckResult{Check: probe.CheckSCTs, Passed: true}
	case probe.PolicyMissed:
		return failed("Chrome's policy is not met: " + t.Detail)
	}
	return nil
}

func failed(detail string) *probe.CheckResult {
	return &probe.CheckResult{Check: probe.CheckSCTs, Detail: detail}
}

// verify checks the signatures of the SCTs in the first certificate of chain. Beside
// each is its log; nil: it is not known.
func (l *List) verify(list []sct, chain []*x509.Certificate, now time.Time) (seen []probe.SCT, logs []*log) {
	var precert []byte
	var issuerKey [sha256.Size]byte
	if len(list) > 0 && len(chain) > 1 && string(chain[0].RawIssuer) == string(chain[1].RawSubject) {
		if tbs, err := precertificate(chain[0].RawTBSCertificate); err == nil {
			precert, issuerKey = tbs, sha256.Sum256(chain[1].RawSubjectPublicKeyInfo)
		}
	}
	for i := range list {
		s := &list[i]
		one, log := probe.SCT{Status: probe.SCTUnknown}, (*log)(nil)
		if s.version == versionV1 {
			one.LogID, one.Timestamp, log = base64.StdEncoding.EncodeToString(s.log[:]), s.time(), l.logs[s.log]
		}
		if log != nil {
			one.Log, one.Operator, one.State = log.description, log.operatorAt(one.Timestamp), log.state
			one.Status = s.status(log, issuerKey, precert, now)
		}
		seen, logs = append(seen, one), append(logs, log)
	}
	return seen, logs
}

// status checks the signature of a log that is known; precert is nil if the
// certificate's issuer is not.
func (s *sct) status(l *log, issuerKey [sha256.Size]byte, precert []byte, now time.Time) probe.SCTStatus {
	if precert == nil {
		return probe.SCTUnchecked
	}
	data, err := s.signed(issuerKey, precert)
	switch {
	case err != nil || !s.verifiedBy(l.key, data):
		return probe.SCTInvalid
	case s.time().After(now.Add(maxAhead)):
		// "TLS clients MUST reject SCTs whose timestamp is in the future" (RFC 6962 §5.2).
		return probe.SCTFuture
	}
	return probe.SCTVerified
}
