package revocation

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	stdasn1 "encoding/asn1"
)

// CRL is a certificate revocation list as it was read: not yet verified.
type CRL struct {
	Issuer     []byte    // the distinguished name, in DER
	ThisUpdate time.Time // to the second
	NextUpdate time.Time // zero: it names none
	Number     *big.Int  // nil: none
	Entries    int
	Bytes      int64
	// Listed is the entry of the serial that was looked for; nil: it is not there.
	Listed *Entry

	scope     *scope // nil: it is for all certificates of its issuer
	algorithm []byte // the AlgorithmIdentifier, in DER
	message   *message
	signature []byte
}

// Entry is a certificate that is revoked.
type Entry struct {
	At     time.Time
	Reason int // RFC 5280 §5.3.1; 0: unspecified, or none is given
}

// scope is an issuingDistributionPoint (RFC 5280 §5.2.5).
type scope struct {
	urls                     []string
	users, cas, attributes   bool // it is for these only
	someReasons, indirectCRL bool
}

// The tags that a CRL has, beside those of cryptobyte.
const (
	tagSequence = byte(asn1.SEQUENCE)
	tagExplicit = byte(0xa0) // crlExtensions [0]
)

// ReadCRL reads a CRL as it comes, in DER, and looks for an entry of the serial;
// nil: for none. Its memory does not grow with the number of entries, unless the
// signature is by Ed25519, for which there may be at most 8 MiB.
func ReadCRL(r io.Reader, serial *big.Int) (*CRL, error) {
	s, c := newStream(r), &CRL{}
	if err := c.read(s, serial); err != nil {
		return nil, fmt.Errorf("at byte %d: %w", s.pos, err)
	}
	c.Bytes = s.pos
	return c, nil
}

// read reads a CertificateList (RFC 5280 §5.1).
func (c *CRL) read(s *stream, serial *big.Int) error {
	end, err := s.enter(tagSequence, math.MaxInt64/2)
	if err != nil {
		return err
	}
	c.message = &message{}
	s.signed = c.message
	if err := c.readTBS(s, end, serial); err != nil {
		return err
	}
	s.signed = nil
	algorithm, err := s.element(end)
	if err != nil {
		return err
	}
	if !bytes.Equal(algorithm, c.algorithm) {
		return errors.New("the signature's algorithm is not the one that is signed (RFC 5280 §5.1.1.2)")
	}
	raw, err := s.element(end)
	if err != nil {
		return err
	}
	signature := cryptobyte.String(raw)
	if !signature.ReadASN1BitStringAsBytes(&c.signature) {
		return errors.New("the signature is no BIT STRING")
	}
	c.signature = bytes.Clone(c.signature)
	if s.pos != end {
		return errors.New("more after the signature")
	}
	if _, err := s.r.Peek(1); err == nil {
		return errors.New("more after the end")
	}
	return nil
}

// readTBS reads a TBSCertList.
func (c *CRL) readTBS(s *stream, end int64, serial *big.Int) error {
	end, err := s.enter(tagSequence, end)
	if err != nil {
		return err
	}
	if tag, err := s.next(end); err != nil {
		return err
	} else if tag == byte(asn1.INTEGER) {
		version, err := s.element(end)
		if err != nil {
			return err
		}
		if !bytes.Equal(version, []byte{2, 1, 1}) {
			return errors.New("the version is not 2")
		}
	}
	algorithm, err := s.element(end)
	if err != nil {
		return err
	}
	c.algorithm = bytes.Clone(algorithm)
	if err := c.message.use(c.algorithm); err != nil {
		return err
	}
	issuer, err := s.element(end)
	if err != nil {
		return err
	}
	if issuer[0] != tagSequence {
		return errors.New("the issuer is no name")
	}
	c.Issuer = bytes.Clone(issuer)
	if c.ThisUpdate, err = readTime(s, end); err != nil {
		return err
	}
	tag, err := s.next(end)
	if err == nil && (tag == byte(asn1.UTCTime) || tag == byte(asn1.GeneralizedTime)) {
		if c.NextUpdate, err = readTime(s, end); err == nil {
			tag, err = s.next(end)
		}
	}
	if err == nil && tag == tagSequence {
		if err = c.readEntries(s, end, serial); err == nil {
			tag, err = s.next(end)
		}
	}
	if err == nil && tag == tagExplicit {
		err = c.readExtensions(s, end)
	}
	if err == nil && s.pos != end {
		err = errors.New("more after the list")
	}
	return err
}

// readTime reads a Time (RFC 5280 §5.1.2.4).
func readTime(s *stream, end int64) (t time.Time, err error) {
	raw, err := s.element(end)
	if err != nil {
		return t, err
	}
	element := cryptobyte.String(raw)
	if !parseTime(&element, &t) {
		return t, errors.New("a time that cannot be read")
	}
	return t, nil
}

func parseTime(s *cryptobyte.String, t *time.Time) bool {
	if s.PeekASN1Tag(asn1.UTCTime) {
		return s.ReadASN1UTCTime(t)
	}
	return s.ReadASN1GeneralizedTime(t)
}

// readEntries reads the revokedCertificates.
func (c *CRL) readEntries(s *stream, end int64, serial *big.Int) error {
	end, err := s.enter(tagSequence, end)
	if err != nil {
		return err
	}
	var wanted []byte
	if serial != nil {
		var b cryptobyte.Builder
		b.AddASN1BigInt(serial)
		wanted = b.BytesOrPanic()
	}
	for s.pos < end {
		raw, err := s.element(end)
		if err != nil {
			return err
		}
		if err := c.readEntry(raw, wanted); err != nil {
			return fmt.Errorf("entry %d: %w", c.Entries+1, err)
		}
		c.Entries++
	}
	return nil
}

// readEntry reads one of them. Wanted is a serial in DER; nil: none.
func (c *CRL) readEntry(raw, wanted []byte) error {
	var entry, serial, rest cryptobyte.String
	in := cryptobyte.String(raw)
	if !in.ReadASN1(&entry, asn1.SEQUENCE) || !entry.ReadASN1Element(&serial, asn1.INTEGER) || len(serial) < 3 {
		return errors.New("no serial number")
	}
	listed := wanted != nil && bytes.Equal(serial, wanted)
	var at time.Time
	switch {
	case listed:
		if !parseTime(&entry, &at) {
			return errors.New("no revocation date")
		}
	case !entry.SkipASN1(asn1.UTCTime) && !entry.SkipASN1(asn1.GeneralizedTime):
		return errors.New("no revocation date")
	}
	reason := 0
	if !entry.Empty() {
		if !entry.ReadASN1(&rest, asn1.SEQUENCE) || !entry.Empty() {
			return errors.New("extensions that cannot be read")
		}
		err := eachExtension(rest, func(id cryptobyte.String, critical bool, value cryptobyte.String) error {
			switch {
			case string(id) == extReason:
				if !value.ReadASN1Enum(&reason) {
					return errors.New("a reason that cannot be read")
				}
			case critical && string(id) != extCertificateIssuer: // which an indirect CRL has, and that is told elsewhere
				return unknownExtension(id)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if listed {
		c.Listed = &Entry{At: at, Reason: reason}
	}
	return nil
}

// The extensions that are known, id-ce (2.5.29) and a number, in DER (RFC 5280 §5.2,
// §5.3).
const (
	extNumber            = "\x55\x1d\x14"
	extReason            = "\x55\x1d\x15"
	extScope             = "\x55\x1d\x1c"
	extCertificateIssuer = "\x55\x1d\x1d"
	extAuthorityKeyID    = "\x55\x1d\x23"
)

// unknownExtension is the error of a critical extension that nobody here knows.
func unknownExtension(id cryptobyte.String) error {
	var oid stdasn1.ObjectIdentifier
	if _, err := stdasn1.Unmarshal(append([]byte{byte(asn1.OBJECT_IDENTIFIER), byte(len(id))}, id...), &oid); err != nil {
		return errors.New("a critical extension that is not known")
	}
	return fmt.Errorf("a critical extension that is not known: %s", oid)
}

// readExtensions reads the crlExtensions.
func (c *CRL) readExtensions(s *stream, end int64) error {
	raw, err := s.element(end)
	if err != nil {
		return err
	}
	var outer, list cryptobyte.String
	in := cryptobyte.String(raw)
	if !in.ReadASN1(&outer, asn1.Tag(tagExplicit)) || !outer.ReadASN1(&list, asn1.SEQUENCE) || !outer.Empty() {
		return errors.New("extensions that cannot be read")
	}
	return eachExtension(list, func(id cryptobyte.String, critical bool, value cryptobyte.String) error {
		switch {
		case string(id) == extNumber:
			number := new(big.Int)
			// "CRL verifiers MUST be able to handle CRLNumber values up to 20 octets" (§5.2.3).
			if !value.ReadASN1Integer(number) || number.Sign() < 0 || number.BitLen() > 160 {
				return errors.New("a CRL number that cannot be read")
			}
			c.Number = number
		case string(id) == extScope:
			if c.scope, err = readScope(value); err != nil {
				return err
			}
		case critical && string(id) != extAuthorityKeyID:
			return unknownExtension(id)
		}
		return nil
	})
}

// eachExtension tells of each of some Extensions.
func eachExtension(list cryptobyte.String, tell func(id cryptobyte.String, critical bool, value cryptobyte.String) error) error {
	for !list.Empty() {
		var one, id, value cryptobyte.String
		var critical bool
		if !list.ReadASN1(&one, asn1.SEQUENCE) || !one.ReadASN1(&id, asn1.OBJECT_IDENTIFIER) ||
			one.PeekASN1Tag(asn1.BOOLEAN) && !one.ReadASN1Boolean(&critical) ||
			!one.ReadASN1(&value, asn1.OCTET_STRING) || !one.Empty() {
			return errors.New("an extension that cannot be read")
		}
		if err := tell(id, critical, value); err != nil {
			return err
		}
	}
	return nil
}

// maxScopeURLs is how many URLs of a scope are taken.
const maxScopeURLs = 20

// readScope reads an issuingDistributionPoint.
func readScope(value cryptobyte.String) (*scope, error) {
	broken := errors.New("an issuingDistributionPoint that cannot be read")
	var in, point, names cryptobyte.String
	var there, named bool
	context := func(n uint8) asn1.Tag { return asn1.Tag(n).ContextSpecific() }
	if !value.ReadASN1(&in, asn1.SEQUENCE) || !value.Empty() ||
		!in.ReadOptionalASN1(&point, &there, context(0).Constructed()) ||
		there && !point.ReadOptionalASN1(&names, &named, context(0).Constructed()) {
		return nil, broken
	}
	s := &scope{}
	for !names.Empty() {
		var name cryptobyte.String
		var tag asn1.Tag
		if !names.ReadAnyASN1(&name, &tag) {
			return nil, broken
		}
		if tag == context(6) && len(s.urls) < maxScopeURLs { // uniformResourceIdentifier
			s.urls = append(s.urls, string(name))
		}
	}
	for _, field := range []struct {
		tag   uint8
		value *bool
	}{{1, &s.users}, {2, &s.cas}, {3, &s.someReasons}, {4, &s.indirectCRL}, {5, &s.attributes}} {
		var bits cryptobyte.String
		var there bool
		if !in.ReadOptionalASN1(&bits, &there, context(field.tag)) || there && len(bits) == 0 {
			return nil, broken
		}
		// DER has true as 0xff, and leaves false out; of onlySomeReasons it matters only
		// that it is there.
		*field.value = there && (field.tag == 3 || bits[0] != 0)
	}
	if !in.Empty() {
		return nil, broken
	}
	return s, nil
}
