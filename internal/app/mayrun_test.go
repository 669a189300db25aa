package app

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMayRun holds that nobody starts a run from the page who has not shown who they
// are, whatever the flag says.
func TestMayRun(t *testing.T) {
	if mayRun(false, "web.yml") != nil {
		t.Error("it is on by default")
	}
	file := filepath.Join(t.TempDir(), "web.yml")
	may := mayRun(true, file)
	if may(nil) {
		t.Error("without a file")
	}
	for text, want := range map[string]bool{
		"":                             false,
		"basic_auth_users: {}":         false,
		"basic_auth_users: {me: $2y$}": true,
		"tls_server_config: {client_auth_type: RequireAndVerifyClientCert}": true,
		"tls_server_config: {client_auth_type: RequestClientCert}":          false,
		"basic_auth_users: [": false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := may(nil); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	}
	if mayRun(true, "")(nil) {
		t.Error("without the flag of the file")
	}
}
