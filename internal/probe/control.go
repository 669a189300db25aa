package probe

import "time"

// ControlKind says how a control is asked.
type ControlKind string

// The kinds of controls.
const (
	ControlURL  ControlKind = "url"  // an HTTP request
	ControlName ControlKind = "name" // a question to the resolvers
)

// Control is something that is not the CA and was asked when the CA was not
// reached: that it is alive shows that our own line works.
type Control struct {
	Kind ControlKind `json:"kind"`
	// Target is the URL without user info, query and fragment, or the name; at most
	// 200 bytes.
	Target string `json:"target"`
	Alive  bool   `json:"alive"`
	// Asked is when; up to 15 s before the run that shows it, where another one had
	// asked already.
	Asked    time.Time     `json:"asked"`
	Duration time.Duration `json:"duration_ns"` // until the answer, or until it was given up
	// Error says why there was no whole answer; nil: there was one. Half of one can
	// show that the line works, so that what is alive may have an error.
	Error *CallError `json:"error,omitempty"`
}
