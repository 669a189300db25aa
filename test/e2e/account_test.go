package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// bindingKey is the key of an external account.
const bindingKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"

// run runs acme_exporter, which must end with the exit status, and returns its
// standard output, or its standard error if it fails.
func run(t *testing.T, e *parts.Exporter, status int, args ...string) string {
	t.Helper()
	stdout, stderr, got := e.Run(args...)
	if got != status {
		t.Fatalf("%v: exit status %d, want %d\n%s%s", args, got, status, stdout, stderr)
	}
	if status != 0 {
		return stderr
	}
	return stdout
}

// shown is what account show says.
type shown struct {
	AccountURL string   `json:"account_url"`
	Status     string   `json:"status"`
	Contact    []string `json:"contact"`
	KeyType    string   `json:"key_type"`
	Thumbprint string   `json:"key_thumbprint"`
	Rotating   string   `json:"rotation_unsettled_since"`
	Binding    string   `json:"external_account"`
}

func show(t *testing.T, e *parts.Exporter) (s shown) {
	t.Helper()
	if err := json.Unmarshal([]byte(run(t, e, 0, "account", "show", parts.Target, "-o", "json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAccountLife takes an account through everything that can be done with it.
func TestAccountLife(t *testing.T) {
	t.Parallel()
	for _, authority := range authorities {
		t.Run(authority.name, func(t *testing.T) {
			t.Parallel()
			ports := parts.NewPorts(t)
			e := parts.NewExporter(t, ports, authority.start(t, ports))
			if got := show(t, e); got.Status != "none" || got.AccountURL != "" {
				t.Errorf("at first %+v", got)
			}
			run(t, e, 0, "account", "register", parts.Target)
			first := show(t, e)
			if first.Status != "valid" || first.AccountURL == "" || first.KeyType != "ecdsa-p256" || first.Contact[0] != "mailto:test@acme-probe.example" {
				t.Errorf("registered: %+v", first)
			}

			// New contacts, sent by the next run.
			e.Reconfigure("mailto:test@acme-probe.example", "mailto:new@acme-probe.example")
			result := e.Probe("account")
			checkNames(t, result)
			if n := count(result, probe.CallAccount); n != 2 {
				t.Errorf("%d calls to the account, want 2", n)
			}
			if got := show(t, e); got.Contact[0] != "mailto:new@acme-probe.example" {
				t.Errorf("updated: %+v", got)
			}

			// Every type of key.
			before := first
			for _, keyType := range []string{"ecdsa-p384", "rsa-2048", "ecdsa-p256"} {
				e.Reconfigure("agree_to_terms: true}", "agree_to_terms: true, key_type: "+keyType+"}")
				if authority.name == "step-ca" {
					// It has no key change; the key stays.
					if text := run(t, e, 1, "account", "rotate", parts.Target); !strings.Contains(text, "the CA does not offer") || !strings.Contains(text, "--new-key") {
						t.Errorf("rotate: %s", text)
					}
					run(t, e, 0, "account", "deactivate", parts.Target, "--yes")
					run(t, e, 0, "account", "register", parts.Target, "--new-key")
				} else {
					run(t, e, 0, "account", "rotate", parts.Target)
				}
				got := show(t, e)
				if got.KeyType != keyType || got.Thumbprint == before.Thumbprint || got.Status != "valid" || got.Rotating != "" ||
					authority.name != "step-ca" && got.AccountURL != first.AccountURL {
					t.Errorf("%s: %+v", keyType, got)
				}
				before = got
				result := e.Probe("order")
				checkNames(t, result)
				if !result.Verdict.Success() {
					t.Errorf("%s: %+v", keyType, result.Verdict)
				}
				e.Reconfigure(", key_type: "+keyType+"}", "}")
			}

			run(t, e, 0, "account", "deactivate", parts.Target, "--yes")
			if text := run(t, e, 1, "account", "rotate", parts.Target); !strings.Contains(text, "--new-key") {
				t.Errorf("rotate a deactivated account: %s", text)
			}
			run(t, e, 0, "account", "register", parts.Target, "--new-key")
			if got := show(t, e); got.Status != "valid" || got.AccountURL == first.AccountURL {
				t.Errorf("begun anew: %+v", got)
			}
			e.Probe("validate")
		})
	}
}

func count(r *probe.Result, name probe.CallName) (n int) {
	for _, c := range r.Calls {
		if c.Name == name && c.Attempt == 0 {
			n++
		}
	}
	return n
}

// TestRotateWhileServing holds that an exporter that runs takes the new key.
func TestRotateWhileServing(t *testing.T) {
	t.Parallel()
	_, e := setUp(t)
	e.Scrape("order")
	for range 3 {
		before := show(t, e)
		run(t, e, 0, "account", "rotate", parts.Target)
		if got := show(t, e); got.Thumbprint == before.Thumbprint || got.AccountURL != before.AccountURL {
			t.Errorf("rotated from %+v to %+v", before, got)
		}
		e.Scrape("account")
		e.Scrape("issue_dns")
	}
	m := e.Metrics()
	if failed := m.Sum("acme_probes_total", "outcome", "failure"); failed != 0 {
		t.Errorf("%v runs failed", failed)
	}
	if passed := m.Sum("acme_probes_total", "module", "issue_dns", "outcome", "success"); passed == 0 {
		t.Error("nothing was issued")
	}
}

// TestRotateKilled kills the command before the CA hears of the new key, and
// after the CA has taken it and before the command knows. Then it all works.
func TestRotateKilled(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		hold  func(*parts.Pebble)
		taken bool
	}{
		{"before the CA hears of it", func(p *parts.Pebble) { p.Hold(parts.PebbleKeyChange, 0) }, false},
		{"after the CA has taken it", func(p *parts.Pebble) { p.HoldAnswers(parts.PebbleKeyChange) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ports := parts.NewPorts(t)
			pebble := parts.StartPebble(t, ports, "-nonce-reject=0", "-validation-sleep=0")
			e := parts.NewExporter(t, ports, pebble.CA)
			run(t, e, 0, "account", "register", parts.Target)
			before := show(t, e)

			test.hold(pebble)
			kill(t, pebble, e, "account", "rotate", parts.Target)
			if got := show(t, e); got.Rotating == "" || got.Status != "valid" || got.Thumbprint != before.Thumbprint {
				t.Errorf("after the kill: %+v", got)
			}
			e.Probe("order")
			got := show(t, e)
			if (got.Thumbprint != before.Thumbprint) != test.taken || (got.Rotating == "") != test.taken {
				t.Errorf("after a run: %+v, before %+v", got, before)
			}
			run(t, e, 0, "account", "rotate", parts.Target)
			if got := show(t, e); got.Thumbprint == before.Thumbprint || got.Rotating != "" || got.AccountURL != before.AccountURL {
				t.Errorf("rotated: %+v, before %+v", got, before)
			}
			e.Probe("issue_http")
		})
	}
}

// kill begins a command, and kills it when the CA holds its request.
func kill(t *testing.T, pebble *parts.Pebble, e *parts.Exporter, args ...string) {
	t.Helper()
	p := e.Begin(args...)
	parts.Until(t, "a request is held", func() bool { return pebble.Held() == 1 })
	if err := p.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	_ = p.Err() // it was killed
	parts.Until(t, "nothing is held", func() bool { return pebble.Held() == 0 })
	pebble.Release()
}

// TestBindingKilled kills the exporter after the CA has bound the external
// account and before the exporter knows: the binding is not used again.
func TestBindingKilled(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, "-nonce-reject=0", "-validation-sleep=0", "-external-account=kid-1="+bindingKey)
	e := parts.NewExporter(t, ports, pebble.CA)
	if text := run(t, e, 1, "account", "register", parts.Target); !strings.Contains(text, "external account binding") {
		t.Errorf("without a binding: %s", text)
	}
	e.Reconfigure("agree_to_terms: true}", "agree_to_terms: true, external_account_binding: {key_id: kid-1, hmac_key: "+bindingKey+"}}")

	pebble.HoldAnswers(parts.PebbleNewAccount)
	e.Serve()
	// Two requests: the look-up of a key that is not new any more, then the
	// creation. The first is let go.
	e.Trigger("order")
	parts.Until(t, "the look-up is held", func() bool { return pebble.Held() == 1 })
	pebble.Release()
	pebble.HoldAnswers(parts.PebbleNewAccount)
	parts.Until(t, "the creation is held or done", func() bool { return len(pebble.Statuses(parts.PebbleNewAccount)) >= 2 })
	e.Kill()
	pebble.Release()

	if got := pebble.Statuses(parts.PebbleNewAccount); len(got) != 2 || got[0] != 400 || got[1] != 201 {
		t.Fatalf("new-account was answered %v, want 400 and 201", got)
	}
	e.Serve()
	e.Scrape("order")
	got := pebble.Statuses(parts.PebbleNewAccount)
	for _, status := range got[2:] {
		if status != 200 {
			t.Errorf("new-account was answered %v, want the account found", got)
		}
	}
	if s := show(t, e); s.Status != "valid" || s.Binding != "kid-1" {
		t.Errorf("%+v", s)
	}
	if strings.Contains(pebble.Log(), bindingKey) {
		t.Error("the key of the binding was sent")
	}
}

// TestBindingOnce takes an external account that can be bound once through what
// may go wrong: a refusal, a lost record, another key.
func TestBindingOnce(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	e := parts.NewExporter(t, ports, *parts.StartBindingStepCA(t, ports, "kid-1", bindingKey))
	bind := func(id string) string {
		return "external_account_binding: {key_id: " + id + ", hmac_key: " + bindingKey + "}}"
	}
	e.Reconfigure("agree_to_terms: true}", "agree_to_terms: true, "+bind("nobody"))
	if text := run(t, e, 1, "account", "register", parts.Target); !strings.Contains(text, "the next try is at") {
		t.Errorf("with an unknown external account: %s", text)
	}
	e.Reconfigure(bind("nobody"), bind("kid-1"))
	if stdout, _, status := e.Run("probe", parts.Target, "account", "-o", "json"); status != 1 || !strings.Contains(stdout, "the account could not be created at") {
		t.Errorf("within the hour: exit status %d, %s", status, stdout)
	}
	run(t, e, 0, "account", "register", parts.Target)
	first := show(t, e)
	if first.Status != "valid" || first.Binding != "kid-1" {
		t.Errorf("bound: %+v", first)
	}
	e.Probe("order")

	// As if it had been killed before it could store what the CA has said.
	if err := os.Remove(e.State("accounts/ca.json")); err != nil {
		t.Fatal(err)
	}
	result := e.Probe("order")
	checkNames(t, result)
	if n := count(result, probe.CallNewAccount); n != 1 {
		t.Errorf("%d calls to new-account, want one that asks", n)
	}
	if got := show(t, e); got.AccountURL != first.AccountURL || got.Thumbprint != first.Thumbprint {
		t.Errorf("found %+v, want %+v", got, first)
	}

	// Which step-ca calls an internal error of its own.
	if text := run(t, e, 1, "account", "register", parts.Target, "--new-key"); !strings.Contains(text, "\nnew-account: POST ") {
		t.Errorf("bound twice: %s", text)
	}
	aside, err := filepath.Glob(e.State("accounts/ca.old-*"))
	if got := show(t, e); err != nil || len(aside) != 2 || got.Status != "none" {
		t.Errorf("afterwards %+v, put aside %v, %v", got, aside, err)
	}
}
