package ct

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestUnreadable has extensions that are not what RFC 6962 says: a failure whichever
// the list, and in staging too.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	logs := testLogs()
	good := logs[0].sign(t, ask{at: now})
	octets := func(b ...byte) []byte {
		value, err := asn1.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	list := extension(t, good).Value
	for _, tt := range []struct {
		name  string
		value []byte
		count int
		want  string
	}{
		{"nothing", nil, 0, "the extension is not one octet string"},
		{"no octet string", []byte{5, 0}, 0, "the extension is not one octet string"},
		{"something behind", append(bytes.Clone(list), 0), 0, "the extension is not one octet string"},
		{"no length", octets(), 0, "the list's length is not its own"},
		{"too long a length", octets(0, 9, 1), 0, "the list's length is not its own"},
		{"too short a length", octets(0, 0, 1), 0, "the list's length is not its own"},
		{"an empty list", octets(0, 0), 0, "the list is empty"},
		{"an empty SCT", octets(0, 2, 0, 0), 0, "an SCT's length is not its own"},
		{"a cut SCT", octets(0, 3, 0, 9, 0), 0, "an SCT's length is not its own"},
		{"a short SCT", extension(t, good, good[:60]).Value, 1, "an SCT has not the form of one"},
		{"a long SCT", extension(t, good, append(bytes.Clone(good), 0)).Value, 1, "an SCT has not the form of one"},
	} {
		leaf := &x509.Certificate{Extensions: []pkix.Extension{{Id: oidSCTs, Value: tt.value}}}
		seen, result := logsFrom(t, listOf(t, published, logs...)).Check(public, []*x509.Certificate{leaf}, now)
		if result == nil || result.Passed || !seen.Unreadable || seen.Count != tt.count || seen.Policy != "" || result.Detail != "the SCTs cannot be read: "+tt.want {
			t.Errorf("%s: %+v, %+v, want %q", tt.name, seen, result, tt.want)
		}
	}
}

// TestPrecertificate takes the extension away wherever it is, and nothing else.
func TestPrecertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "CA")
	scts := extension(t, []byte("x"))
	others := []pkix.Extension{
		{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte("one")},
		{Id: asn1.ObjectIdentifier{1, 2, 3, 5}, Critical: true, Value: bytes.Repeat([]byte("two"), 100)},
	}
	tbs := func(version1 bool, extensions ...pkix.Extension) []byte {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(7), NotBefore: now, NotAfter: now.Add(time.Hour), ExtraExtensions: extensions,
		}
		parent := *ca.cert
		if version1 {
			parent.SubjectKeyId = nil // or the leaf gets an authority key identifier
		}
		return create(t, template, &parent, &ca.key.PublicKey, ca.key).RawTBSCertificate
	}
	for name, list := range map[string][]pkix.Extension{
		"first": {scts, others[0], others[1]}, "between": {others[0], scts, others[1]}, "last": {others[0], others[1], scts}, "not there": others,
	} {
		if got, err := precertificate(tbs(false, list...)); err != nil || !bytes.Equal(got, tbs(false, others...)) {
			t.Errorf("%s: %v, %x", name, err, got)
		}
	}
	if got, err := precertificate(tbs(true, scts)); err != nil || !bytes.Equal(got, tbs(true)) {
		t.Errorf("alone: %v, %x, want %x", err, got, tbs(true))
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "no sequence": {5, 0}, "cut": tbs(false, others...)[:100],
		"something behind": append(tbs(false), 0), "extensions that are none": {0x30, 4, 0xa3, 2, 5, 0},
	} {
		if got, err := precertificate(bad); err == nil {
			t.Errorf("%s: %x", name, got)
		}
	}
}

// TestTime has timestamps that are no times of ours.
func TestTime(t *testing.T) {
	t.Parallel()
	for stamp, want := range map[uint64]string{
		0: "1970-01-01T00:00:00Z", 1793534400000: "2026-11-01T12:00:00Z", 1 << 63: "9999-12-31T23:59:59Z", 1<<64 - 1: "9999-12-31T23:59:59Z",
	} {
		s := sct{timestamp: stamp}
		if got := s.time().Format(time.RFC3339); got != want {
			t.Errorf("%d: %s, want %s", stamp, got, want)
		}
		if _, err := s.time().MarshalJSON(); err != nil {
			t.Errorf("%d: %v", stamp, err)
		}
	}
}

// FuzzSCTs reads any extension.
func FuzzSCTs(f *testing.F) {
	f.Add([]byte{4, 2, 0, 0})
	f.Add(extension(f, testLogs()[1].sign(f, ask{at: now})).Value)
	for _, name := range []string{"google.pem", "tm.cn.pem", "vector.pem"} {
		if value, ok := embedded(readChain(f, name)[0]); ok {
			f.Add(value)
		}
	}
	logs := logsFrom(f, shipped)
	f.Fuzz(func(t *testing.T, value []byte) {
		leaf := &x509.Certificate{Extensions: []pkix.Extension{{Id: oidSCTs, Value: value}}}
		seen, result := logs.Check(public, []*x509.Certificate{leaf}, now)
		if len(seen.SCTs) > maxSCTs || seen.Unreadable != (result != nil && strings.HasPrefix(result.Detail, "the SCTs cannot be read")) {
			t.Errorf("%+v, %+v", seen, result)
		}
		for _, s := range seen.SCTs {
			if s.Status == probe.SCTVerified {
				t.Errorf("verified without an issuer: %+v", s)
			}
		}
	})
}

// FuzzPrecertificate reads any certificate's inside.
func FuzzPrecertificate(f *testing.F) {
	f.Add([]byte{0x30, 4, 0xa3, 2, 5, 0})
	for _, name := range []string{"google.pem", "tm.cn.pem", "vector.pem"} {
		f.Add(readChain(f, name)[0].RawTBSCertificate)
	}
	f.Fuzz(func(t *testing.T, tbs []byte) {
		kept, err := precertificate(tbs)
		if err != nil {
			return
		}
		// Nothing is left to be taken away.
		if again, err := precertificate(kept); err != nil || !bytes.Equal(again, kept) {
			t.Errorf("%v: %x, then %x", err, kept, again)
		}
	})
}

// FuzzParse reads any list.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"log_list_timestamp": "2026-10-03T13:35:24Z"}`))
	f.Add(listOf(f, published, testLogs()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := Parse(data)
		if err != nil {
			return
		}
		for id, l := range list.logs {
			if len(l.description) > maxWords || strings.ContainsAny(l.description+l.operator, "\n\r\x00") || !verifies(l.key) {
				t.Errorf("%x: %+v", id, l)
			}
		}
	})
}
