package fakeca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"slices"
	"testing"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
)

// wantProblem holds the type of the problem document that err is; empty: none.
func wantProblem(t *testing.T, what string, err error, kind string) {
	t.Helper()
	problem, ok := errors.AsType[*acme.Error](err)
	switch {
	case kind == "" && err == nil:
	case ok && problem.ProblemType == "urn:ietf:params:acme:error:"+kind:
	default:
		t.Errorf("%s: %v, want %q", what, err, kind)
	}
}

// Every key type signs, and replaces every other.
func TestAccountKeys(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	keys := []crypto.Signer{p256, p384, rsaKey, p384}
	ca := fakeca.New(t, fakeca.Options{})
	c := client(t, ca)
	c.Key, c.KID = keys[0], ""
	if _, err := c.Register(t.Context(), &acme.Account{Contact: []string{"mailto:a@b.example"}}, acme.AcceptTOS); err != nil {
		t.Fatal(err)
	}
	url := string(c.KID)
	for _, next := range keys[1:] {
		before := c.Key
		if err := c.AccountKeyRollover(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		thumbprint, err := acme.JWKThumbprint(next.Public())
		if err != nil {
			t.Fatal(err)
		}
		got := ca.Accounts()
		if len(got) != 1 || got[0].URL != url || got[0].Thumbprint != thumbprint || got[0].Status != "valid" {
			t.Errorf("%+v, want the key %s", got, thumbprint)
		}
		if found, err := c.GetReg(t.Context(), ""); err != nil || found.URI != url {
			t.Errorf("%T: %v, %v", next, found, err)
		}
		c.Key = before
		if _, err := c.GetReg(t.Context(), ""); !errors.Is(err, acme.ErrNoAccount) {
			t.Errorf("the key before %T: %v", next, err)
		}
		_, err = c.UpdateReg(t.Context(), &acme.Account{Contact: []string{"mailto:x@b.example"}})
		wantProblem(t, "signed by the key before", err, map[bool]string{true: "badSignatureAlgorithm", false: "malformed"}[true])
		c.Key = next
	}
	if _, err := c.UpdateReg(t.Context(), &acme.Account{Contact: []string{"mailto:c@d.example"}}); err != nil {
		t.Fatal(err)
	}
	if got := ca.Accounts()[0].Contact; !slices.Equal(got, []string{"mailto:c@d.example"}) {
		t.Errorf("contact %v", got)
	}

	other := client(t, ca)
	if _, err := other.Register(t.Context(), &acme.Account{}, acme.AcceptTOS); err != nil {
		t.Fatal(err)
	}
	if err := other.AccountKeyRollover(t.Context(), c.Key); err == nil {
		t.Error("a key that is in use was taken")
	} else if problem, ok := errors.AsType[*acme.Error](err); !ok || problem.StatusCode != http.StatusConflict || problem.Header.Get("Location") != url {
		t.Errorf("a key that is in use: %v", err)
	}

	if err := c.DeactivateReg(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := c.UpdateReg(t.Context(), &acme.Account{})
	wantProblem(t, "after the deactivation", err, "unauthorized")
	_, err = c.GetReg(t.Context(), "")
	wantProblem(t, "its key", err, "unauthorized")
}

func TestExternalAccountIsBoundOnce(t *testing.T) {
	hmac := []byte("a key that is thirty-two bytes..")
	ca := fakeca.New(t, fakeca.Options{EAB: map[string][]byte{"kid": hmac}})
	account := &acme.Account{ExternalAccountBinding: &acme.ExternalAccountBinding{KID: "kid", Key: hmac}}
	for _, want := range []string{"", "unauthorized"} {
		c := client(t, ca)
		c.KID = ""
		_, err := c.Register(t.Context(), account, acme.AcceptTOS)
		wantProblem(t, "register", err, want)
	}
}
