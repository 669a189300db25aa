package report

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestText holds the plain forms of the sample.
func TestText(t *testing.T) {
	for file, write := range map[string]func(io.Writer, *Report) error{"testdata/sample.txt": Text, "testdata/sample.md": Markdown} {
		t.Run(file, func(t *testing.T) {
			var out bytes.Buffer
			if err := write(&out, sample()); err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(golden), out.String()); diff != "" {
				t.Errorf("%s (-update writes it anew, -want +got):\n%s", file, diff)
			}
			for _, bad := range []string{"\r", "\x00", "\u202e", "\nBcc:"} {
				if strings.Contains(out.String(), bad) {
					t.Errorf("%q of a label is in the text", bad)
				}
			}
		})
	}
}
