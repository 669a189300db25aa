package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
)

// Store keeps what is known of mails, durably when Put returns. One process has it
// at a time.
type Store interface {
	// Get returns the JSON that was put; nil: there is none.
	Get(bucket, key string) ([]byte, error)
	Put(bucket, key string, value any) error
}

// bucket is where a Store has our records, by Message-ID.
const bucket = "mail"

// The conditions of a mail.
const (
	conditionSending = "sending" // its end was sent, or is about to be: it may have been accepted
	conditionRefused = "refused" // the server has said that it does not take it
	conditionSent    = "sent"
)

// record is what is kept of a mail.
type record struct {
	Condition string    `json:"condition"`
	At        time.Time `json:"at"`               // since when
	Answer    string    `json:"answer,omitempty"` // the server's, of what was sent
}

// defaultWaits together are longer than the five minutes for which servers commonly
// make strangers wait.
var defaultWaits = []time.Duration{10 * time.Second, 30 * time.Second, 90 * time.Second, 5 * time.Minute}

// ErrUnsure is the error of a mail that may have been delivered, in this run or in an
// earlier one: it is not sent again by itself.
var ErrUnsure = errors.New("it may have been delivered")

// unsure is an ErrUnsure with a text of its own.
type unsure struct{ error }

func (u unsure) Unwrap() error        { return u.error }
func (u unsure) Is(target error) bool { return target == ErrUnsure }

// Delivery is how a mail is delivered.
type Delivery struct {
	To     *config.Email
	Store  Store
	Logger *slog.Logger
	// Again sends what was sent already, or may have been.
	Again bool
	// Waits are between attempts; nil: 10 s, 30 s, 90 s and 5 min.
	Waits []time.Duration

	dial func(context.Context, *config.SMTP) (net.Conn, error) // nil: dial
}

// Outcome is what became of a mail.
type Outcome struct {
	ID      string    // its Message-ID
	At      time.Time // when it was accepted
	Answer  string    // what the server said then
	Already bool      // that was in an earlier run; nothing was sent in this one
}

// Deliver has the server take the message, unless it has taken it before. What fails
// for a reason that may pass is tried again, as often as there are Waits.
//
// It delivers at most once. What could have made a second mail is an error that
// is an [ErrUnsure], and no attempt: an end of the program, or a loss of the connection, between
// the last byte of the mail and the server's answer. Delivery.Again overrules it.
func (d *Delivery) Deliver(ctx context.Context, m *Message) (*Outcome, error) {
	id := m.ID(d.To)
	before, err := d.known(id)
	if err != nil {
		return nil, err
	}
	if !d.Again {
		if earlier, err := before.outcome(id); earlier != nil || err != nil {
			return earlier, err
		}
	}
	eml, err := m.Bytes(d.To)
	if err != nil {
		return nil, err
	}
	waits := d.Waits
	if waits == nil {
		waits = defaultWaits
	}
	connect := d.dial
	if connect == nil {
		connect = dial
	}
	for attempt := 0; ; attempt++ {
		noted := false
		answer, err := converse(ctx, connect, d.To, eml, func() error {
			noted = true
			return d.put(id, conditionSending, "")
		})
		if err == nil {
			at := time.Now()
			if err := d.put(id, conditionSent, answer); err != nil {
				return nil, unsure{fmt.Errorf("the mail was accepted, and that cannot be noted, so that the next run will ask what became of it: %w", err)}
			}
			return &Outcome{ID: id, At: at, Answer: answer}, nil
		}
		if _, ok := errors.AsType[*lost](err); ok {
			return nil, unsure{fmt.Errorf("%w. %s", err, unknown(id))}
		}
		if noted {
			if err := d.restore(id, before); err != nil {
				return nil, err
			}
		}
		cause, ok := errors.AsType[*refusal](err)
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("the mail was not sent: %w", context.Cause(ctx))
		case !ok || cause.final:
			return nil, fmt.Errorf("the mail was not sent: %w", err)
		case attempt == len(waits):
			return nil, fmt.Errorf("the mail was not sent, in %d attempts: %w", attempt+1, err)
		}
		d.Logger.Warn("The mail was not sent; it will be tried again", "err", err, "in", waits[attempt].String(), "attempt", attempt+1)
		select {
		case <-time.After(waits[attempt]):
		case <-ctx.Done():
			return nil, fmt.Errorf("the mail was not sent: %w", context.Cause(ctx))
		}
	}
}

// known returns what is kept of the mail, of earlier runs; nil: nothing.
func (d *Delivery) known(id string) (*record, error) {
	data, err := d.Store.Get(bucket, id)
	if err != nil || data == nil {
		return nil, err
	}
	r := new(record)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("what is stored of the mail %s cannot be read: %w", id, err)
	}
	return r, nil
}

// outcome tells what became of the mail; nil: it is to be sent.
func (r *record) outcome(id string) (*Outcome, error) {
	switch {
	case r == nil || r.Condition == conditionRefused:
		return nil, nil
	case r.Condition == conditionSent:
		return &Outcome{ID: id, At: r.At, Answer: r.Answer, Already: true}, nil
	default:
		return nil, unsure{fmt.Errorf("an earlier run ended at %s while this mail was being sent. %s", r.At.UTC().Format(time.RFC3339), unknown(id))}
	}
}

// unknown says what to do about a mail that may have been accepted.
func unknown(id string) string {
	return fmt.Sprintf("It may have been delivered, and is not sent again by itself: look for the Message-ID <%s> in a recipient's mailbox, or in the server's log. If it is not there, send it with --email.again", id)
}

// restore notes after a refusal what was known of the mail before: one that was sent, or
// may have been, still was, though another could not be sent with --email.again.
func (d *Delivery) restore(id string, before *record) error {
	if before == nil {
		return d.put(id, conditionRefused, "")
	}
	return d.Store.Put(bucket, id, before)
}

func (d *Delivery) put(id, condition, answer string) error {
	return d.Store.Put(bucket, id, record{Condition: condition, At: time.Now().UTC(), Answer: answer})
}
