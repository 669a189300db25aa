package prober

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestProfile(t *testing.T) {
	b := newBench(t, fakeca.Options{Profiles: map[string]string{"short": "six days"}}).known()
	ask := func(profile string) probe.Facts {
		req := b.request(probe.ProberIssue)
		req.Pair.Module.Issue.Profile = profile
		return runFor(t, 10*time.Second, req)
	}
	before := len(b.ca.Requests())
	wantSuccess(t, ask("short"))
	asked := false
	for _, r := range b.ca.Requests()[before:] {
		asked = asked || r.Call == probe.CallNewOrder && strings.Contains(string(r.Payload), `"profile":"short"`)
	}
	if !asked {
		t.Error("the order did not ask for the profile")
	}

	// What the directory does not offer is not asked for.
	facts := ask("long")
	wantFailure(t, facts, probe.StepOrder, probe.FailureUnsupported, "directory", `offers no profile "long"`)
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce"})

	b.ca.Fault(probe.CallNewOrder, fakeca.Fault{Problem: &fakeca.Problem{Type: "invalidProfile"}}, 1)
	wantFailure(t, ask("short"), probe.StepOrder, probe.FailureCall, "", "new-order answered HTTP 400 invalidProfile")
	b.ca.Fault(probe.CallNewOrder, fakeca.Fault{Edit: fakeca.Set("profile", "classic")}, 1)
	wantFailure(t, ask("short"), probe.StepOrder, probe.FailureProtocol, "order", `the order has the profile "classic", asked for was "short"`)
	// A CA need not say it.
	b.ca.Fault(probe.CallNewOrder, fakeca.Fault{Edit: fakeca.Without("profile")}, 1)
	wantSuccess(t, ask("short"))
}

// Keys are made before anything of the CA's is timed, and the certificate is for
// the one that was made.
func TestKeyTypes(t *testing.T) {
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	for _, keyType := range []string{config.KeyECDSAP256, config.KeyECDSAP384, config.KeyRSA2048} {
		req := b.request(probe.ProberIssue)
		req.Pair.Module.Issue.KeyType = keyType
		facts := runFor(t, 20*time.Second, req)
		wantSuccess(t, facts)
		setup, first := facts.Steps[0], facts.Calls[0]
		if setup.Name != probe.StepSetup || setup.End() > first.Start {
			t.Errorf("%s: setup %+v ends after the first call at %v", keyType, setup, first.Start)
		}
		b.ca.Fault(probe.CallCertificate, fakeca.Fault{Certificate: fakeca.CertificateOtherKey}, 1)
		req = b.request(probe.ProberIssue)
		req.Pair.Module.Issue.KeyType = keyType
		wantFailure(t, runFor(t, 20*time.Second, req), probe.StepCertificate, probe.FailureCertificate, "certificate", "key: the certificate is for another key")
	}
	req := b.request(probe.ProberIssue)
	req.Pair.Module.Issue.KeyType = "dsa"
	wantFailure(t, runFor(t, time.Second, req), probe.StepSetup, probe.FailureLocal, "", `there is no key type "dsa"`)
}

func TestGenerateKey(t *testing.T) {
	for keyType, bits := range map[string]int{
		config.KeyECDSAP256: 256, config.KeyECDSAP384: 384, config.KeyRSA2048: 2048, config.KeyRSA4096: 4096,
	} {
		key, err := generateKey(keyType)
		if err != nil {
			t.Fatal(err)
		}
		if got := keyBits(key.Public()); got != bits || strings.HasPrefix(keyType, "rsa") != (bits > 1000) {
			t.Errorf("%s: %d bits", keyType, got)
		}
	}
}

func keyBits(key crypto.PublicKey) int {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize
	case *rsa.PublicKey:
		return k.N.BitLen()
	}
	return 0
}
