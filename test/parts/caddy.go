package parts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// caddyAddress is where Caddy's API is, in its namespace.
const caddyAddress = "127.0.0.1:9443"

// caddyfile makes Caddy a CA. It validates at the ports of the RFCs and asks the
// system's resolver, and cannot be told otherwise.
const caddyfile = `{
	admin off
	auto_https disable_redirects
	skip_install_trust
	storage file_system %q
}
https://` + caddyAddress + ` {
	tls internal
	acme_server
}
`

// StartCaddy starts Caddy as an ACME CA in the namespace.
func StartCaddy(tb testing.TB, n *Namespace) *CA {
	tb.Helper()
	dir := tb.TempDir()
	file := filepath.Join(dir, "Caddyfile")
	write(tb, file, fmt.Appendf(nil, caddyfile, dir))
	cmd := n.Command(Program(tb, "caddy"), "run", "--adapter=caddyfile", "--config="+file)
	// Its own files are beside ours, not in somebody's home; and Go's own resolver
	// asks nobody but the namespace's.
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "GODEBUG=netdns=go")
	child := Start(tb, cmd)

	roots, rootFile := x509.NewCertPool(), filepath.Join(dir, "pki/authorities/local/root.crt")
	Until(tb, "Caddy has made its root", func() bool {
		root, err := os.ReadFile(rootFile)
		return err == nil && roots.AppendCertsFromPEM(root)
	})
	ctx, cancel := context.WithTimeout(tb.Context(), Timeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: n.Dial, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	directory := "https://" + caddyAddress + "/acme/local/directory"
	if err := child.WaitReady(ctx, client, directory); err != nil {
		tb.Fatal(err)
	}
	return &CA{DirectoryURL: directory, RootFile: rootFile}
}

// Program finds a program of a Debian package, also for a user whose PATH leaves
// sbin out.
func Program(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = filepath.Join("/usr/sbin", name)
	}
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("%s is not installed: run make deps", name)
	}
	return path
}
