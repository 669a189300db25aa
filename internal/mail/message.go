// Package mail owns how a report becomes a mail and reaches those who get it: the
// message, the conversation with a server, and what is remembered so that nothing
// is sent twice. It does not know what a report says.
package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"github.com/acme-exporter/acme_exporter/config"
)

// Message is what is sent.
type Message struct {
	// Period names what the report is of, such as 2026-W46: letters, digits and hyphens.
	Period string
	// Key is what else makes it another report than one of the same period: which targets,
	// from where, in which time zone, and whether the period was over. See [Message.ID].
	Key     []string
	Date    time.Time // when it was written
	Subject string    // in one line; a control character in it becomes a space
	Text    string    // for readers that show no HTML
	HTML    string    // may show each of Images
	Images  []Image
	Agent   string // the program and its version, in the same form as Subject
}

// Image is a picture that HTML shows as <img src="cid:ID">.
type Image struct {
	Name string // of a file, in ASCII: latency-1.png
	ID   string // in ASCII, as RFC 2392 wants it: latency-1@example
	PNG  []byte
}

// hashed is how many characters of a digest a Message-ID has.
const hashed = 20

// ID returns the Message-ID (RFC 5322 §3.6.4), without its angle brackets. It is the same
// for the same period, key, sender and set of recipients, whatever the report says.
func (m *Message) ID(to *config.Email) string {
	from := config.Mailbox(to.From)
	recipients := addresses(to)
	slices.Sort(recipients)
	b, err := json.Marshal([]any{m.Period, m.Key, strings.ToLower(from.Address), recipients})
	if err != nil {
		panic(fmt.Sprintf("mail: encode strings: %v", err))
	}
	digest := sha256.Sum256(b)
	_, domain, _ := strings.Cut(from.Address, "@")
	return fmt.Sprintf("acme-report.%s.%s@%s", m.Period, hex.EncodeToString(digest[:])[:hashed], strings.ToLower(domain))
}

// addresses are the recipients', in lower case and without their names.
func addresses(to *config.Email) []string {
	list := make([]string, len(to.Recipients))
	for i, one := range to.Recipients {
		list[i] = strings.ToLower(config.Mailbox(one).Address)
	}
	return list
}

// Bytes returns the message as it is sent, and as a file of the kind .eml has it: text,
// HTML and the images that it shows, all in lines of ASCII.
func (m *Message) Bytes(to *config.Email) ([]byte, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	from := config.Mailbox(to.From)
	msg.FromMailAddress(from)
	for _, one := range to.Recipients {
		msg.AddToMailAddress(config.Mailbox(one))
	}
	msg.Subject(line(m.Subject))
	msg.SetDateWithValue(m.Date)
	msg.SetMessageIDWithValue(m.ID(to))
	msg.SetUserAgent(line(m.Agent))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no answers by machines
	msg.SetGenHeader(gomail.HeaderXAutoResponseSuppress, "All")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	for _, image := range m.Images {
		if err := msg.EmbedReader(image.Name, bytes.NewReader(image.PNG), gomail.WithFileContentID("<"+image.ID+">"), gomail.WithFileContentType("image/png")); err != nil {
			return nil, fmt.Errorf("write the mail: %w", err)
		}
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write the mail: %w", err)
	}
	return b.Bytes(), nil
}

// line is s in one line, without what a header may not have.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}
