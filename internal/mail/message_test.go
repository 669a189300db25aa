package mail

import (
	"bytes"
	"encoding/base64"
	"flag"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

var boundary = regexp.MustCompile(`[0-9a-f]{60}`)

// TestBytes holds a whole mail to a golden file; what is random in it is numbered.
func TestBytes(t *testing.T) {
	const file = "testdata/message.eml"
	eml, err := message().Bytes(to(t, 25))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	got := boundary.ReplaceAllStringFunc(string(eml), func(b string) string {
		if seen[b] == "" {
			seen[b] = "boundary-" + string(rune('1'+len(seen)))
		}
		return seen[b]
	})
	got = strings.ReplaceAll(got, "\r\n", "\n")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for i, l := range bytes.SplitAfter(eml, []byte("\n")) {
		if len(l) > 0 && !bytes.HasSuffix(l, []byte("\r\n")) || len(l) > 1000 || bytes.ContainsFunc(l, func(r rune) bool { return r > 126 }) {
			t.Errorf("line %d is not one of a mail in ASCII: %q", i+1, l)
		}
	}
}

// TestHeaders holds that nothing from outside makes a header of its own.
func TestHeaders(t *testing.T) {
	const hostile = "x\r\nBcc: everybody@example.org\r\n\r\n<p>\u2028\x00ü"
	m := message()
	m.Subject, m.Agent, m.Text, m.HTML = hostile, hostile, hostile, hostile
	eml, err := m.Bytes(to(t, 25))
	if err != nil {
		t.Fatal(err)
	}
	read, err := mail.ReadMessage(bytes.NewReader(eml))
	if err != nil {
		t.Fatal(err)
	}
	for name := range read.Header {
		switch name {
		case "Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To", "User-Agent", "X-Auto-Response-Suppress", "X-Mailer":
		default:
			t.Errorf("a header %s: %q", name, read.Header[name])
		}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
	if want := "x  Bcc: everybody@example.org    <p>  ü"; err != nil || subject != want {
		t.Errorf("subject %q, %v, want %q", subject, err, want)
	}
	recipients, err := read.Header.AddressList("To")
	if err != nil || len(recipients) != 2 || recipients[1].Name != "Jörg, Ops" {
		t.Errorf("recipients %v, %v", recipients, err)
	}
	// Text, HTML and the image, each as it was given; of text the line ends are a mail's.
	parts := partsOf(t, read.Header.Get("Content-Type"), read.Body)
	want := map[string]string{"text/plain": hostile, "text/html": hostile, "image/png": "\x89PNG"}
	if diff := cmp.Diff(want, parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
}

// partsOf returns the parts of a mail by their types.
func partsOf(t *testing.T, contentType string, body io.Reader) map[string]string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	if !strings.HasPrefix(kind, "multipart/") {
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{kind: string(b)}
	}
	for r := multipart.NewReader(body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		var content io.Reader = part
		switch part.Header.Get("Content-Transfer-Encoding") {
		case "quoted-printable":
			content = quotedprintable.NewReader(part)
		case "base64":
			content = base64.NewDecoder(base64.StdEncoding, part)
		}
		maps.Copy(parts, partsOf(t, part.Header.Get("Content-Type"), content))
	}
}
