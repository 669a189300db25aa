package parts

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
)

// StartStepCA starts step-ca with an ACME provisioner, and has it validate at p.
func StartStepCA(tb testing.TB, p Ports) *CA {
	tb.Helper()
	return startStepCA(tb, p, tb.TempDir(), map[string]any{"type": "ACME", "name": "acme"}, nil, func(string) {})
}

// ListingStepCA is step-ca that publishes a CRL, which its certificates name.
type ListingStepCA struct {
	*CA
	CRL        string // URL
	IssuerFile string // PEM, of who signs the CRL
}

// StartListingStepCA is [StartStepCA] for one that publishes a CRL. Located says
// whether it is told where the CRL is, for its issuingDistributionPoint: by itself it
// leaves its port out.
func StartListingStepCA(tb testing.TB, p Ports, located bool) *ListingStepCA {
	tb.Helper()
	address := process.Loopback(FreePort(tb, "tcp"))
	url, dir := "http://"+address+"/1.0/crl", tb.TempDir()
	list := map[string]any{"enabled": true, "generateOnRevoke": true, "cacheDuration": "24h"}
	if located {
		list["idpURL"] = url
	}
	template := `{"subject": {{ toJson .Subject }}, "sans": {{ toJson .SANs }}, "keyUsage": ["digitalSignature"],
		"extKeyUsage": ["serverAuth"], "crlDistributionPoints": ["` + url + `"]}`
	provisioner := map[string]any{
		"type": "ACME", "name": "acme", "options": map[string]any{"x509": map[string]string{"template": template}},
	}
	settings := map[string]any{"crl": list, "insecureAddress": address}
	ca := startStepCA(tb, p, dir, provisioner, settings, func(string) {})
	return &ListingStepCA{CA: ca, CRL: url, IssuerFile: filepath.Join(dir, "intermediate.pem")}
}

// StartBindingStepCA is StartStepCA for one whose accounts must be bound to the
// external account id, whose HMAC key is given in base64url. It can be bound once.
func StartBindingStepCA(tb testing.TB, p Ports, id, key string) *CA {
	tb.Helper()
	provisioner := map[string]any{"type": "ACME", "name": "acme", "requireEAB": true}
	return startStepCA(tb, p, tb.TempDir(), provisioner, nil, func(db string) {
		cmd := exec.CommandContext(tb.Context(), "go", "run", "./eab", "-db="+db, "-id="+id, "-key="+key)
		cmd.Dir, cmd.Env = root+"/tools/step-ca", append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			tb.Fatalf("put an external account into step-ca: %v\n%s", err, out)
		}
	})
}

// startStepCA starts step-ca in dir with the provisioner and more settings of
// ca.json, after seed has filled its database.
func startStepCA(tb testing.TB, p Ports, dir string, provisioner, more map[string]any, seed func(db string)) *CA {
	tb.Helper()
	binary := StepCABinary(tb)
	file := func(name string) string { return filepath.Join(dir, name) }
	roots := stepCAKeys(tb, file)

	address := process.Loopback(FreePort(tb, "tcp"))
	settings := map[string]any{
		"root": file("root.pem"), "crt": file("intermediate.pem"), "key": file("intermediate.key"),
		"address":  address,
		"dnsNames": []string{"127.0.0.1", "localhost"},
		"logger":   map[string]string{"format": "text"},
		"db":       map[string]string{"type": "badgerv2", "dataSource": file("db")},
		"authority": map[string]any{
			"provisioners": []map[string]any{provisioner},
		},
	}
	maps.Copy(settings, more)
	configuration, err := json.Marshal(settings)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, file("ca.json"), configuration)
	seed(file("db"))

	child := Start(tb, stepCACommand(binary, dir, file("ca.json"), p))
	ctx, cancel := context.WithTimeout(tb.Context(), Timeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: p.Namespace.Dial, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	if err := child.WaitReady(ctx, client, "https://"+address+"/health"); err != nil {
		tb.Fatal(err)
	}
	return &CA{DirectoryURL: "https://" + address + "/acme/acme/directory", RootFile: file("root.pem")}
}

func stepCACommand(binary, dir, configuration string, p Ports) *exec.Cmd {
	cmd := p.Namespace.Command(binary,
		"--quiet", "--insecure",
		"--acme-http-port", strconv.Itoa(p.HTTP),
		"--acme-tls-port", strconv.Itoa(p.TLS),
		"--resolver", process.Loopback(p.DNS),
		configuration)
	// Its own files are beside ours, not in somebody's home.
	cmd.Env = append(os.Environ(), "STEPPATH="+dir)
	return cmd
}

// stepCAKeys makes what step-ca signs with, a root and an intermediate, and
// returns the pool with the root.
func stepCAKeys(tb testing.TB, file func(string) string) *x509.CertPool {
	tb.Helper()
	rootKey, intermediateKey := newKey(tb), newKey(tb)
	rootTemplate := authority("Test Root", 1)
	root := sign(tb, rootTemplate, rootTemplate, rootKey.Public(), rootKey)
	intermediate := sign(tb, authority("Test Intermediate", 0), root, intermediateKey.Public(), rootKey)
	key, err := x509.MarshalPKCS8PrivateKey(intermediateKey)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, file("root.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
	write(tb, file("intermediate.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: intermediate.Raw}))
	write(tb, file("intermediate.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return pool
}

func authority(name string, pathLen int) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            pathLen,
		MaxPathLenZero:        pathLen == 0,
	}
}

func newKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func sign(tb testing.TB, template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		tb.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return certificate
}

// ServerCertificate makes a self-signed certificate for a server on 127.0.0.1, and its
// key, as PEM.
func ServerCertificate(tb testing.TB) (certificate, key []byte) {
	tb.Helper()
	signer := newKey(tb)
	template := authority("127.0.0.1", 0)
	template.IsCA, template.MaxPathLenZero, template.KeyUsage = false, false, x509.KeyUsageDigitalSignature
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		tb.Fatal(err)
	}
	leaf := sign(tb, template, template, signer.Public(), signer)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(tb testing.TB, file string, content []byte) {
	tb.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		tb.Fatal(err)
	}
}
