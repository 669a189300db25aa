package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The extensions of RFC 6962 §3.1 and §3.3.
var (
	oidPoison  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	oidSCTList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
)

// poison makes a certificate a precertificate: critical, and known to logs only.
var poison = pkix.Extension{Id: oidPoison, Critical: true, Value: asn1.NullBytes}

// ctLog is a certificate transparency log that promises to add what it is shown,
// and nobody ever holds it to that.
type ctLog struct {
	name, operator string
	tiled          bool // static-ct-api: an SCT says where in the log its entry is
	key            *ecdsa.PrivateKey
	public         []byte            // SubjectPublicKeyInfo
	id             [sha256.Size]byte // hash of public

	mu   sync.Mutex // guards size
	size int64      // of the log
}

func newCTLog(name, operator string, tiled bool) (*ctLog, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return &ctLog{name: name, operator: operator, tiled: tiled, key: key, public: public, id: sha256.Sum256(public)}, nil
}

// add promises at now to log precertificate, which issuer has signed, and
// returns the promise: a SignedCertificateTimestamp (RFC 6962 §3.2).
func (l *ctLog) add(precertificate, issuer *x509.Certificate, now time.Time) ([]byte, error) {
	if err := precertificate.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("add to log %s: %w", l.name, err)
	}
	tbs, err := withoutPoison(precertificate.RawTBSCertificate)
	if err != nil {
		return nil, fmt.Errorf("add to log %s: %w", l.name, err)
	}
	issuerKey := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	extensions := l.extensions()

	var signed cryptobyte.Builder
	signed.AddUint8(0) // v1
	signed.AddUint8(0) // certificate_timestamp
	signed.AddUint64(uint64(now.UnixMilli()))
	signed.AddUint16(1) // precert_entry
	signed.AddBytes(issuerKey[:])
	signed.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(tbs) })
	signed.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(extensions) })
	content, err := signed.Bytes()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(content)
	signature, err := ecdsa.SignASN1(rand.Reader, l.key, digest[:])
	if err != nil {
		return nil, err
	}

	var sct cryptobyte.Builder
	sct.AddUint8(0) // v1
	sct.AddBytes(l.id[:])
	sct.AddUint64(uint64(now.UnixMilli()))
	sct.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(extensions) })
	sct.AddUint8(4) // SHA-256
	sct.AddUint8(3) // ECDSA
	sct.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(signature) })
	return sct.Bytes()
}

// extensions are those of the log's next SCT: of a tiled log the index of the
// entry, in 40 bits.
func (l *ctLog) extensions() []byte {
	if !l.tiled {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	index := big.NewInt(l.size).FillBytes(make([]byte, 5))
	l.size++
	return append([]byte{0, 0, 5}, index...) // leaf_index, of 5 bytes
}

// withoutPoison returns a precertificate's TBSCertificate without the poison,
// which is what a log signs (RFC 6962 §3.2).
func withoutPoison(tbs []byte) ([]byte, error) {
	input, tag := cryptobyte.String(tbs), cryptobyteasn1.Tag(3).ContextSpecific().Constructed()
	var fields, extensions cryptobyte.String
	if !input.ReadASN1(&fields, cryptobyteasn1.SEQUENCE) {
		return nil, errors.New("read TBSCertificate: no sequence")
	}
	var kept, before [][]byte
	for !fields.PeekASN1Tag(tag) {
		var field cryptobyte.String
		if !fields.ReadAnyASN1Element(&field, nil) {
			return nil, errors.New("read TBSCertificate: no extensions")
		}
		before = append(before, field)
	}
	if !fields.ReadASN1(&extensions, tag) || !extensions.ReadASN1(&extensions, cryptobyteasn1.SEQUENCE) {
		return nil, errors.New("read TBSCertificate: bad extensions")
	}
	poisoned := false
	for !extensions.Empty() {
		var element, extension cryptobyte.String
		var id asn1.ObjectIdentifier
		if !extensions.ReadASN1Element(&element, cryptobyteasn1.SEQUENCE) {
			return nil, errors.New("read TBSCertificate: bad extension")
		}
		whole := element
		if !element.ReadASN1(&extension, cryptobyteasn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&id) {
			return nil, errors.New("read TBSCertificate: bad extension")
		}
		if id.Equal(oidPoison) {
			poisoned = true
			continue
		}
		kept = append(kept, whole)
	}
	if !poisoned {
		return nil, errors.New("read TBSCertificate: it has no poison")
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(slices.Concat(before...))
		b.AddASN1(tag, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(slices.Concat(kept...)) })
		})
	})
	return b.Bytes()
}

// sctExtension is the extension in which a certificate carries its SCTs.
func sctExtension(scts [][]byte) (pkix.Extension, error) {
	var list cryptobyte.Builder
	list.AddASN1(cryptobyteasn1.OCTET_STRING, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, sct := range scts {
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(sct) })
			}
		})
	})
	value, err := list.Bytes()
	return pkix.Extension{Id: oidSCTList, Value: value}, err
}
