package fakeca

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Problem is a problem document (RFC 8555 §6.7), as an answer or embedded in
// an object.
type Problem struct {
	// Type without a colon is put after urn:ietf:params:acme:error:.
	Type   string
	Detail string
	Status int // of the answer and in the document; 0: 400
}

// Error makes a Problem what Options.Validate may return.
func (p *Problem) Error() string { return p.Type + ": " + p.Detail }

func malformed(format string, args ...any) *Problem {
	return &Problem{Type: "malformed", Status: http.StatusBadRequest, Detail: fmt.Sprintf(format, args...)}
}

func (p *Problem) status() int {
	if p.Status == 0 {
		return http.StatusBadRequest
	}
	return p.Status
}

func (p *Problem) object() map[string]any {
	kind := p.Type
	if !strings.Contains(kind, ":") {
		kind = "urn:ietf:params:acme:error:" + kind
	}
	return map[string]any{"type": kind, "detail": p.Detail, "status": p.status()}
}

// Hangup is when a connection is closed.
type Hangup int

// The moments; the zero value is never.
const (
	BeforeHeaders Hangup = iota + 1 // the request was read and not acted upon
	AfterHeaders                    // it was acted upon, and half of the body sent
)

// Fault is one way to misbehave. Its fields can be combined as far as that
// makes sense; the zero value is a right answer.
type Fault struct {
	// Delay is waited before the request is acted upon; BodyDelay after the
	// headers and half of the body. Hang waits for ever.
	Delay, BodyDelay time.Duration
	Hang             bool
	HangUp           Hangup
	Reset            bool // the connection is not closed at HangUp, but reset

	// The answers that replace the right one, nothing being done. Status alone
	// has an empty body. HTML is what the edge of a content network sends, with
	// Status or 200. None but Problem has a Replay-Nonce.
	Problem  *Problem
	Status   int
	Body     []byte
	HTML     bool
	Redirect string // to there, with Status or 302
	BadNonce bool   // the problem badNonce, with a fresh nonce

	// What is done to the right answer, or to the one that replaces it.
	Header    http.Header // set over its own
	DropNonce bool
	Edit      func(object map[string]any) // of a JSON answer
	Truncate  bool                        // half of what Content-Length says, then the connection is closed
	Oversize  int64                       // a body of so many bytes instead
	GzipBomb  int64                       // a gzip body that unpacks to so many bytes instead

	// What becomes of the object. Of a challenge: the validation fails, or never
	// ends. Of finalize: the order turns invalid, or is processing for ever. Of
	// newOrder: the order is invalid from the start, or stays pending.
	Invalid *Problem
	Stuck   bool

	// Certificate is what is wrong with the certificate that is downloaded.
	Certificate CertificateDefect
}

// armed is a fault that waits for its calls.
type armed struct {
	call  probe.CallName
	fault Fault
	times int // left; below 0: for ever
}

// Fault arms f for the next times calls; 0: for all. Faults of the same call
// are played in the order in which they were armed. The call of an
// authorization that is being deactivated is CallDeactivateAuthz.
func (ca *CA) Fault(call probe.CallName, f Fault, times int) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if times <= 0 {
		times = -1
	}
	ca.faults = append(ca.faults, &armed{call: call, fault: f, times: times})
}

// Heal disarms all faults. What they have made of objects stays.
func (ca *CA) Heal() {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.faults = nil
}

// take returns the fault to be played for call; the zero Fault if none is
// armed. The caller holds mu.
func (ca *CA) take(call probe.CallName) (f Fault, played bool) {
	for i, a := range ca.faults {
		if a.call != call {
			continue
		}
		if a.times > 0 {
			a.times--
		}
		if a.times == 0 {
			ca.faults = slices.Delete(ca.faults, i, i+1)
		}
		return a.fault, true
	}
	return Fault{}, false
}

// Page is what Fault.HTML answers with.
const Page = `<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>` +
	`<body><h1>Bad Gateway</h1><p>The origin is not to be reached.</p></body></html>`

// replacement returns the answer that f gives instead of the right one; nil: none.
func (f *Fault) replacement() *answer {
	switch {
	case f.BadNonce:
		return failed(&Problem{Type: "badNonce", Status: http.StatusBadRequest, Detail: "the nonce is not one of ours"})
	case f.Problem != nil:
		return failed(f.Problem)
	case f.Redirect != "":
		a := &answer{status: f.Status, header: http.Header{"Location": {f.Redirect}}}
		if a.status == 0 {
			a.status = http.StatusFound
		}
		return a
	case f.HTML:
		a := &answer{status: f.Status, header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}, body: []byte(Page)}
		if a.status == 0 {
			a.status = http.StatusOK
		}
		return a
	case f.Status != 0 || f.Body != nil:
		a := &answer{status: f.Status, header: http.Header{}, body: f.Body}
		if a.status == 0 {
			a.status = http.StatusOK
		}
		return a
	}
	return nil
}

// Set returns an Edit that gives a field a value.
func Set(field string, value any) func(map[string]any) {
	return func(o map[string]any) { o[field] = value }
}

// Without returns an Edit that removes fields.
func Without(fields ...string) func(map[string]any) {
	return func(o map[string]any) {
		for _, f := range fields {
			delete(o, f)
		}
	}
}

// WithoutChallenge returns an Edit that takes a type of challenge from an
// authorization.
func WithoutChallenge(kind probe.ChallengeType) func(map[string]any) {
	return func(o map[string]any) {
		list, _ := o["challenges"].([]map[string]any)
		o["challenges"] = slices.DeleteFunc(list, func(c map[string]any) bool { return c["type"] == string(kind) })
	}
}

// EditChallenges returns an Edit of each challenge of an authorization.
func EditChallenges(edit func(map[string]any)) func(map[string]any) {
	return func(o map[string]any) {
		list, _ := o["challenges"].([]map[string]any)
		for _, c := range list {
			edit(c)
		}
	}
}

// EditURLs returns an Edit of all URLs of a directory.
func EditURLs(edit func(*url.URL)) func(map[string]any) {
	return func(o map[string]any) {
		for field, value := range o {
			text, _ := value.(string)
			u, err := url.Parse(text)
			if err != nil || u.Host == "" {
				continue
			}
			edit(u)
			o[field] = u.String()
		}
	}
}

// WithScheme is EditURLs that changes the scheme, say to http.
func WithScheme(scheme string) func(map[string]any) {
	return EditURLs(func(u *url.URL) { u.Scheme = scheme })
}

// WithHost is EditURLs that changes host and port, say to 10.0.0.1.
func WithHost(host string) func(map[string]any) {
	return EditURLs(func(u *url.URL) { u.Host = host })
}
