package probe

import "time"

// Renewal is what a CA said of when a certificate should be renewed (RFC 9773 §4.2).
// It is here only if it could be read.
type Renewal struct {
	// File is that of the certificate, without its folder; empty: the target has
	// issued it to us.
	File   string `json:"file,omitempty"`
	Serial string `json:"serial"` // of the certificate, lower-case hex
	// Start and End are those of the suggested window; Start is before End.
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// Due says that the window had begun when the CA was asked.
	Due bool `json:"due,omitempty"`
	// RetryAfter is when the CA wants to be asked again: 1 minute to 1 day.
	RetryAfter time.Duration `json:"retry_after_ns"`
	// ExplanationURL is of a page that says why the window is what it is; https,
	// without its query. Empty: there is none.
	ExplanationURL string `json:"explanation_url,omitempty"`
}
