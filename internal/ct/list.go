package ct

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	_ "embed" // the list that is shipped
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// shipped is what a list says of 2026-10-05 (log_list_timestamp), in Google's JSON
// schema, version 3. It is made from the logs that Chromium 156.0.8078.79 has built
// in. Chromium makes no difference between qualified, usable and read-only logs
// there, and its policy makes none: all of them are usable here. What does not
// matter to SCTs (URLs, intervals, addresses) is left out.
//
//go:embed log_list.json
var shipped []byte

// What is read and kept of a list at most.
const (
	maxLogs  = 10_000
	maxWords = 100 // bytes of a description, or of an operator's name
	// RSA keys of logs have at least 2048 bits (RFC 6962 §2.1.4). Larger ones than
	// that would take too long.
	minRSA, maxRSA = 2048, 8192
)

// maxAge is how old a list may be for what it says of a log's state to be
// believed: as old as Chrome lets its own become.
const maxAge = 70 * 24 * time.Hour

// List is a list of logs. It does not change.
type List struct {
	Timestamp time.Time // when it was published
	logs      map[logID]*log
}

// stale reports whether the list is too old at now.
func (l *List) stale(now time.Time) bool { return now.Sub(l.Timestamp) > maxAge }

// logID is the SHA-256 of a log's key (RFC 6962 §3.2).
type logID [sha256.Size]byte

type log struct {
	description string
	operator    string
	previous    []operator     // oldest first, as lists have them
	state       probe.LogState // empty: the list has none that we know
	since       time.Time      // of the state; zero: not known
	key         crypto.PublicKey
}

// operator is who had a log before.
type operator struct {
	Name string    `json:"name"`
	End  time.Time `json:"end_time"`
}

// operatorAt is who had the log at that time.
func (l *log) operatorAt(t time.Time) string {
	for _, o := range l.previous {
		if t.Before(o.End) {
			return o.Name
		}
	}
	return l.operator
}

// Google's JSON schema, as far as it matters. Fields that are not here, and those
// that will come, are passed over.
type (
	jsonList struct {
		Timestamp time.Time `json:"log_list_timestamp"`
		Operators []struct {
			Name  string    `json:"name"`
			Logs  []jsonLog `json:"logs"`
			Tiled []jsonLog `json:"tiled_logs"` // of the Static CT API; their SCTs are like others
		} `json:"operators"`
	}
	jsonLog struct {
		Description string `json:"description"`
		ID          string `json:"log_id"` // base64
		Key         string `json:"key"`    // base64 of a DER SubjectPublicKeyInfo
		State       map[probe.LogState]struct {
			Timestamp time.Time `json:"timestamp"`
		} `json:"state"`
		Previous []operator `json:"previous_operators"`
	}
)

// Parse reads a list in Google's JSON schema, version 3. A log with a key of a kind
// that RFC 6962 §2.1.4 does not know is left out: its SCTs are those of an unknown
// log.
func Parse(data []byte) (*List, error) {
	var read jsonList
	if err := json.Unmarshal(data, &read); err != nil {
		return nil, fmt.Errorf("not a list of logs: %w", err)
	}
	if read.Timestamp.IsZero() {
		return nil, errors.New("log_list_timestamp is missing: nobody can tell how old the list is")
	}
	list := &List{Timestamp: read.Timestamp.UTC(), logs: map[logID]*log{}}
	for _, o := range read.Operators {
		for _, logs := range [][]jsonLog{o.Logs, o.Tiled} {
			for i := range logs {
				if err := list.add(words(o.Name), &logs[i]); err != nil {
					return nil, fmt.Errorf("the log %q: %w", words(logs[i].Description), err)
				}
			}
		}
	}
	if len(list.logs) == 0 {
		return nil, errors.New("there is no log in it")
	}
	return list, nil
}

func (l *List) add(operatorName string, j *jsonLog) error {
	if len(l.logs) == maxLogs {
		return fmt.Errorf("more than %d logs", maxLogs)
	}
	der, err := base64.StdEncoding.DecodeString(j.Key)
	if err != nil || len(der) == 0 {
		return errors.New("the key is not base64")
	}
	id := logID(sha256.Sum256(der))
	if j.ID != base64.StdEncoding.EncodeToString(id[:]) {
		return errors.New("log_id is not the SHA-256 of the key")
	}
	if l.logs[id] != nil {
		return errors.New("it is there twice")
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return fmt.Errorf("the key cannot be read: %s", words(err.Error()))
	}
	if !verifies(key) {
		return nil
	}
	entry := &log{description: words(j.Description), operator: operatorName, key: key}
	for _, o := range j.Previous {
		entry.previous = append(entry.previous, operator{words(o.Name), o.End})
	}
	// Some lists tell a log's whole life: the last state counts.
	for _, state := range states {
		if s, ok := j.State[state]; ok {
			entry.state, entry.since = state, s.Timestamp.UTC()
		}
	}
	l.logs[id] = entry
	return nil
}

// states has them in the order of a log's life.
var states = []probe.LogState{
	probe.LogPending, probe.LogQualified, probe.LogUsable, probe.LogReadOnly, probe.LogRetired, probe.LogRejected,
}

// verifies reports whether signatures are checked with keys of the kind: ECDSA with
// P-256, and RSA (RFC 6962 §2.1.4).
func verifies(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256()
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA
	}
	return false
}

// words makes s fit to be shown: bounded, in one line.
func words(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxWords)], "")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
