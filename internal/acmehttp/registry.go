package acmehttp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What a registry learns at most.
const (
	maxNames      = 2048 // URLs of one run
	maxLearntURL  = 2048 // bytes of a URL that is learnt
	maxAlternates = 100  // links of one answer
)

// registry knows what each URL of a run is for, by where the URL was learnt and
// never by its path. The first role of a URL wins.
type registry struct {
	mu    sync.Mutex // guards the fields below
	names map[string]probe.CallName
	// read has the authorizations that have taught their challenges. Polls of them
	// are the most frequent answers, and bring no URL that is new.
	read map[string]bool
	// renewal is the renewalInfo URL, beneath which each certificate has its own
	// (RFC 9773 §4.1); empty: none.
	renewal string
}

func newRegistry(directory *url.URL) *registry {
	return &registry{
		names: map[string]probe.CallName{urlKey(directory): probe.CallDirectory},
		read:  make(map[string]bool),
	}
}

// urlKey is what a URL is known by: without fragment and user info, scheme and
// host in lower case, the default port left out.
func urlKey(u *url.URL) string {
	k := *u
	k.Fragment, k.RawFragment, k.User = "", "", nil
	k.Scheme = strings.ToLower(k.Scheme)
	k.Host = strings.ToLower(k.Host)
	if k.Scheme == "https" {
		k.Host = strings.TrimSuffix(k.Host, ":443")
	}
	return k.String()
}

// lookup returns the role of the URL with this key, or probe.CallUnknown.
func (r *registry) lookup(key string) probe.CallName {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name, ok := r.names[key]; ok {
		return name
	}
	if r.renewal != "" && len(key) > len(r.renewal) && strings.HasPrefix(key, r.renewal) {
		return probe.CallRenewalInfo
	}
	return probe.CallUnknown
}

// add gives the URL ref, relative to base, a role if it has none yet.
func (r *registry) add(base *url.URL, ref string, name probe.CallName) {
	if ref == "" {
		return
	}
	r.mu.Lock()
	_, known := r.names[ref] // a key is absolute, and resolves to itself
	r.mu.Unlock()
	if known {
		return
	}
	key := resolve(base, ref)
	if key == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.names[key]; !known && len(r.names) < maxNames {
		r.names[key] = name
	}
}

// addRenewal makes ref, relative to base, the prefix of renewal information.
func (r *registry) addRenewal(base *url.URL, ref string) {
	key := resolve(base, ref)
	if key == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.renewal == "" {
		r.renewal = strings.TrimSuffix(key, "/") + "/"
	}
}

// resolve returns the key of ref relative to base; empty: it is none that is
// learnt.
func resolve(base *url.URL, ref string) string {
	if ref == "" || len(ref) > maxLearntURL {
		return ""
	}
	u, err := base.Parse(ref)
	if err != nil || u.Host == "" {
		return ""
	}
	return urlKey(u)
}

// learn takes from an answer the URLs that it teaches. Errors are not its
// business: what cannot be read teaches nothing.
func (r *registry) learn(base *url.URL, name probe.CallName, status int, header http.Header, body []byte) {
	if status < 200 || status > 299 {
		return
	}
	switch name {
	case probe.CallDirectory:
		r.learnDirectory(base, body)
	case probe.CallNewAccount:
		r.add(base, header.Get("Location"), probe.CallAccount)
	case probe.CallNewOrder:
		r.add(base, header.Get("Location"), probe.CallOrder)
		r.learnOrder(base, body)
	case probe.CallFinalize:
		r.add(base, header.Get("Location"), probe.CallOrder)
		if bytes.Contains(body, []byte(`"certificate"`)) { // the rest was known before
			r.learnOrder(base, body)
		}
	case probe.CallOrder:
		r.learnOrder(base, body)
	case probe.CallNewAuthz:
		r.add(base, header.Get("Location"), probe.CallAuthz)
		r.learnAuthorization(base, body)
	case probe.CallAuthz, probe.CallDeactivateAuthz:
		r.learnAuthorization(base, body)
	case probe.CallCertificate:
		for _, ref := range alternates(header.Values("Link")) {
			r.add(base, ref, probe.CallCertificate)
		}
	}
}

// learnDirectory reads RFC 8555 §7.1.1.
func (r *registry) learnDirectory(base *url.URL, body []byte) {
	var d struct {
		NewNonce    string `json:"newNonce"`
		NewAccount  string `json:"newAccount"`
		NewOrder    string `json:"newOrder"`
		NewAuthz    string `json:"newAuthz"`
		RevokeCert  string `json:"revokeCert"`
		KeyChange   string `json:"keyChange"`
		RenewalInfo string `json:"renewalInfo"`
	}
	decode(body, &d)
	r.add(base, d.NewNonce, probe.CallNewNonce)
	r.add(base, d.NewAccount, probe.CallNewAccount)
	r.add(base, d.NewOrder, probe.CallNewOrder)
	r.add(base, d.NewAuthz, probe.CallNewAuthz)
	r.add(base, d.RevokeCert, probe.CallRevokeCert)
	r.add(base, d.KeyChange, probe.CallKeyChange)
	r.addRenewal(base, d.RenewalInfo)
}

// learnOrder reads RFC 8555 §7.1.3.
func (r *registry) learnOrder(base *url.URL, body []byte) {
	var o struct {
		Authorizations []string `json:"authorizations"`
		Finalize       string   `json:"finalize"`
		Certificate    string   `json:"certificate"`
	}
	decode(body, &o)
	r.add(base, o.Finalize, probe.CallFinalize)
	r.add(base, o.Certificate, probe.CallCertificate)
	for i := range min(len(o.Authorizations), maxNames) {
		r.add(base, o.Authorizations[i], probe.CallAuthz)
	}
}

// learnAuthorization reads RFC 8555 §7.1.4.
func (r *registry) learnAuthorization(base *url.URL, body []byte) {
	var a struct {
		Challenges []struct {
			URL string `json:"url"`
		} `json:"challenges"`
	}
	key := urlKey(base)
	r.mu.Lock()
	read := r.read[key]
	r.mu.Unlock()
	if read {
		return
	}
	decode(body, &a)
	for i := range min(len(a.Challenges), maxNames) {
		r.add(base, a.Challenges[i].URL, probe.CallChallenge)
	}
	if len(a.Challenges) > 0 {
		r.mu.Lock()
		r.read[key] = true
		r.mu.Unlock()
	}
}

// decode reads what it can of a JSON object into v. A field of another type
// than expected is left empty; the rest is read all the same.
func decode(body []byte, v any) {
	for _, c := range body {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			// A syntax error leaves v empty: json.Unmarshal checks the whole first.
			_ = json.Unmarshal(body, v)
		}
		return
	}
}

// alternates returns the targets of the links with rel="alternate" (RFC 8288
// §3, RFC 8555 §7.4.2).
func alternates(links []string) []string {
	var refs []string
	for _, link := range links {
		for len(refs) < maxAlternates {
			_, rest, ok := strings.Cut(link, "<")
			if !ok {
				break
			}
			ref, rest, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			params, next := cutUnquoted(rest)
			if hasRel(params, "alternate") {
				refs = append(refs, ref)
			}
			link = next
		}
	}
	return refs
}

// cutUnquoted cuts s at the first comma that is not within quotes.
func cutUnquoted(s string) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// hasRel reports whether a link's parameters give it the relation rel.
func hasRel(params, rel string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "rel") {
			continue
		}
		for word := range strings.FieldsSeq(strings.Trim(strings.TrimSpace(value), `"`)) {
			if strings.EqualFold(word, rel) {
				return true
			}
		}
		return false // RFC 8288 §3.3: only the first one counts
	}
	return false
}
