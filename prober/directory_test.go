package prober

import (
	"net/http"
	"slices"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestDirectory(t *testing.T) {
	b := newBench(t, fakeca.Options{
		Terms:    "https://ca.example/terms",
		EAB:      map[string][]byte{"k": []byte("secret")},
		Profiles: map[string]string{"short": "s", "classic": "c"},
	})
	facts := b.run(probe.ProberDirectory)
	wantSuccess(t, facts)
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory"})
	d := facts.Directory
	wantList(t, "endpoints", d.Endpoints, requiredFields)
	wantList(t, "profiles", d.Profiles, []string{"classic", "short"})
	wantList(t, "CAA identities", d.CAAIdentities, []string{"ca.example"})
	if d.TermsOfService != "https://ca.example/terms" || d.Website != "https://ca.example" || !d.ExternalAccountRequired {
		t.Errorf("directory %+v", d)
	}
}

func TestDirectoryBroken(t *testing.T) {
	type kind = probe.FailureKind
	for _, tt := range []struct {
		name   string
		fault  fakeca.Fault
		kind   kind
		detail string
	}{
		{"without newNonce", fakeca.Fault{Edit: fakeca.Without("newNonce")}, probe.FailureProtocol, "the directory lacks newNonce"},
		{"without newAccount", fakeca.Fault{Edit: fakeca.Without("newAccount")}, probe.FailureProtocol, "the directory lacks newAccount"},
		{"without newOrder", fakeca.Fault{Edit: fakeca.Without("newOrder")}, probe.FailureProtocol, "the directory lacks newOrder"},
		{"without revokeCert", fakeca.Fault{Edit: fakeca.Without("revokeCert")}, probe.FailureProtocol, "the directory lacks revokeCert"},
		{"without keyChange", fakeca.Fault{Edit: fakeca.Without("keyChange")}, probe.FailureProtocol, "the directory lacks keyChange"},
		{"http", fakeca.Fault{Edit: fakeca.WithScheme("http")}, probe.FailureProtocol, "the directory's newNonce is not https, but http"},
		{"204", fakeca.Fault{Status: http.StatusNoContent}, probe.FailureCall, "directory answered HTTP 204, which is not its status"},
		{"relative", fakeca.Fault{Edit: fakeca.Set("newOrder", "/order")}, probe.FailureProtocol, "the directory's newOrder is not an absolute https URL"},
		{"no host", fakeca.Fault{Edit: fakeca.Set("keyChange", "https:///x")}, probe.FailureProtocol, "the directory's keyChange is not"},
		{"a number", fakeca.Fault{Edit: fakeca.Set("newOrder", 1)}, probe.FailureProtocol, "the directory cannot be read: json: cannot unmarshal number"},
		{"odd meta", fakeca.Fault{Edit: fakeca.Set("meta", "x")}, probe.FailureProtocol, "the directory cannot be read"},
		{"HTML", fakeca.Fault{HTML: true}, probe.FailureProtocol, "the directory cannot be read: invalid character '<'"},
		{"empty", fakeca.Fault{Body: []byte{}}, probe.FailureProtocol, "the directory cannot be read: unexpected end"},
		{"an error", fakeca.Fault{Status: http.StatusBadGateway, HTML: true}, probe.FailureCall, "directory answered HTTP 502"},
		{"a redirect", fakeca.Fault{Redirect: "https://elsewhere.example/"}, probe.FailureCall, "directory answered HTTP 302"},
		{"too large", fakeca.Fault{Oversize: 2 << 20}, probe.FailureCall, "directory: body: too_large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, fakeca.Options{})
			b.ca.Fault(probe.CallDirectory, tt.fault, 0)
			facts := b.run(probe.ProberDirectory)
			object := objectDirectory
			switch {
			case tt.kind == probe.FailureCall:
				object = ""
			case tt.name == "http":
				object = objectURL
			}
			f := wantFailure(t, facts, probe.StepDirectory, tt.kind, object, tt.detail)
			if f.Call != 0 {
				t.Errorf("call %d, want 0", f.Call)
			}
			wantList(t, "steps", steps(facts), []string{"directory!"})
		})
	}
}

// What only the prober directory has a use for does not keep others from
// measuring.
func TestDirectoryWithoutKeyChange(t *testing.T) {
	b := newBench(t, fakeca.Options{})
	b.ca.Fault(probe.CallDirectory, fakeca.Fault{Edit: fakeca.Without("keyChange", "revokeCert")}, 0)
	wantSuccess(t, b.run(probe.ProberAccount))
	wantSuccess(t, b.run(probe.ProberNonce))
}

func TestNonce(t *testing.T) {
	header := func(v string) http.Header { return http.Header{"Replay-Nonce": {v}} }
	for _, tt := range []struct {
		name   string
		fault  fakeca.Fault
		kind   probe.FailureKind
		detail string
	}{
		{"fine", fakeca.Fault{}, "", ""},
		{"204", fakeca.Fault{Status: http.StatusNoContent, Header: header("abc")}, "", ""},
		{"none", fakeca.Fault{DropNonce: true}, probe.FailureProtocol, "new-nonce answered without a Replay-Nonce"},
		{"no base64url", fakeca.Fault{Header: header("a+b/c=")}, probe.FailureProtocol, "not base64url"},
		{"an error", fakeca.Fault{Status: http.StatusInternalServerError}, probe.FailureCall, "new-nonce answered HTTP 500"},
		{"an error with a nonce", fakeca.Fault{Status: http.StatusInternalServerError, Header: header("abc")}, probe.FailureCall, "new-nonce answered HTTP 500"},
		{"hung up", fakeca.Fault{HangUp: fakeca.BeforeHeaders}, probe.FailureCall, "new-nonce: response: closed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, fakeca.Options{})
			b.ca.Fault(probe.CallNewNonce, tt.fault, 0)
			facts := b.run(probe.ProberNonce)
			wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce"})
			if tt.kind == "" {
				wantSuccess(t, facts)
				return
			}
			if f := wantFailure(t, facts, probe.StepNonce, tt.kind, "", tt.detail); f.Call != 1 {
				t.Errorf("call %d, want 1", f.Call)
			}
		})
	}
}

// A CA whose answers bring no nonces costs a request more for each that is
// signed, and no step is to blame but the one that needs it.
func TestNoncesOnTheWay(t *testing.T) {
	b := newBench(t, fakeca.Options{}).known()
	b.ca.Fault(probe.CallNewOrder, fakeca.Fault{DropNonce: true}, 1)
	facts := b.run(probe.ProberOrder)
	wantSuccess(t, facts)
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "new-order", "new-nonce", "order", "authz"})

	b.ca.Fault(probe.CallNewOrder, fakeca.Fault{DropNonce: true}, 1)
	b.ca.Fault(probe.CallNewNonce, fakeca.Fault{}, 1)
	b.ca.Fault(probe.CallNewNonce, fakeca.Fault{DropNonce: true}, 1)
	facts = b.run(probe.ProberOrder)
	if f := wantFailure(t, facts, probe.StepOrder, probe.FailureProtocol, "", "new-nonce answered without"); f.Call != 3 {
		t.Errorf("call %d, want 3", f.Call)
	}
}

// The directory's own nonce saves a request.
func TestNonceOfDirectory(t *testing.T) {
	b := newBench(t, fakeca.Options{})
	b.ca.Fault(probe.CallDirectory, fakeca.Fault{Header: http.Header{"Replay-Nonce": {"not-one-of-ours"}}}, 0)
	facts := b.run(probe.ProberAccount)
	wantSuccess(t, facts)
	if calls := names(facts.Calls); slices.Contains(calls, probe.CallNewNonce) || facts.Calls[2].Attempt != 1 {
		t.Errorf("calls %v, third %+v", calls, facts.Calls[2])
	}
}
