package probe

import (
	"strings"
	"time"
)

// DirectoryChange is how a directory differs from the one that was seen of the same
// target before.
type DirectoryChange struct {
	At     time.Time     `json:"at"` // when the run started that saw it first
	Fields []FieldChange `json:"fields"`
}

// FieldChange is what became of a field: endpoints, terms_of_service, caa_identities,
// external_account_required or profiles. Of a list, From has what is gone and To what
// is new. Both are bounded, and without what can be a secret; so they can be the same.
type FieldChange struct {
	Field string `json:"field"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
}

// String says what has changed, as a part of a sentence.
func (c *DirectoryChange) String() string {
	words := make([]string, len(c.Fields))
	for i, f := range c.Fields {
		switch words[i] = f.Field + ": "; {
		case f.From == "":
			words[i] += f.To + " added"
		case f.To == "":
			words[i] += f.From + " removed"
		case f.From == f.To:
			words[i] += f.From + ", in a part that is not shown"
		default:
			words[i] += f.From + " → " + f.To
		}
	}
	return strings.Join(words, "; ")
}
