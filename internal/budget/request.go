package budget

import (
	"fmt"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Request asks for all that a run may spend.
type Request struct {
	CA      string   // its directory's URL
	Account string   // what tells our accounts at the CA apart; without spaces
	Names   []string // of the order; wildcards as they are ordered
	// Limits are those in force for the run. None: nothing is taken. What is paused
	// counts for all limits.
	Limits []config.Limit
	Share  float64 // of the limits that others spend from too; above 0, at most 1
	What   probe.Spending
	// Repeats says that the very same set of names is ordered again and again. The
	// ledger remembers when such a set had its last certificate.
	Repeats bool
	// Confirmation marks a run that is to confirm a failure: it may take the tokens
	// that others leave.
	Confirmation bool
}

// Keys returns the keys that a limit counts the request by.
func (r *Request) Keys(limit config.LimitName) []Key {
	list := costs(limit, r.Account, r.Names)
	keys := make([]Key, len(list))
	for i, c := range list {
		keys[i] = Key{r.CA, limit, c.id}
	}
	return keys
}

// limit returns the limit in force of that name; nil: there is none.
func (r *Request) limit(name config.LimitName) *config.Limit {
	i := slices.IndexFunc(r.Limits, func(l config.Limit) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Limits[i]
}

// setKey is where the ledger remembers the last certificate for the names.
func setKey(ca string, names []string) Key {
	return Key{ca, config.LimitCertificatesPerSet, setOf(names)}
}

// charge is what a request takes from one bucket.
type charge struct {
	key    Key
	bucket Bucket
	tokens int
	// look: nothing is taken, but there must be something. CAs look at all limits
	// when an order is made, also at those that they count later.
	look bool
	// unlimited: nothing is taken and none need be there, but a pause counts.
	unlimited bool
}

// charges returns what the request takes, with nothing for limits from which the
// set of names is exempt; a pause of the account concerns that set too.
func (r *Request) charges(exempt bool) (list []charge, err error) {
	for _, limit := range r.Limits {
		if !slices.Contains(config.LimitNames(), limit.Name) {
			return nil, fmt.Errorf("there is no limit %q", limit.Name)
		}
		bucket, err := NewBucket(limit, r.Share)
		if err != nil {
			return nil, err
		}
		spends, looks := r.touches(limit.Name)
		free := exempt && limit.Exempt
		if !spends && !looks || free && limit.Name != config.LimitNewOrders {
			continue
		}
		if !spends {
			bucket.Size, bucket.Kept = limit.Count, 0 // the CA looks at all there is
		}
		for _, c := range costs(limit.Name, r.Account, r.Names) {
			list = append(list, charge{Key{r.CA, limit.Name, c.id}, bucket, c.tokens, !spends, free})
		}
	}
	for _, name := range config.LimitNames() {
		spends, looks := r.touches(name)
		if !spends && !looks || r.limit(name) != nil {
			continue
		}
		for _, key := range r.Keys(name) {
			list = append(list, charge{key: key, unlimited: true})
		}
	}
	return list, nil
}

// touches says whether a limit counts the request, and whether the CA looks at it.
func (r *Request) touches(limit config.LimitName) (spends, looks bool) {
	order := r.What&probe.SpendOrder != 0
	switch limit {
	case config.LimitNewAccountsPerIP, config.LimitNewAccountsPerNetwork:
		return r.What&probe.SpendAccount != 0, false
	case config.LimitNewOrders:
		return order, false
	case config.LimitFailedValidations, config.LimitConsecutiveFailures:
		return r.What&probe.SpendValidation != 0, order
	default:
		return r.What&probe.SpendCertificate != 0, order
	}
}

// Cause says why a request is denied. The list is closed.
type Cause string

// The causes.
const (
	CauseEmpty  Cause = "empty"  // the bucket has too few tokens
	CauseKept   Cause = "kept"   // what it has is kept for confirmation runs
	CausePaused Cause = "paused" // the key is paused
	CauseNever  Cause = "never"  // a full bucket has too few tokens
)

// Denied says why nothing was reserved. Of several reasons it is the one that
// lasts longest.
type Denied struct {
	Key   Key
	Cause Cause
	// At is when the request will be allowed if nothing else is spent until then;
	// zero: not before somebody changes something.
	At time.Time
	// Capacity is the tokens of the full bucket.
	Capacity int
}

// String says it in one sentence.
func (d *Denied) String() string {
	limit := "rate limit " + string(d.Key.Limit)
	if what := d.Key.what(); what != "" {
		limit += fmt.Sprintf(" of %q", what)
	}
	at := d.At.UTC().Format(time.RFC3339)
	switch {
	case d.Cause == CauseNever:
		return fmt.Sprintf("%s: the run needs more than the %d that a full bucket lets it have", limit, d.Capacity)
	case d.Cause == CausePaused && d.At.IsZero():
		return limit + ": paused by the CA until somebody has it lifted"
	case d.Cause == CausePaused:
		return fmt.Sprintf("%s: paused until %s", limit, at)
	case d.Cause == CauseKept:
		return fmt.Sprintf("%s: what is left of %d is kept for confirmation runs; the next one is due at %s", limit, d.Capacity, at)
	default:
		return fmt.Sprintf("%s: all %d are spent; the next one is due at %s", limit, d.Capacity, at)
	}
}

// longer reports whether d lasts longer than other, which may be nil.
func (d *Denied) longer(other *Denied) bool {
	switch {
	case other == nil:
		return true
	case other.At.IsZero() || d.At.IsZero():
		return d.At.IsZero() && !other.At.IsZero()
	}
	return d.At.After(other.At)
}

// Reservation is what was taken for a run, until [Ledger.Settle]. It belongs to
// the run.
type Reservation struct {
	charges []charge // without those that only look
	account string
	set     Key  // where the certificate is to be remembered
	repeats bool // whether it is
	settled bool // guarded by the ledger
}
