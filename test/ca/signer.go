package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/letsencrypt/pebble/v2/core"
)

// signingOptions say what the signing back end does; the flags' texts what each
// of them is.
type signingOptions struct {
	on                  bool
	shards, padding     int
	crlDelay, ocspDelay time.Duration
	period, lifetime    time.Duration
	ocsp, delegate      bool
	list                string
	listAge             time.Duration
	validity            time.Duration
}

// signingFlags defines the flags of the signing back end.
func signingFlags(o *signingOptions) {
	flag.BoolVar(&o.on, "signing", false, "issue with SCTs, CRLs and AIA, from a CA of our own instead of Pebble's")
	flag.IntVar(&o.shards, "crl-shards", 2, "number of CRLs, at least 1")
	flag.IntVar(&o.padding, "crl-padding", 0, "revoked certificates in each CRL that nobody has ever seen; a million take seconds to sign, when the CRL is first asked for")
	flag.DurationVar(&o.crlDelay, "crl-delay", 0, "how long after its revocation a certificate is in its CRL")
	flag.DurationVar(&o.ocspDelay, "ocsp-delay", 0, "how long after its revocation OCSP says so")
	flag.DurationVar(&o.period, "crl-period", time.Hour, "how often a CRL is signed anew at least; it is when something comes in, too")
	flag.DurationVar(&o.lifetime, "crl-lifetime", 9*24*time.Hour, "from a CRL's thisUpdate to its nextUpdate")
	flag.BoolVar(&o.ocsp, "ocsp", false, "answer OCSP, and say so in certificates")
	flag.BoolVar(&o.delegate, "ocsp-delegate", false, "sign OCSP answers with a certificate for that")
	flag.DurationVar(&o.validity, "validity", 0, "how long certificates are valid (0: as Pebble's, 90 days)")
	flag.StringVar(&o.list, "log-list", "", "file to write the list of logs to, as Chrome's")
	flag.DurationVar(&o.listAge, "log-list-age", 0, "how old the list of logs says it is")
}

// The paths of the signing back end's own server.
const (
	crlPath    = "/crl/"
	ocspPath   = "/ocsp"
	issuerPath = "/issuer.der"
)

// signer is what Pebble has not: a CA below a root of its own, whose
// certificates carry SCTs and say where their issuer, their CRL and their OCSP
// responder are, and which serves these over HTTP. Its three test sites are
// there to be looked at: one valid, one expired, one revoked.
//
// Pebble decides what is issued, and to whom; what a client downloads is the
// signer's, for the same key, names and dates.
type signer struct {
	options signingOptions
	defects *defects
	root    *authority
	issuer  *authority
	// responder answers OCSP: the issuer, or who it has asked to. impostor is one
	// whom it has issued something else.
	responder, impostor *authority
	// stranger is another CA, of which nobody has heard.
	stranger *authority
	// logs are the first two those that are asked, the third another of the
	// first's operator. unlisted is in no list.
	logs     []*ctLog
	unlisted *ctLog

	base    string // URL of the server, without a slash at its end
	servers []*http.Server
	sites   map[string]string // URLs by what is to be seen there
	crls    []*crlShard

	// adopted are those of Pebble's certificates that are the signer's. Pebble
	// serves one request at a time, and what looks at it does so then.
	adopted map[*core.Certificate]bool

	mu     sync.Mutex         // guards issued and its records
	issued map[string]*record // by serial number, in hex
	serial []string           // of issued, in order
}

// record is a certificate that was issued.
type record struct {
	certificate *x509.Certificate
	revoked     time.Time // zero: it is not
	reason      int
}

func newSigner(o signingOptions) (*signer, error) {
	if o.shards < 1 || o.padding < 0 {
		return nil, errors.New("start the signer: want at least one shard, and no negative padding")
	}
	s := &signer{options: o, defects: new(defects), sites: map[string]string{}, issued: map[string]*record{}}
	now := time.Now()
	err := s.makeAuthorities(now)
	for _, l := range []struct {
		name, operator string
		tiled          bool
	}{
		{"Alder 2026", "Operator A", false},
		{"Birch 2026", "Operator B", true},
		{"Aspen 2026", "Operator A", false},
		{"Nowhere 2026", "Operator C", false},
	} {
		log, wrong := newCTLog(l.name, l.operator, l.tiled)
		err = errors.Join(err, wrong)
		s.logs = append(s.logs, log)
	}
	if err != nil {
		return nil, fmt.Errorf("make the signer's keys: %w", err)
	}
	s.unlisted, s.logs = s.logs[3], s.logs[:3]
	for i := range o.shards {
		s.crls = append(s.crls, &crlShard{index: i})
	}
	return s, nil
}

// makeAuthorities makes the keys and certificates of all the CAs.
func (s *signer) makeAuthorities(now time.Time) (err error) {
	if s.root, err = newRoot("R1", now); err != nil {
		return err
	}
	if s.issuer, err = newIssuer("E1", s.root, now); err != nil {
		return err
	}
	strangerRoot, err := newRoot("R9", now)
	if err != nil {
		return err
	}
	if s.stranger, err = newIssuer("E9", strangerRoot, now); err != nil {
		return err
	}
	s.responder = s.issuer
	if s.options.delegate {
		if s.responder, err = newResponder(s.issuer, now, x509.ExtKeyUsageOCSPSigning); err != nil {
			return err
		}
	}
	s.impostor, err = newResponder(s.issuer, now, x509.ExtKeyUsageServerAuth)
	return err
}

// start writes the list of logs and serves everything until close.
func (s *signer) start() error {
	if s.options.list != "" {
		list, err := newLogList(s.logs, time.Now().Add(-s.options.listAge))
		if err == nil {
			err = os.WriteFile(s.options.list, list, 0o600)
		}
		if err != nil {
			return fmt.Errorf("write the list of logs: %w", err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the signer: %w", err)
	}
	s.base = "http://" + listener.Addr().String()
	server := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(listener) }() // ends with Shutdown
	return s.startSites()
}

// rootPEM is the root, in PEM, of what the signer issues.
func (s *signer) rootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.root.certificate.Raw})
}

// close ends what start has begun, as far as it has.
func (s *signer) close(ctx context.Context) (err error) {
	for _, server := range s.servers {
		err = errors.Join(err, server.Shutdown(ctx))
	}
	return err
}

// remember keeps a certificate that was issued.
func (s *signer) remember(certificate *x509.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	serial := certificate.SerialNumber.Text(16)
	s.issued[serial] = &record{certificate: certificate}
	s.serial = append(s.serial, serial)
}

// revoke revokes a certificate. What is revoked or not the signer's stays as it is.
func (s *signer) revoke(serial *big.Int, when time.Time, reason int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.issued[serial.Text(16)]; r != nil && r.revoked.IsZero() {
		r.revoked, r.reason = when, reason
	}
}

// ServeHTTP serves what certificates refer to. It does without a mux, which
// would redirect an OCSP request with two slashes in a row.
func (s *signer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == issuerPath:
		s.serveIssuer(w)
	case strings.HasPrefix(path, crlPath):
		s.serveCRL(w, strings.TrimPrefix(path, crlPath))
	case s.options.ocsp && (path == ocspPath || strings.HasPrefix(path, ocspPath+"/")):
		s.serveOCSP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// signingReport is what the control shows.
type signingReport struct {
	Defects []string `json:"defects"`
	Issuer  string   `json:"issuer"` // URL
	CRLs    []string `json:"crls"`   // URLs
	OCSP    string   `json:"ocsp"`   // URL; empty: there is none
	// Sites are the URLs of the CA's test sites: valid, expired, revoked.
	Sites        map[string]string   `json:"sites"`
	Certificates []certificateReport `json:"certificates"` // in order, those of the sites first
}

// certificateReport is a certificate that was issued.
type certificateReport struct {
	Serial  string     `json:"serial"` // hex
	CRL     string     `json:"crl"`    // URL
	Revoked *time.Time `json:"revoked,omitempty"`
	Reason  int        `json:"reason"`
}

// show is GET /signing.
func (s *signer) show(w http.ResponseWriter, _ *http.Request) {
	report := signingReport{Defects: s.defects.list(), Issuer: s.base + issuerPath, Sites: s.sites, Certificates: []certificateReport{}}
	for i := range s.crls {
		report.CRLs = append(report.CRLs, s.crlURL(i))
	}
	if s.options.ocsp {
		report.OCSP = s.base + ocspPath
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, serial := range s.serial {
		r := s.issued[serial]
		one := certificateReport{Serial: serial, CRL: s.crlURL(s.shard(r.certificate.SerialNumber)), Reason: r.reason}
		if !r.revoked.IsZero() {
			one.Revoked = &r.revoked
		}
		report.Certificates = append(report.Certificates, one)
	}
	answer(w, report)
}

// contentType is what is said of what has the type real.
func (s *signer) contentType(defect, real string) string {
	if s.defects.has(defect) {
		return "text/plain; charset=utf-8"
	}
	return real
}
