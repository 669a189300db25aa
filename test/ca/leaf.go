package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// domainValidated is the policy of certificates for whoever controls the domain
// (CA/Browser Forum).
var domainValidated, _ = x509.OIDFromInts([]uint64{2, 23, 140, 1, 2, 1}) // it cannot fail

// oidNobody is an extension that no profile has.
var oidNobody = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 6}

// issue issues a certificate that is what asked is about: its key, names,
// addresses, subject and dates, and its extensions in ExtraExtensions. What is
// wrong with it the defects in force say.
func (s *signer) issue(asked *x509.Certificate) (*x509.Certificate, error) {
	template := &x509.Certificate{
		Subject:               asked.Subject,
		DNSNames:              slices.Clone(asked.DNSNames),
		IPAddresses:           asked.IPAddresses,
		NotBefore:             asked.NotBefore,
		NotAfter:              asked.NotAfter,
		SerialNumber:          newSerial(),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		Policies:              []x509.OID{domainValidated},
		BasicConstraintsValid: true,
		ExtraExtensions:       slices.Clone(asked.ExtraExtensions),
	}
	key := asked.PublicKey
	if s.defects.has(leafKey) {
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		key = other.Public()
	}
	s.spoilTemplate(template)
	if !s.defects.has(leafNoCRL) {
		template.CRLDistributionPoints = []string{s.crlURL(s.shard(template.SerialNumber))}
	}
	if !s.defects.has(leafNoAIA) {
		template.IssuingCertificateURL = []string{s.base + issuerPath}
		if s.options.ocsp {
			template.OCSPServer = []string{s.base + ocspPath}
		}
	}
	issuer := s.issuer
	if s.defects.has(leafIssuer) {
		issuer = s.stranger
	}
	if err := s.addSCTs(template, key, issuer); err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	certificate, err := issuer.sign(template, key)
	if err == nil && s.defects.has(leafSignature) {
		certificate, err = x509.ParseCertificate(spoil(certificate.Raw))
	}
	if err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	s.remember(certificate)
	return certificate, nil
}

// spoilTemplate makes of template what the defects in force say.
func (s *signer) spoilTemplate(template *x509.Certificate) {
	now := time.Now()
	lifetime := template.NotAfter.Sub(template.NotBefore)
	for _, defect := range s.defects.list() {
		switch defect {
		case leafNameAdded:
			template.DNSNames = append(template.DNSNames, "unasked.example")
		case leafNameOther:
			if len(template.DNSNames) > 0 {
				template.DNSNames[0] = "other.example"
			}
		case leafLong:
			template.NotAfter = template.NotAfter.Add(lifetime)
		case leafExpired:
			template.NotBefore, template.NotAfter = now.Add(-lifetime-backdated), now.Add(-backdated)
		case leafFuture:
			template.NotBefore, template.NotAfter = now.Add(24*time.Hour), now.Add(24*time.Hour+lifetime)
		case leafShortSerial:
			var serial [4]byte
			_, _ = rand.Read(serial[1:]) // never fails
			serial[0] = 0x03
			template.SerialNumber = new(big.Int).SetBytes(serial[:])
		case leafKeyUsage:
			template.KeyUsage = x509.KeyUsageKeyAgreement
		case leafExtKeyUsage:
			template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		case leafExtension:
			template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: oidNobody, Value: asn1.NullBytes})
		case leafCA:
			template.IsCA = true
		}
	}
}

// addSCTs shows template's precertificate to the logs, and has it carry what they
// promise.
func (s *signer) addSCTs(template *x509.Certificate, key any, issuer *authority) error {
	if s.defects.has(sctNone) {
		return nil
	}
	precertificate, err := precertify(template, key, issuer)
	if err != nil {
		return err
	}
	logs := []*ctLog{s.logs[0], s.logs[1]}
	switch {
	case s.defects.has(sctOne):
		logs = logs[:1]
	case s.defects.has(sctSameOperator):
		logs[1] = s.logs[2]
	case s.defects.has(sctUnknownLog):
		logs[1] = s.unlisted
	}
	var scts [][]byte
	// In whole seconds: openssl, whose clock goes by them, takes what is later for
	// the future.
	now := time.Now().Truncate(time.Second)
	for i, log := range logs {
		entry, when := precertificate, now
		last := i == len(logs)-1
		if last && s.defects.has(sctOther) {
			other := *template
			other.SerialNumber = newSerial()
			if entry, err = precertify(&other, key, issuer); err != nil {
				return err
			}
		}
		if last && s.defects.has(sctFuture) {
			when = when.Add(24 * time.Hour)
		}
		sct, err := log.add(entry, issuer.certificate, when)
		if err != nil {
			return err
		}
		if last && s.defects.has(sctSignature) {
			sct = spoil(sct)
		}
		scts = append(scts, sct)
	}
	extension, err := sctExtension(scts)
	template.ExtraExtensions = append(template.ExtraExtensions, extension)
	return err
}

// precertify signs the precertificate of template, which it leaves as it is.
func precertify(template *x509.Certificate, key any, issuer *authority) (*x509.Certificate, error) {
	poisoned := *template
	poisoned.ExtraExtensions = append(slices.Clone(template.ExtraExtensions), poison)
	return issuer.sign(&poisoned, key)
}
