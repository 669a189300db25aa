package app

import (
	"net/http"
	"os"

	"gopkg.in/yaml.v3"
)

// verified reports whether the client has shown a certificate. That the file asks for
// one is not enough: whether there is TLS at all was decided when we began to listen.
func verified(r *http.Request) bool { return r.TLS != nil && len(r.TLS.VerifiedChains) > 0 }

// mayRun returns web.Options.MayRun: nil unless enabled. The toolkit refuses who has
// not shown who they are, if its file says so; the file is read for each request
// anew there, and so it is here.
func mayRun(enabled bool, webConfigFile string) func(*http.Request) bool {
	if !enabled {
		return nil
	}
	return func(r *http.Request) bool {
		text, err := os.ReadFile(webConfigFile)
		if err != nil {
			return false
		}
		var asks struct {
			Users map[string]string `yaml:"basic_auth_users"`
			TLS   struct {
				ClientAuth string `yaml:"client_auth_type"`
			} `yaml:"tls_server_config"`
		}
		return yaml.Unmarshal(text, &asks) == nil &&
			(len(asks.Users) > 0 || asks.TLS.ClientAuth == "RequireAndVerifyClientCert" && verified(r))
	}
}
