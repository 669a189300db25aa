package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// The defects that the signing back end can have.
const (
	leafSignature   = "leaf-signature"
	leafIssuer      = "leaf-issuer"
	leafKey         = "leaf-key"
	leafNameAdded   = "leaf-name-added"
	leafNameOther   = "leaf-name-other"
	leafLong        = "leaf-validity"
	leafExpired     = "leaf-expired"
	leafFuture      = "leaf-future"
	leafShortSerial = "leaf-short-serial"
	leafKeyUsage    = "leaf-key-usage"
	leafExtKeyUsage = "leaf-extended-key-usage"
	leafExtension   = "leaf-extension"
	leafCA          = "leaf-ca"
	leafNoCRL       = "leaf-no-crl"
	leafNoAIA       = "leaf-no-aia"

	chainOrder      = "chain-order"
	chainIncomplete = "chain-incomplete"
	chainForeign    = "chain-foreign"

	sctNone         = "sct-none"
	sctOne          = "sct-one"
	sctSameOperator = "sct-same-operator"
	sctUnknownLog   = "sct-unknown-log"
	sctOther        = "sct-other-certificate"
	sctSignature    = "sct-signature"
	sctFuture       = "sct-future"

	crlSignature   = "crl-signature"
	crlIssuer      = "crl-issuer"
	crlExpired     = "crl-expired"
	crlFuture      = "crl-future"
	crlNoIDP       = "crl-no-idp"
	crlOtherIDP    = "crl-other-idp"
	crlAbsent      = "crl-serial-absent"
	crlNumber      = "crl-number"
	crlContentType = "crl-content-type"
	crlPEM         = "crl-pem"
	crlMissing     = "crl-missing"

	ocspUnknown     = "ocsp-unknown"
	ocspGood        = "ocsp-good"
	ocspStale       = "ocsp-stale"
	ocspSigner      = "ocsp-signer"
	ocspDelegation  = "ocsp-delegation"
	ocspSignature   = "ocsp-signature"
	ocspOther       = "ocsp-other-serial"
	ocspTryLater    = "ocsp-try-later"
	ocspContentType = "ocsp-content-type"
	ocspNoGet       = "ocsp-no-get"
	ocspNoPost      = "ocsp-no-post"

	revokeError   = "revoke-error"
	revokeAlready = "revoke-already"
	revokeLost    = "revoke-lost"

	aiaPEM         = "aia-pem"
	aiaSubject     = "aia-subject"
	aiaContentType = "aia-content-type"
	aiaMissing     = "aia-missing"

	siteValidExpired = "site-valid-expired"
	siteExpiredValid = "site-expired-valid"
	siteRevokedValid = "site-revoked-valid"
	siteIncomplete   = "site-incomplete"
)

// defectTexts say what each defect is. Those of leaves, chains and SCTs are of
// the certificates that are issued from then on; the others show at once.
var defectTexts = map[string]string{
	leafSignature:   "the certificate's signature is none",
	leafIssuer:      "another CA has signed it",
	leafKey:         "it is for another key",
	leafNameAdded:   "it has a name that nobody asked for",
	leafNameOther:   "its first name is another",
	leafLong:        "it is valid for twice as long",
	leafExpired:     "it has expired when it is issued",
	leafFuture:      "it is valid from tomorrow only",
	leafShortSerial: "its serial number has 32 bits",
	leafKeyUsage:    "it may sign no handshake: keyAgreement instead of digitalSignature",
	leafExtKeyUsage: "it is for clients only",
	leafExtension:   "it has an extension that nobody knows",
	leafCA:          "it is a CA's",
	leafNoCRL:       "it names no CRL",
	leafNoAIA:       "it says neither where its issuer is nor who answers for it",

	chainOrder:      "the root comes before the intermediate",
	chainIncomplete: "the intermediate is missing",
	chainForeign:    "the intermediate is another CA's",

	sctNone:         "no SCT",
	sctOne:          "one SCT only",
	sctSameOperator: "both SCTs are of one operator",
	sctUnknownLog:   "one SCT is of a log that is in no list",
	sctOther:        "one SCT is of another certificate",
	sctSignature:    "the signature of one SCT is none",
	sctFuture:       "one SCT is of tomorrow",

	crlSignature:   "the CRL's signature is none",
	crlIssuer:      "another CA has issued it",
	crlExpired:     "nextUpdate has passed",
	crlFuture:      "thisUpdate is tomorrow",
	crlNoIDP:       "it has no issuing distribution point",
	crlOtherIDP:    "its issuing distribution point is another shard's",
	crlAbsent:      "it has none of the serial numbers that it should",
	crlNumber:      "its number is lower than before",
	crlContentType: "it comes as text/plain",
	crlPEM:         "it comes as PEM",
	crlMissing:     "404",

	ocspUnknown:     "the responder knows no certificate",
	ocspGood:        "revoked certificates are good",
	ocspStale:       "nextUpdate has passed",
	ocspSigner:      "another CA has signed the answer",
	ocspDelegation:  "it is signed by a certificate of the issuer's that is not for OCSP",
	ocspSignature:   "its signature is none",
	ocspOther:       "it is about another serial number",
	ocspTryLater:    "tryLater",
	ocspContentType: "it comes as text/plain",
	ocspNoGet:       "405 to GET",
	ocspNoPost:      "405 to POST",

	revokeError:   "500 to who wants to revoke, and nothing is",
	revokeAlready: "who revokes is told that it was done before",
	revokeLost:    "what is revoked is never published",

	aiaPEM:         "the issuer comes as PEM",
	aiaSubject:     "it is another CA",
	aiaContentType: "it comes as text/plain",
	aiaMissing:     "404",

	siteValidExpired: "the valid site's certificate has expired",
	siteExpiredValid: "the expired site's certificate has not",
	siteRevokedValid: "the revoked site's certificate is not revoked",
	siteIncomplete:   "no site sends the intermediate",
}

// defects are those that are in force.
type defects struct {
	mu    sync.Mutex // guards names
	names map[string]bool
}

// has reports whether name is in force.
func (d *defects) has(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[name]
}

// list returns those that are in force, sorted.
func (d *defects) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string{}, slices.Sorted(maps.Keys(d.names))...)
}

// set puts names in force, and no others.
func (d *defects) set(names []string) error {
	wanted := map[string]bool{}
	for _, name := range names {
		if _, ok := defectTexts[name]; !ok {
			return fmt.Errorf("set defects: %q is none of %s", name, strings.Join(slices.Sorted(maps.Keys(defectTexts)), ", "))
		}
		wanted[name] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names = wanted
	return nil
}

// serve is POST /defects?name=N&name=M: these are in force, and no others; none:
// all is well. It answers what each of them is.
func (d *defects) serve(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := d.set(r.Form["name"]); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	texts := map[string]string{}
	for _, name := range d.list() {
		texts[name] = defectTexts[name]
	}
	answer(w, texts)
}
