package config

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"

	promconfig "github.com/prometheus/common/config"
)

// TLS returns the TLS configuration for the target's API, never nil. Client
// certificates are read again for each handshake.
func (t *Target) TLS() (*tls.Config, error) { return promconfig.NewTLSConfig(&t.TLSConfig) }

// Proxy returns which proxy to use for a request; nil: none for any.
func (t *Target) Proxy() func(*http.Request) (*url.URL, error) { return t.ProxyConfig.Proxy() }

// Key returns the HMAC key (RFC 8555 §7.3.4), from the file if it is in one.
func (e *ExternalAccountBinding) Key() ([]byte, error) {
	text := string(e.HMACKey)
	if e.HMACKeyFile != "" {
		data, err := readFile(e.HMACKeyFile)
		if err != nil {
			return nil, err
		}
		text = string(data)
	}
	// CAs hand it out in base64url without padding, mostly; the rest is
	// unambiguous.
	text = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(strings.TrimSpace(text), "="))
	key, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("the HMAC key is not base64url")
	}
	if len(key) == 0 {
		return nil, errors.New("the HMAC key is empty")
	}
	return key, nil
}

// complete fills in what the preset says, resolves files against dir, and
// reads them.
func (t *Target) complete(ps *problems, at path, dir string) {
	if s := presetNamed(t.Preset); s != nil {
		if t.DirectoryURL == "" {
			t.DirectoryURL = s.DirectoryURL
		}
		if t.Environment == "" {
			t.Environment = s.Environment
		}
		if t.IssuerDomainName == "" {
			t.IssuerDomainName = s.IssuerDomainName
		}
	}
	if t.Environment == "" {
		t.Environment = Production
	}
	if t.Account.KeyType == "" {
		t.Account.KeyType = KeyECDSAP256
	}
	t.TLSConfig.SetDirectory(dir)
	files := at.key("tls_config")
	t.readFile(ps, files.key("ca_file"), t.TLSConfig.CAFile)
	t.readFile(ps, files.key("cert_file"), t.TLSConfig.CertFile)
	t.readFile(ps, files.key("key_file"), t.TLSConfig.KeyFile)
	if b := t.Account.ExternalAccountBinding; b != nil {
		b.HMACKeyFile = promconfig.JoinDir(dir, b.HMACKeyFile)
		t.readFile(ps, at.keys("account", "external_account_binding", "hmac_key_file"), b.HMACKeyFile)
	}
	t.completeRoots(ps, at, dir)
}

// readFile returns and notes what the file holds, and marks the value as broken if
// it cannot be read.
func (t *Target) readFile(ps *problems, at path, name string) (data []byte, ok bool) {
	if name == "" {
		return nil, false
	}
	data, err := readFile(name)
	if err != nil {
		ps.add(at, "%q: %s", name, err)
		ps.broken[at] = true
		return nil, false
	}
	sum := sha256.Sum256(data)
	t.files = append(t.files, hex.EncodeToString(sum[:]))
	return data, true
}
