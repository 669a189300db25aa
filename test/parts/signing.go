package parts

import (
	"math/big"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"
)

// SigningFiles are what Pebble writes down when it has the signing back end.
type SigningFiles struct {
	LogList string // of the logs that its SCTs are of, as Chrome's list
	Root    string // PEM, of the certificates that it issues
}

// Signing makes the flags of [StartPebble] for the signing back end: embedded
// SCTs, two shards of CRLs, AIA, OCSP and the test sites. More flags of test/ca
// say how long a revocation takes, and so on: -crl-delay, -ocsp-delay,
// -crl-shards, -crl-padding, -crl-period, -crl-lifetime, -ocsp=false,
// -ocsp-delegate, -log-list-age, -validity.
func Signing(tb testing.TB) (SigningFiles, []string) {
	dir := tb.TempDir()
	files := SigningFiles{LogList: filepath.Join(dir, "log_list.json"), Root: filepath.Join(dir, "issuing-root.pem")}
	return files, []string{"-signing", "-ocsp", "-log-list=" + files.LogList, "-issuer=" + files.Root}
}

// Signed is what there is of the signing back end.
type Signed struct {
	Defects []string // in force
	Issuer  string   // URL of the issuer's certificate
	CRLs    []string // URLs of the shards
	OCSP    string   // URL; empty: there is none
	// Sites are the URLs of the test sites: valid, expired, revoked.
	Sites        map[string]string
	Certificates []SignedCertificate // in order, those of the sites first
}

// SignedCertificate is one that the signing back end has issued.
type SignedCertificate struct {
	Serial  string    // hex
	CRL     string    // URL of its shard
	Revoked time.Time // zero: it is not
	Reason  int
}

// Signed returns what there is of the signing back end.
func (p *Pebble) Signed() (s Signed) {
	p.tb.Helper()
	p.decode("/signing", &s)
	return s
}

// Defects puts these in force at the signing back end, and no others;
// test/ca/defect.go says what there is. Those of leaves, chains and SCTs are of
// certificates that are first downloaded from then on.
func (p *Pebble) Defects(names ...string) {
	p.tb.Helper()
	p.namespace.Do(p.tb, http.MethodPost, p.control+"/defects?"+url.Values{"name": names}.Encode())
}

// RenewalInfo sets what Pebble answers when it is asked when to renew the
// certificate with that serial number; empty: what it makes up itself.
func (p *Pebble) RenewalInfo(serial *big.Int, answer string) {
	p.tb.Helper()
	query := url.Values{"serial": {serial.Text(16)}, "answer": {answer}}
	p.namespace.Do(p.tb, http.MethodPost, p.control+"/renewal-info?"+query.Encode())
}
