// Package config is the configuration: its schema, its strict loading with the
// position of every mistake, the presets of public CAs, and what of it may be
// shown.
//
// It knows nothing of how a probe is done; the words it shares with the rest
// of the program are those of the package probe.
package config

import (
	"crypto/x509"
	"net/netip"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Config is a configuration file. Names are the maps' keys.
type Config struct {
	Targets    map[string]*Target `yaml:"targets"`
	Responders Responders         `yaml:"responders,omitempty"`
	Modules    map[string]*Module `yaml:"modules,omitempty"`
	// Resolvers are the recursive name servers that say how the world sees our
	// zones: ip or ip:port; default 1.1.1.1:53 and 9.9.9.9:53. After loading ip:port.
	Resolvers []string  `yaml:"resolvers,omitempty"`
	Controls  Controls  `yaml:"controls,omitempty"`
	Incidents Incidents `yaml:"incidents,omitempty"`
	// LogListFile is a list of CT logs in Google's JSON schema, version 3, instead of
	// the one that is shipped; empty: that one.
	LogListFile string `yaml:"log_list_file,omitempty"`

	// logList is what LogListFile held when it was loaded.
	logList []byte
	// source knows where the values stand in the file; nil: there was none.
	source *problems
}

// Environment says what a CA's certificates are for. It becomes a label.
type Environment string

// The environments.
const (
	Production Environment = "production"
	Staging    Environment = "staging"
)

// Target is a CA. After loading, what its preset says is filled in.
type Target struct {
	Preset string `yaml:"preset,omitempty"`
	// DirectoryURL is an https URL (RFC 8555 §7.1.1); from the preset if empty.
	DirectoryURL string `yaml:"directory_url,omitempty"`
	// Environment defaults to the preset's, else production.
	Environment Environment `yaml:"environment,omitempty"`
	// OwnCA lifts a preset's floors, for those whose CA it is.
	OwnCA   bool    `yaml:"own_ca,omitempty"`
	Account Account `yaml:"account,omitempty"`
	// TLSConfig says whom to trust; empty: the system's roots.
	TLSConfig promconfig.TLSConfig `yaml:"tls_config,omitempty"`
	// ProxyConfig is proxy_url, no_proxy, proxy_from_environment, proxy_connect_header.
	ProxyConfig promconfig.ProxyConfig `yaml:",inline"`
	// AllowNetworks are special-purpose networks that the CA's URLs may lead
	// into, beside the one in which the directory itself lives.
	AllowNetworks []netip.Prefix `yaml:"allow_networks,omitempty"`
	// IssuerDomainName is the CA's in CAA records (RFC 8659 §4.2), such as
	// letsencrypt.org: dns-persist-01 authorizes nobody else. From the preset if empty.
	IssuerDomainName string `yaml:"issuer_domain_name,omitempty"`
	// IssuerRoots are those to which issued certificates have to lead: a file in PEM,
	// or one of [RootsSystem], [RootsPreset] and [RootsNone].
	IssuerRoots string `yaml:"issuer_roots,omitempty"`
	// RateLimits is what differs from the preset's; nil: nothing. What is in force,
	// Limits and Share say.
	RateLimits *RateLimits `yaml:"rate_limits,omitempty"`
	// Probes maps modules to intervals; 0: only when scraped.
	Probes map[string]model.Duration `yaml:"probes"`

	// ownLogList says that the configuration has a list of logs of its own.
	ownLogList bool
	// files are digests of what the target's files held when they were loaded,
	// for the hash of its pairs.
	files   []string
	issuers *x509.CertPool // of a file or the preset; nil: neither
}

// Account is the account that a target's signed requests come from.
type Account struct {
	// Contact are URLs such as mailto:pki@example.org (RFC 8555 §7.1.2). The
	// first one is also in the User-Agent.
	Contact []string `yaml:"contact,omitempty"`
	// AgreeToTerms must be true before an account is created with a CA that has terms.
	AgreeToTerms bool `yaml:"agree_to_terms,omitempty"`
	// KeyType is that of keys which are made from now on, for a new account or by
	// a rotation; default ecdsa-p256. A key that is there already stays.
	KeyType string `yaml:"key_type,omitempty"`
	// ExternalAccountBinding is RFC 8555 §7.3.4's; nil: none.
	ExternalAccountBinding *ExternalAccountBinding `yaml:"external_account_binding,omitempty"`
}

// ExternalAccountBinding binds our account to one with the CA's operator.
type ExternalAccountBinding struct {
	KeyID string `yaml:"key_id"`
	// One of the two: the HMAC key in base64url, or the file that holds it.
	HMACKey     promconfig.Secret `yaml:"hmac_key,omitempty"`
	HMACKeyFile string            `yaml:"hmac_key_file,omitempty"`
}

// Responders are our own listeners for the CA's validators.
type Responders struct {
	HTTP    *HTTPResponder    `yaml:"http,omitempty"`     // http-01; nil: none
	TLSALPN *TLSALPNResponder `yaml:"tls_alpn,omitempty"` // tls-alpn-01; nil: none
	DNS     *DNSResponder     `yaml:"dns,omitempty"`      // dns-01 and the zone's names; nil: none
	// DNSUpdates are the zones at name servers elsewhere that take our records.
	DNSUpdates []DNSUpdate `yaml:"dns_updates,omitempty"`
	// DNSAliases are domains elsewhere whose _acme-challenge names are CNAME
	// records that lead into a zone of DNS or of DNSUpdates.
	DNSAliases []string `yaml:"dns_aliases,omitempty"`
}

// DNSUpdate is a zone at a name server elsewhere that takes dynamic updates (RFC
// 2136).
type DNSUpdate struct {
	Zone   string `yaml:"zone"`   // lower case, without the final dot; labels may begin with _
	Server string `yaml:"server"` // its primary: host or host:port, default port 53; host:port after loading
	TSIG   *TSIG  `yaml:"tsig"`   // who we are there (RFC 8945); must not be nil
}

// TSIG is a key that a name server knows us by (RFC 8945).
type TSIG struct {
	KeyName   string `yaml:"key_name"`
	Algorithm string `yaml:"algorithm,omitempty"` // hmac-sha224, -sha256, -sha384 or -sha512; default hmac-sha256
	// One of the two: the secret in base64, or the file that holds it.
	Secret     promconfig.Secret `yaml:"secret,omitempty"`
	SecretFile string            `yaml:"secret_file,omitempty"`
}

// HTTPResponder answers http-01 (RFC 8555 §8.3).
type HTTPResponder struct {
	// ListenAddress is host:port; default ":80".
	ListenAddress string `yaml:"listen_address"`
	// TrustedProxies are the networks of reverse proxies whose X-Forwarded-For is
	// believed; empty: nobody's.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies,omitempty"`
}

// TLSALPNResponder answers tls-alpn-01 (RFC 8737).
type TLSALPNResponder struct {
	// ListenAddress is host:port; default ":443".
	ListenAddress string `yaml:"listen_address"`
	// ProxyProtocol are the networks of reverse proxies, which must send a PROXY
	// header, of version 1 or 2; anybody else must not. Empty: nobody sends one.
	ProxyProtocol []netip.Prefix `yaml:"proxy_protocol,omitempty"`
}

// DNSResponder is an authoritative server for the probe zones.
type DNSResponder struct {
	ListenAddress string   `yaml:"listen_address"` // UDP and TCP; default ":53"
	Zones         []string `yaml:"zones"`          // lower case, without the final dot
	Nameserver    string   `yaml:"nameserver"`     // the NS and SOA MNAME of every zone
	// Addresses are the A and AAAA of the zones and of every name beneath.
	Addresses []netip.Addr `yaml:"addresses,omitempty"`
	CAA       []CAA        `yaml:"caa,omitempty"` // at every name; empty: NODATA
}

// CAA is one CAA record (RFC 8659).
type CAA struct {
	Flag  uint8  `yaml:"flag,omitempty"`
	Tag   string `yaml:"tag"`
	Value string `yaml:"value"`
}

// IPProtocol says over which address family a CA is reached.
type IPProtocol string

// The values of ip_protocol.
const (
	IPAny IPProtocol = "any"
	IP4   IPProtocol = "ip4"
	IP6   IPProtocol = "ip6"
)

// ConnectionMode says whether runs share connections.
type ConnectionMode string

// The values of connection.
const (
	ConnectionFresh ConnectionMode = "fresh" // each run opens its own
	ConnectionReuse ConnectionMode = "reuse" // runs of a pair share an idle one
)

// Module is a configured prober: what to do and what to expect. After loading
// every field is filled in.
type Module struct {
	// Prober defaults to the module's own name where that is a prober's.
	Prober probe.Prober `yaml:"prober"`
	// Timeout bounds a run; at least 100 ms.
	Timeout model.Duration `yaml:"timeout,omitempty"`
	// MinInterval is the least time between the starts of two runs; scrapes that
	// come sooner get the last result. Default 1 s; a preset's floor wins.
	MinInterval model.Duration `yaml:"min_interval,omitempty"`
	// Critical: while the module is down on a target, the target is; else it is
	// degraded. Nil: as its prober is.
	Critical   *bool          `yaml:"critical,omitempty"`
	IPProtocol IPProtocol     `yaml:"ip_protocol,omitempty"`
	Connection ConnectionMode `yaml:"connection,omitempty"`
	// Order, Validate and Issue: the section of the prober's own name; the others nil.
	Order    *Order    `yaml:"order,omitempty"`
	Validate *Validate `yaml:"validate,omitempty"`
	Issue    *Issue    `yaml:"issue,omitempty"`
	// CRL, OCSP, AIA, Site, RenewalInfo and StatusPage: likewise.
	CRL         *CRL         `yaml:"crl,omitempty"`
	OCSP        *Certificate `yaml:"ocsp,omitempty"`
	AIA         *Certificate `yaml:"aia,omitempty"`
	Site        *Site        `yaml:"site,omitempty"`
	RenewalInfo *RenewalInfo `yaml:"renewal_info,omitempty"`
	StatusPage  *StatusPage  `yaml:"status_page,omitempty"`

	// files are digests of what the sections' files held when they were loaded, for
	// the hash of its pairs.
	files []string
	// timeoutByDefault says that Timeout was not written, so that a preset's may
	// take its place.
	timeoutByDefault bool
}

// Order says what to order.
type Order struct {
	Names Names `yaml:"names,omitempty"`
	// Profile is the CA's certificate profile to ask for (draft-aaron-acme-profiles);
	// empty: none, and the CA takes its default.
	Profile string `yaml:"profile,omitempty"`
}

// The values of key_type, names.mode, tsig.algorithm and persist_policy.
const (
	KeyECDSAP256   = "ecdsa-p256"
	KeyECDSAP384   = "ecdsa-p384"
	KeyRSA2048     = "rsa-2048"
	KeyRSA4096     = "rsa-4096"
	NamesRandom    = "random"
	NamesFixed     = "fixed"
	NamesPool      = "pool"
	HMACSHA224     = "hmac-sha224"
	HMACSHA256     = "hmac-sha256"
	HMACSHA384     = "hmac-sha384"
	HMACSHA512     = "hmac-sha512"
	PolicyWildcard = "wildcard"
)

// AuthorizationMode says what to do about authorizations that are valid already.
type AuthorizationMode string

// The values of authorization. They are two different measurements.
const (
	// AuthorizationFresh deactivates a valid authorization that is found and one
	// that was used, so that each run has the CA validate.
	AuthorizationFresh AuthorizationMode = "fresh"
	// AuthorizationReuse takes a valid one as it is, and leaves it.
	AuthorizationReuse AuthorizationMode = "reuse"
)

// Validate says what to have validated, and how.
type Validate struct {
	Challenge probe.ChallengeType `yaml:"challenge,omitempty"`
	Names     Names               `yaml:"names,omitempty"`
	Profile   string              `yaml:"profile,omitempty"` // as for Order
	// PersistPolicy is that of dns-persist-01's record: "wildcard", or empty for none.
	PersistPolicy string `yaml:"persist_policy,omitempty"`
	// MinimumNetworks is from how many networks validators are expected to fetch the
	// answer; fewer are worth a warning. 0: nothing is expected.
	MinimumNetworks int `yaml:"minimum_networks,omitempty"`
}

// Issue says what to have issued, and how.
type Issue struct {
	Challenge     probe.ChallengeType `yaml:"challenge,omitempty"`
	Names         Names               `yaml:"names,omitempty"`
	Authorization AuthorizationMode   `yaml:"authorization,omitempty"` // default fresh
	// KeyType is that of the certificate's key, which is made for each run; default
	// "ecdsa-p256".
	KeyType       string `yaml:"key_type,omitempty"`
	Profile       string `yaml:"profile,omitempty"`        // as for Order
	PersistPolicy string `yaml:"persist_policy,omitempty"` // as for Validate
	// MinimumNetworks is as for Validate.
	MinimumNetworks int `yaml:"minimum_networks,omitempty"`
	// Lint has zlint look at each certificate.
	Lint bool `yaml:"lint,omitempty"`
	// Revoke has some of the certificates revoked; nil: none.
	Revoke *Revoke `yaml:"revoke,omitempty"`
	// Expect is what has to happen instead of an issuance; nil: a certificate is issued.
	Expect *Expect `yaml:"expect,omitempty"`
}

// Expect says how the CA has to refuse.
type Expect struct {
	// Problem is the type of the problem that it has to refuse with (RFC 8555 §6.7):
	// unauthorized, caa or rejectedIdentifier.
	Problem string `yaml:"problem"`
}

// Names says for which names.
type Names struct {
	// Zone is the domain beneath which random names lie; default: the only zone
	// over Responders.DNS and Responders.DNSUpdates.
	Zone string `yaml:"zone,omitempty"`
	// Count of random names in one order: 1 to 100; default 1.
	Count int `yaml:"count,omitempty"`
	// Mode "random": names nobody has used before, each run; "fixed": those of List;
	// "pool": names that once were random, in sets that take turns.
	Mode string `yaml:"mode,omitempty"`
	// Sets is how many sets of Count names a pool has.
	Sets int `yaml:"size,omitempty"`
	// Wildcard orders *.x together with each random name x.
	Wildcard bool `yaml:"wildcard,omitempty"`
	// List are the fixed names: domains, wildcards of domains, and IP addresses
	// (RFC 8738) as they are printed.
	List []string `yaml:"list,omitempty"`
}

// Size is how many identifiers an order for the names has.
func (n *Names) Size() int {
	switch {
	case n.Mode == NamesFixed:
		return len(n.List)
	case n.Wildcard:
		return 2 * n.Count
	default:
		return n.Count
	}
}

// Pair is a module on a target, with everything in force for it.
type Pair struct {
	probe.Pair
	Target *Target
	// Module has this pair's own Timeout and MinInterval.
	Module *Module
	// Interval between ticks; 0: only when scraped.
	Interval time.Duration
	// MinInterval is the module's or the preset's floor, whichever is longer.
	MinInterval time.Duration
	Timeout     time.Duration
	// Hash identifies the pair's effective configuration: unchanged pairs keep
	// their counters, history and timeline over a reload.
	Hash string
}
