package ct

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// oidSCTs is the extension's that holds the SCTs (RFC 6962 §3.3).
var oidSCTs = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

// What RFC 6962 and RFC 5246 number.
const (
	versionV1           = 0 // RFC 6962 §3.2
	certificateStamp    = 0 // SignatureType certificate_timestamp
	entryPrecertificate = 1 // LogEntryType precert_entry (RFC 6962 §3.1)
	hashSHA256          = 4 // RFC 5246 §7.4.1.4.1
	signatureRSA        = 1
	signatureECDSA      = 3
)

// sct is a SignedCertificateTimestamp (RFC 6962 §3.2).
type sct struct {
	version         uint8
	log             logID
	timestamp       uint64 // milliseconds since 1970
	extensions      []byte // whatever the log wrote; it is signed
	hash, algorithm uint8
	signature       []byte
}

// time is the timestamp. What is too far away to be a time of ours is the year
// 9999.
func (s *sct) time() time.Time {
	const most = 253402300799999 // 9999-12-31T23:59:59.999Z
	return time.UnixMilli(int64(min(s.timestamp, most))).UTC()
}

// embedded returns the content of the certificate's extension with SCTs; not ok:
// it has none.
func embedded(cert *x509.Certificate) (value []byte, ok bool) {
	for i := range cert.Extensions {
		if cert.Extensions[i].Id.Equal(oidSCTs) {
			return cert.Extensions[i].Value, true
		}
	}
	return nil, false
}

// parseSCTs reads the extension's content: an OCTET STRING that holds a
// SignedCertificateTimestampList (RFC 6962 §3.3). With an error it returns those
// before the mistake.
func parseSCTs(value []byte) (list []sct, err error) {
	in := cryptobyte.String(value)
	var octets, all cryptobyte.String
	if !in.ReadASN1(&octets, cryptobyteasn1.OCTET_STRING) || !in.Empty() {
		return nil, errors.New("the extension is not one octet string")
	}
	if !octets.ReadUint16LengthPrefixed(&all) || !octets.Empty() {
		return nil, errors.New("the list's length is not its own")
	}
	if all.Empty() {
		return nil, errors.New("the list is empty")
	}
	for !all.Empty() {
		var one cryptobyte.String
		if !all.ReadUint16LengthPrefixed(&one) || one.Empty() {
			return list, errors.New("an SCT's length is not its own")
		}
		s, ok := parseSCT(one)
		if !ok {
			return list, errors.New("an SCT has not the form of one")
		}
		list = append(list, s)
	}
	return list, nil
}

func parseSCT(in cryptobyte.String) (s sct, ok bool) {
	if !in.ReadUint8(&s.version) {
		return s, false
	}
	if s.version != versionV1 {
		return s, true // its form is not known, which is no mistake
	}
	var extensions, signature cryptobyte.String
	ok = in.CopyBytes(s.log[:]) && in.ReadUint64(&s.timestamp) && in.ReadUint16LengthPrefixed(&extensions) &&
		in.ReadUint8(&s.hash) && in.ReadUint8(&s.algorithm) && in.ReadUint16LengthPrefixed(&signature) && in.Empty()
	s.extensions, s.signature = extensions, signature
	return s, ok
}

// signed returns what the log signed: the timestamp, the hash of the issuer's key
// and the precertificate (RFC 6962 §3.2).
func (s *sct) signed(issuerKey [sha256.Size]byte, tbs []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+len(s.extensions)+64))
	b.AddUint8(s.version)
	b.AddUint8(certificateStamp)
	b.AddUint64(s.timestamp)
	b.AddUint16(entryPrecertificate)
	b.AddBytes(issuerKey[:])
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(tbs) })
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.extensions) })
	return b.Bytes()
}

// verifiedBy reports whether the key signed data.
func (s *sct) verifiedBy(key crypto.PublicKey, data []byte) bool {
	if s.hash != hashSHA256 {
		return false // RFC 6962 §2.1.4
	}
	digest := sha256.Sum256(data)
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return s.algorithm == signatureECDSA && ecdsa.VerifyASN1(k, digest[:], s.signature)
	case *rsa.PublicKey:
		return s.algorithm == signatureRSA && rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], s.signature) == nil
	}
	return false
}

// precertificate returns the TBSCertificate that logs have signed: "constructing a
// TBSCertificate from the certificate by deleting the SCT extension" (RFC 6962
// §3.2). Everything else stays as it is, byte for byte.
func precertificate(tbs []byte) ([]byte, error) {
	errForm := errors.New("the certificate has not the form of one")
	in := cryptobyte.String(tbs)
	var fields cryptobyte.String
	if !in.ReadASN1(&fields, cryptobyteasn1.SEQUENCE) || !in.Empty() {
		return nil, errForm
	}
	tagExtensions := cryptobyteasn1.Tag(3).Constructed().ContextSpecific() // RFC 5280 §4.1
	var kept []byte
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)))
	b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for !fields.Empty() {
			var field cryptobyte.String
			var tag cryptobyteasn1.Tag
			if !fields.ReadAnyASN1Element(&field, &tag) {
				b.SetError(errForm)
				return
			}
			if tag != tagExtensions {
				b.AddBytes(field)
				continue
			}
			var ok bool
			if kept, ok = withoutSCTs(field, tagExtensions); !ok {
				b.SetError(errForm)
				return
			}
			if len(kept) == 0 {
				continue // Extensions has one at least, or is not there
			}
			b.AddASN1(tagExtensions, func(b *cryptobyte.Builder) {
				b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(kept) })
			})
		}
	})
	return b.Bytes()
}

// withoutSCTs returns the extensions in field that do not hold SCTs.
func withoutSCTs(field cryptobyte.String, tag cryptobyteasn1.Tag) (kept []byte, ok bool) {
	var explicit, all cryptobyte.String
	if !field.ReadASN1(&explicit, tag) || !explicit.ReadASN1(&all, cryptobyteasn1.SEQUENCE) || !explicit.Empty() {
		return nil, false
	}
	for !all.Empty() {
		var one, inside cryptobyte.String
		var id asn1.ObjectIdentifier
		if !all.ReadASN1Element(&one, cryptobyteasn1.SEQUENCE) {
			return nil, false
		}
		element := one
		if !element.ReadASN1(&inside, cryptobyteasn1.SEQUENCE) || !inside.ReadASN1ObjectIdentifier(&id) {
			return nil, false
		}
		if !id.Equal(oidSCTs) {
			kept = append(kept, one...)
		}
	}
	return kept, true
}
