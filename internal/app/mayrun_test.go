package app

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMayRun holds that nobody starts a run from the page who has not shown who they
// are, whatever the flag says.
func TestMayRun(t *testing.T) {
	if mayRun(false, "web.yml") != nil {
		t.Error("it is on by default")
	}
	plain := &http.Request{}
	shown := &http.Request{TLS: &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}}
	file := filepath.Join(t.TempDir(), "web.yml")
	may := mayRun(true, file)
	if may(plain) {
		t.Error("without a file")
	}
	for text, want := range map[string]bool{
		"":                             false,
		"basic_auth_users: {}":         false,
		"basic_auth_users: {me: $2y$}": true,
		"tls_server_config: {client_auth_type: RequireAndVerifyClientCert}": false, // as it has not
		"tls_server_config: {client_auth_type: RequestClientCert}":          false,
		"basic_auth_users: [": false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := may(plain); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
		if got, want := may(shown), strings.Contains(text, "RequireAndVerify") || want; got != want {
			t.Errorf("%q, with a certificate: %t, want %t", text, got, want)
		}
	}
	if mayRun(true, "")(plain) {
		t.Error("without the flag of the file")
	}
}
