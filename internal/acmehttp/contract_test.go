package acmehttp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// signed is a request as a CA sees it (RFC 8555 §6.2).
type signed struct {
	path, payload string
	header        struct {
		URL   string          `json:"url"`
		KID   string          `json:"kid"`
		JWK   json.RawMessage `json:"jwk"`
		Nonce string          `json:"nonce"`
	}
}

// contract is a CA that keeps what is sent to it.
type contract struct {
	mu   sync.Mutex // guards seen
	seen []signed
}

func (c *contract) handle(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/dir" {
		w.Header().Set("Replay-Nonce", "bm9uY2U")
	}
	w.Header().Set("Content-Type", "application/json")
	answer := func(status int, body string) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(strings.ReplaceAll(body, "BASE", "https://"+r.Host)))
	}
	if r.Method != http.MethodPost {
		answer(http.StatusOK, `{"newNonce":"BASE/nonce","newAccount":"BASE/account","newOrder":"BASE/order"}`)
		return
	}
	var jws struct{ Protected, Payload string }
	if err := json.NewDecoder(r.Body).Decode(&jws); err != nil {
		answer(http.StatusBadRequest, "")
		return
	}
	s := signed{path: r.URL.Path}
	protected, _ := base64.RawURLEncoding.DecodeString(jws.Protected)
	payload, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	_ = json.Unmarshal(protected, &s.header)
	s.payload = string(payload)
	c.mu.Lock()
	c.seen = append(c.seen, s)
	c.mu.Unlock()
	switch r.URL.Path {
	case "/nonce-is-bad":
		w.Header().Set("Content-Type", "application/problem+json")
		answer(http.StatusBadRequest, `{"type":"urn:ietf:params:acme:error:badNonce","status":400}`)
	case "/down":
		answer(http.StatusInternalServerError, `<html>`)
	case "/order":
		w.Header().Set("Location", "/order/1")
		answer(http.StatusCreated, `{"status":"pending","finalize":"BASE/finalize","authorizations":[]}`)
	default:
		answer(http.StatusOK, `{"status":"processing","raw":"kept"}`)
	}
}

func (c *contract) last(t *testing.T) signed {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) == 0 {
		t.Fatal("nothing was posted")
	}
	return c.seen[len(c.seen)-1]
}

// TestClientContract pins what the probers rely on in golang.org/x/crypto/acme,
// some of it beyond its documentation: an update that changes it fails here.
func TestClientContract(t *testing.T) {
	a := newAuthority(t)
	ca := &contract{}
	srv := a.serve(t, ca.handle)
	s := a.session(t, srv.URL)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	client := &acme.Client{
		Key: key, KID: "https://ca.example/account/1", DirectoryURL: srv.URL + "/dir", HTTPClient: s.Client(),
		RetryBackoff: func(int, *http.Request, *http.Response) time.Duration { return -1 },
	}
	exchange := func(call probe.CallName) (context.Context, *Exchange) {
		e := NewExchange(probe.StepOrder, call)
		return WithExchange(t.Context(), e), e
	}

	t.Run("Accept posts any body to any URL", func(t *testing.T) {
		ctx, e := exchange(probe.CallFinalize)
		const body = `{"csr":"AQAB","unheard-of":[1]}`
		if _, err := client.Accept(ctx, &acme.Challenge{URI: srv.URL + "/any", Payload: json.RawMessage(body)}); err != nil {
			t.Fatal(err)
		}
		got := ca.last(t)
		if got.path != "/any" || got.payload != body || got.header.URL != srv.URL+"/any" {
			t.Errorf("posted %+v", got)
		}
		if got.header.KID != string(client.KID) || got.header.JWK != nil || got.header.Nonce == "" {
			t.Errorf("signed with %+v", got.header)
		}
		if e.Response == nil || !strings.Contains(string(e.Response.Body), `"raw":"kept"`) {
			t.Errorf("raw answer %+v", e.Response)
		}
		if want := "directory new-nonce finalize"; names(s.Calls()) != want { // and no look-up of the account
			t.Errorf("calls %q, want %q", names(s.Calls()), want)
		}
	})
	t.Run("Accept of another status is an error, and sent once", func(t *testing.T) {
		n := len(s.Calls())
		ctx, e := exchange("")
		_, err := client.Accept(ctx, &acme.Challenge{URI: srv.URL + "/order", Payload: json.RawMessage(`{"replaces":"a.b"}`)})
		if err == nil {
			t.Error("no error")
		}
		if e.Response == nil || e.Response.Status != http.StatusCreated || e.Response.Header.Get("Location") != "/order/1" {
			t.Errorf("raw answer %+v", e.Response)
		}
		if got := names(s.Calls()[n:]); got != "new-order" {
			t.Errorf("calls %q", got)
		}
	})
	t.Run("GetChallenge is a POST-as-GET of any URL", func(t *testing.T) {
		n := len(s.Calls())
		ctx, e := exchange("")
		if _, err := client.GetChallenge(ctx, srv.URL+"/order/1"); err != nil {
			t.Fatal(err)
		}
		got := ca.last(t)
		if got.path != "/order/1" || got.payload != "" || got.header.KID != string(client.KID) {
			t.Errorf("posted %+v", got)
		}
		if got := names(s.Calls()[n:]); got != "order" || e.CallIndex != n {
			t.Errorf("calls %q, the last of them %d", got, e.CallIndex)
		}
	})
	t.Run("a negative RetryBackoff stops every retry", func(t *testing.T) {
		for path, status := range map[string]int{"/nonce-is-bad": 400, "/down": 500} {
			n := len(s.Calls())
			ctx, e := exchange(probe.CallAuthz)
			_, err := client.GetChallenge(ctx, srv.URL+path)
			if _, ok := errors.AsType[*acme.Error](err); !ok {
				t.Errorf("%s: error %v", path, err)
			}
			posts := strings.Count(names(s.Calls()[n:]), string(probe.CallAuthz))
			if posts != 1 || e.Response == nil || e.Response.Status != status {
				t.Errorf("%s: %d posts, answer %+v", path, posts, e.Response)
			}
		}
	})
	t.Run("without KID there is a request more", func(t *testing.T) {
		fresh := a.session(t, srv.URL)
		other := &acme.Client{Key: key, DirectoryURL: client.DirectoryURL, HTTPClient: fresh.Client(), RetryBackoff: client.RetryBackoff}
		ctx, _ := exchange(probe.CallOrder)
		_, _ = other.GetChallenge(ctx, srv.URL+"/any")
		// Both posts have the name that the sequencer gave.
		if got, want := names(fresh.Calls()), "directory new-nonce order order"; got != want || ca.last(t).path != "/any" {
			t.Errorf("calls %q, want %q", got, want)
		}
	})
}
