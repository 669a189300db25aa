package ct

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const day = 24 * time.Hour

// now is when the tests' certificates are checked, and published is when the list
// was.
var (
	now       = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	published = now.Add(-10 * day)
)

// testLog is a CT log with its key.
type testLog struct {
	name, operator string
	state          probe.LogState // default usable
	since          time.Time
	tiled          bool
	key            crypto.Signer
}

// The logs' keys are made once: an RSA key takes its time.
var keys = sync.OnceValue(func() []crypto.Signer {
	var list []crypto.Signer
	for range 4 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		list = append(list, key)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return append(list, key)
})

// testLogs are of ECDSA, ECDSA, ECDSA and RSA, each of another operator; the second
// one is tiled.
func testLogs() []*testLog {
	return []*testLog{
		{name: "Alpha 2027", operator: "A", key: keys()[0]},
		{name: "Beta 2027", operator: "B", key: keys()[1], tiled: true},
		{name: "Gamma 2027", operator: "C", key: keys()[2]},
		{name: "Delta 2027", operator: "D", key: keys()[4]},
	}
}

func (l *testLog) spki(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(l.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// entry is the log's in a list.
func (l *testLog) entry(t testing.TB) map[string]any {
	id, state := sha256.Sum256(l.spki(t)), l.state
	if state == "" {
		state = probe.LogUsable
	}
	return map[string]any{
		"description": l.name,
		"log_id":      base64.StdEncoding.EncodeToString(id[:]),
		"key":         base64.StdEncoding.EncodeToString(l.spki(t)),
		"mmd":         86400,
		"state":       map[string]any{string(state): map[string]any{"timestamp": l.since}},
		"invented":    []int{1}, // what a later version of the schema may bring
	}
}

// listOf is a list of the logs in JSON.
func listOf(t testing.TB, at time.Time, logs ...*testLog) []byte {
	t.Helper()
	operators := []any{}
	for _, l := range logs {
		o := map[string]any{"name": l.operator, "email": []string{}, "logs": []any{}, "tiled_logs": []any{}, "invented": true}
		if l.tiled {
			o["tiled_logs"] = []any{l.entry(t)}
		} else {
			o["logs"] = []any{l.entry(t)}
		}
		operators = append(operators, o)
	}
	data, err := json.Marshal(map[string]any{"version": "93.3", "log_list_timestamp": at, "operators": operators, "invented": nil})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ask is what a log signs: RFC 6962 §3.2, written down apart from what is tested.
type ask struct {
	tbs, issuer []byte // TBSCertificate without SCTs, the issuer's SubjectPublicKeyInfo
	at          time.Time
}

// sign makes an SCT.
func (l *testLog) sign(t testing.TB, a ask) []byte {
	t.Helper()
	id, issuer := sha256.Sum256(l.spki(t)), sha256.Sum256(a.issuer)
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(a.at.UnixMilli()))
	extensions := []byte{0, 0}
	if l.tiled {
		extensions = []byte{0, 8, 0, 0, 5, 0, 0, 0, 1, 2} // leaf_index, as of the Static CT API
	}
	data := append([]byte{0, 0}, stamp[:]...)
	data = append(data, 0, 1)
	data = append(data, issuer[:]...)
	data = append(data, byte(len(a.tbs)>>16), byte(len(a.tbs)>>8), byte(len(a.tbs)))
	data = append(data, a.tbs...)
	data = append(data, extensions...)
	digest := sha256.Sum256(data)
	signature, err := l.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	algorithm := byte(3)
	if _, ok := l.key.(*rsa.PrivateKey); ok {
		algorithm = 1
	}
	s := append([]byte{0}, id[:]...)
	s = append(s, stamp[:]...)
	s = append(s, extensions...)
	s = append(s, 4, algorithm)
	s = binary.BigEndian.AppendUint16(s, uint16(len(signature)))
	return append(s, signature...)
}

// extension is that of the SCTs.
func extension(t testing.TB, scts ...[]byte) pkix.Extension {
	t.Helper()
	var list []byte
	for _, s := range scts {
		list = append(binary.BigEndian.AppendUint16(list, uint16(len(s))), s...)
	}
	value, err := asn1.Marshal(append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...))
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oidSCTs, Value: value}
}

// authority is a CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-365 * day), NotAfter: now.Add(3650 * day),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return &authority{create(t, template, template, &key.PublicKey, key), key}
}

func create(t testing.TB, template, parent *x509.Certificate, public, by any) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue makes a certificate that is valid for so long from an hour ago, with what
// scts makes of what logs are asked; the chain has its issuer.
func (a *authority) issue(t testing.TB, lifetime time.Duration, scts func(ask) [][]byte) []*x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	last := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), DNSNames: []string{"a.example"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime - time.Hour),
		ExtraExtensions: []pkix.Extension{last},
	}
	bare := create(t, template, a.cert, &key.PublicKey, a.key)
	if scts == nil {
		return []*x509.Certificate{bare, a.cert}
	}
	// Between others, where CAs put it.
	asked := ask{tbs: bare.RawTBSCertificate, issuer: a.cert.RawSubjectPublicKeyInfo, at: now.Add(-time.Minute)}
	template.ExtraExtensions = []pkix.Extension{extension(t, scts(asked)...), last}
	return []*x509.Certificate{create(t, template, a.cert, &key.PublicKey, a.key), a.cert}
}

// by has logs sign what they are asked.
func by(t testing.TB, logs ...*testLog) func(ask) [][]byte {
	return func(a ask) (scts [][]byte) {
		for _, l := range logs {
			scts = append(scts, l.sign(t, a))
		}
		return scts
	}
}

// logsFrom reads a list as the shipped one would be read.
func logsFrom(t testing.TB, data []byte) *Logs {
	t.Helper()
	list, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return &Logs{list: list}
}

// public is a target with a public CA.
var public = &config.Target{Preset: "letsencrypt", Environment: config.Production}
