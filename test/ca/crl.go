package main

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// oidIssuingDistributionPoint is the extension that says which CRL one is (RFC
// 5280 §5.2.5).
var oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}

// crlShard is one of the CRLs: each certificate is in the one that its serial
// number says.
type crlShard struct {
	index int

	mu        sync.Mutex // guards what follows
	published []byte     // DER
	at        time.Time  // when it was
	content   string     // what made it what it is
}

// crlURL is where the shard of an index is.
func (s *signer) crlURL(index int) string { return fmt.Sprintf("%s%s%d.crl", s.base, crlPath, index) }

// shard is the index of the shard that a serial number is in.
func (s *signer) shard(serial *big.Int) int {
	return int(new(big.Int).Mod(serial, big.NewInt(int64(s.options.shards))).Int64())
}

// serveCRL serves the shard that is called name.
func (s *signer) serveCRL(w http.ResponseWriter, name string) {
	index, err := strconv.Atoi(strings.TrimSuffix(name, ".crl"))
	if err != nil || index < 0 || index >= len(s.crls) || s.defects.has(crlMissing) {
		http.Error(w, "there is no such CRL", http.StatusNotFound)
		return
	}
	der, err := s.publish(s.crls[index], time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if s.defects.has(crlPEM) {
		der = pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	}
	w.Header().Set("Content-Type", s.contentType(crlContentType, "application/pkix-crl"))
	w.Header().Set("Content-Length", strconv.Itoa(len(der)))
	_, _ = w.Write(der) // the client has gone: nobody to tell
}

// publish returns the CRL of a shard as it is at now. It is signed anew when
// something has come in, when a defect has, and when it is old.
func (s *signer) publish(shard *crlShard, now time.Time) ([]byte, error) {
	entries := s.revokedIn(shard.index, now)
	content := fmt.Sprint(len(entries), s.defects.list())
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.content == content && now.Sub(shard.at) < s.options.period {
		return shard.published, nil
	}
	for i := range s.options.padding {
		entries = append(entries, x509.RevocationListEntry{SerialNumber: paddingSerial(i), RevocationTime: s.issuer.certificate.NotBefore})
	}
	list := &x509.RevocationList{
		Number:                    big.NewInt(now.UnixNano()),
		ThisUpdate:                now,
		NextUpdate:                now.Add(s.options.lifetime - time.Second),
		RevokedCertificateEntries: entries,
	}
	distributionPoint, err := issuingDistributionPoint(s.crlURL(shard.index))
	if err != nil {
		return nil, err
	}
	list.ExtraExtensions = []pkix.Extension{distributionPoint}
	der, err := s.signCRL(list, shard.index)
	if err != nil {
		return nil, fmt.Errorf("sign CRL %d: %w", shard.index, err)
	}
	shard.published, shard.at, shard.content = der, now, content
	return der, nil
}

// signCRL signs the CRL of a shard, with the defects in force.
func (s *signer) signCRL(list *x509.RevocationList, index int) (der []byte, err error) {
	issuer := s.issuer
	for _, defect := range s.defects.list() {
		switch defect {
		case crlIssuer:
			issuer = s.stranger
		case crlExpired:
			age := list.NextUpdate.Sub(list.ThisUpdate) + time.Hour
			list.ThisUpdate, list.NextUpdate = list.ThisUpdate.Add(-age), list.NextUpdate.Add(-age)
		case crlFuture:
			list.ThisUpdate, list.NextUpdate = list.ThisUpdate.Add(24*time.Hour), list.NextUpdate.Add(24*time.Hour)
		case crlNoIDP:
			list.ExtraExtensions = nil
		case crlOtherIDP:
			other, err := issuingDistributionPoint(s.crlURL(index + 1))
			if err != nil {
				return nil, err
			}
			list.ExtraExtensions = []pkix.Extension{other}
		case crlNumber:
			list.Number = big.NewInt(1)
		}
	}
	der, err = x509.CreateRevocationList(rand.Reader, list, issuer.certificate, issuer.key)
	if err == nil && s.defects.has(crlSignature) {
		der = spoil(der)
	}
	return der, err
}

// revokedIn are the entries of a shard that are due at now, in the order in which
// the certificates were issued.
func (s *signer) revokedIn(index int, now time.Time) (entries []x509.RevocationListEntry) {
	if s.defects.has(crlAbsent) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, serial := range s.serial {
		r := s.issued[serial]
		if r.revoked.IsZero() || now.Before(r.revoked.Add(s.options.crlDelay)) || s.shard(r.certificate.SerialNumber) != index {
			continue
		}
		entries = append(entries, x509.RevocationListEntry{
			SerialNumber: r.certificate.SerialNumber, RevocationTime: r.revoked, ReasonCode: r.reason,
		})
	}
	return entries
}

// paddingSerial is a serial number that no certificate has.
func paddingSerial(i int) *big.Int {
	serial := new(big.Int).Lsh(big.NewInt(0x04), 17*8) // ours begin with 3
	return serial.Add(serial, big.NewInt(int64(i)))
}

// issuingDistributionPoint is the extension of a CRL of end-entity certificates
// that is at url.
func issuingDistributionPoint(url string) (pkix.Extension, error) {
	tag := func(n uint8) cryptobyteasn1.Tag { return cryptobyteasn1.Tag(n).ContextSpecific() }
	var b cryptobyte.Builder
	b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tag(0).Constructed(), func(b *cryptobyte.Builder) { // distributionPoint
			b.AddASN1(tag(0).Constructed(), func(b *cryptobyte.Builder) { // fullName
				b.AddASN1(tag(6), func(b *cryptobyte.Builder) { b.AddBytes([]byte(url)) })
			})
		})
		b.AddASN1(tag(1), func(b *cryptobyte.Builder) { b.AddUint8(0xff) }) // onlyContainsUserCerts
	})
	value, err := b.Bytes()
	return pkix.Extension{Id: oidIssuingDistributionPoint, Critical: true, Value: value}, err
}
