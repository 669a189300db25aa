package probe

// Lookup is a question for a name of ours to a resolver that is not: how the world
// sees it. It is asked when a validation has failed.
type Lookup struct {
	Resolver string `json:"resolver"` // ip:port
	Name     string `json:"name"`
	Type     string `json:"type"` // "TXT", or "A" and "AAAA" together as "A/AAAA"
	// Found: the answer has what the CA's validators have to find.
	Found bool `json:"found"`
	// Answer says in a word or two what came back: "1 value", "another value",
	// "NXDOMAIN", "NODATA", "SERVFAIL", "no answer".
	Answer string `json:"answer"`
	// Silent: there was no answer, so that nothing is known.
	Silent bool `json:"silent,omitempty"`
}
