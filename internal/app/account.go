package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
	"github.com/acme-exporter/acme_exporter/prober"
)

// accountTimeout bounds an account command, the wait for whoever else works on
// the account included.
const accountTimeout = time.Minute

// AccountOptions are the arguments of the account commands.
type AccountOptions struct {
	Operation string // "show", "register", "rotate" or "deactivate"
	Target    string
	Output    string // of show: "text" or "json"
	Yes       bool   // deactivate: it is meant
	NewKey    bool   // register: put the account that is there aside
}

// Account does something about the account of a target, now, and says what.
func Account(ctx context.Context, common Common, o AccountOptions) error {
	if o.Operation == string(prober.AccountShow) && o.Output != "text" && o.Output != "json" {
		return usageError{fmt.Errorf("--output=%s: must be one of text, json", o.Output)}
	}
	cfg, err := common.load()
	if err != nil {
		return err
	}
	target := cfg.Targets[o.Target]
	if target == nil {
		known := slices.Sorted(maps.Keys(cfg.Targets))
		return usageError{fmt.Errorf("unknown target %q: configured are %s", o.Target, strings.Join(known, ", "))}
	}
	if o.Operation == string(prober.AccountDeactivate) && !o.Yes {
		return usageError{fmt.Errorf("account deactivate %s: the CA cannot undo it: add --yes if it is meant", o.Target)}
	}
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	accounts := state.NewAccounts(common.StateDir)
	if o.NewKey {
		if err := putAside(ctx, accounts, o.Target); err != nil {
			return err
		}
	}
	facts, report, err := operate(ctx, common.StateDir, accounts, target, o)
	if err != nil {
		return err
	}
	if o.Operation == string(prober.AccountShow) {
		if err := printAccount(common.Stdout, newAccountView(o.Target, target, report), o.Output); err != nil {
			return err
		}
	} else if facts.Failure == nil {
		fmt.Fprintf(common.Stdout, "account %s %s: %s\n", o.Operation, o.Target, outcome(report, o.Target))
	}
	return accountFailure(o, &facts)
}

// putAside renames the files of the account, so that another can be made.
func putAside(ctx context.Context, accounts *state.Accounts, name string) error {
	held, err := accounts.Hold(ctx, name)
	if err != nil {
		return err
	}
	defer held.Release()
	return held.PutAside()
}

// operate does the operation. Its error is one of setting it up.
func operate(ctx context.Context, dir string, accounts *state.Accounts, target *config.Target, o AccountOptions) (_ probe.Facts, _ prober.AccountReport, err error) {
	pair := config.Pair{
		Pair:   probe.Pair{Target: o.Target, Module: string(probe.ProberAccount)},
		Target: target,
		Module: &config.Module{Prober: probe.ProberAccount},
	}
	kept := &store{dir: dir}
	if o.Operation == string(prober.AccountRegister) {
		// What it spends is kept, unless an exporter holds the store.
		if err := kept.take(probe.ProberAccount); err != nil {
			return probe.Facts{}, prober.AccountReport{}, err
		}
		defer func() { err = errors.Join(err, kept.close()) }()
	}
	book := budget.NewBook(kept)
	if err := book.Load(time.Now()); err != nil {
		return probe.Facts{}, prober.AccountReport{}, err
	}
	transport, err := (&executor{book: book}).newTransport(pair)
	if err != nil {
		return probe.Facts{}, prober.AccountReport{}, err
	}
	defer transport.Close()
	start := time.Now()
	session := transport.Session(start)
	defer session.Close()
	facts, report := prober.OperateAccount(ctx, prober.Request{
		ID:       probe.NewID(start),
		Start:    start,
		Pair:     pair,
		HTTP:     session,
		Accounts: targetAccounts{accounts, o.Target, target.Account.KeyType},
		Budget:   book.Purse(pair, false),
	}, prober.AccountOperation(o.Operation))
	return facts, report, nil
}

// outcome says what an operation has done, and what it has left.
func outcome(r prober.AccountReport, target string) string {
	text := r.Did
	switch {
	case r.Record.Status == prober.AccountDeactivated:
		return text + ": `acme_exporter account register " + target + " --new-key` makes a new one"
	case r.Record.AccountURL != "":
		text += ": " + r.Record.AccountURL
	}
	if key := r.Key; key != nil {
		text += ", key " + state.KeyType(key.Public()) + " " + thumbprint(r)
	}
	return text
}

// accountFailure is what an operation has failed with: the verdict, and the call
// that it hangs on. Nil: it has not failed.
func accountFailure(o AccountOptions, facts *probe.Facts) error {
	if facts.Failure == nil {
		return nil
	}
	text := verdict.Judge(facts, verdict.Context{}).Summary
	if i := facts.Failure.Call; i >= 0 && i < len(facts.Calls) {
		c := &facts.Calls[i]
		answer := "no answer"
		if c.Status != 0 {
			answer = fmt.Sprintf("HTTP %d", c.Status)
		}
		text += fmt.Sprintf("\n%s: %s %s: %s after %d ms", c.Name, c.Method, c.URL, answer, (c.End - c.Start).Milliseconds())
	}
	return fmt.Errorf("account %s %s: %s", o.Operation, o.Target, text)
}

// accountView is what account show shows.
type accountView struct {
	Target       string `json:"target"`
	DirectoryURL string `json:"directory_url"`
	AccountURL   string `json:"account_url,omitempty"`
	// Status is the CA's word, or "none", "unknown" if the CA could not be asked,
	// "deactivating" or "deactivated".
	Status  string   `json:"status"`
	Contact []string `json:"contact"` // what the CA was last sent
	// ToSend is what the next run sends instead; nil: nothing.
	ToSend      []string   `json:"contact_to_send,omitempty"`
	KeyType     string     `json:"key_type,omitempty"`
	Thumbprint  string     `json:"key_thumbprint,omitempty"` // RFC 7638
	Binding     string     `json:"external_account,omitempty"`
	Created     *time.Time `json:"created,omitempty"`
	Rotated     *time.Time `json:"rotated,omitempty"`
	Deactivated *time.Time `json:"deactivated,omitempty"`
	// Rotating is since when the outcome of a rotation is not known.
	Rotating *time.Time             `json:"rotation_unsettled_since,omitempty"`
	Creation *prober.AccountAttempt `json:"last_attempt_to_create,omitempty"`
}

func newAccountView(name string, target *config.Target, r prober.AccountReport) accountView {
	v := accountView{Target: name, DirectoryURL: target.DirectoryURL, Status: "none", Contact: []string{}}
	if r.Key != nil {
		v.KeyType, v.Thumbprint = state.KeyType(r.Key.Public()), thumbprint(r)
	}
	if r.Staged != nil {
		v.Rotating = moment(r.StagedAt)
	}
	k := &r.Record
	if k.DirectoryURL != target.DirectoryURL {
		return v // what is known is about another CA
	}
	v.Creation = k.Creation
	if k.AccountURL == "" {
		return v
	}
	v.AccountURL, v.Binding, v.Status = k.AccountURL, k.Binding, r.Status
	v.Contact = append(v.Contact, k.Contact...)
	switch {
	case k.Status != "" && (r.Status == "" || r.Status == acme.StatusValid):
		v.Status = string(k.Status)
	case v.Status == "":
		v.Status = "unknown"
	}
	if !slices.Equal(k.Contact, target.Account.Contact) && k.Status == "" {
		v.ToSend = append([]string{}, target.Account.Contact...)
	}
	v.Created, v.Rotated, v.Deactivated = moment(k.Created), moment(k.Rotated), moment(k.Deactivated)
	return v
}

// moment returns nil for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

func thumbprint(r prober.AccountReport) string {
	text, err := acme.JWKThumbprint(r.Key.Public())
	if err != nil {
		return "" // of a key that no account can have
	}
	return text
}

func printAccount(w io.Writer, v accountView, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-18s%s\n", name, value)
		}
	}
	when := func(name string, t *time.Time) {
		if t != nil {
			line(name, t.Format(time.RFC3339))
		}
	}
	line("target", v.Target)
	line("directory", v.DirectoryURL)
	line("account", v.AccountURL)
	line("status", v.Status+advice(v))
	if v.AccountURL != "" {
		line("contact", list(v.Contact))
		if v.ToSend != nil {
			line("contact to send", list(v.ToSend))
		}
	}
	if v.KeyType != "" {
		line("key", v.KeyType+", thumbprint "+v.Thumbprint)
	}
	line("external account", v.Binding)
	when("created", v.Created)
	when("rotated", v.Rotated)
	when("deactivated", v.Deactivated)
	when("rotating since", v.Rotating)
	if a := v.Creation; a != nil {
		line("last attempt", strings.TrimSuffix(a.At.Format(time.RFC3339)+", "+a.Result, ", "))
	}
	return nil
}

// advice is what to do about the status, in text.
func advice(v accountView) string {
	switch v.Status {
	case "none":
		return ": `acme_exporter account register " + v.Target + "`, or the first run that signs, makes one"
	case string(prober.AccountDeactivating):
		return ": finish it with `acme_exporter account deactivate " + v.Target + " --yes`, or keep it with `acme_exporter account register " + v.Target + "`"
	case acme.StatusDeactivated, acme.StatusRevoked:
		return ": `acme_exporter account register " + v.Target + " --new-key` makes a new one"
	}
	return ""
}

func list(contact []string) string {
	if len(contact) == 0 {
		return "none"
	}
	return strings.Join(contact, ", ")
}
