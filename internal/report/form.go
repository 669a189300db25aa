package report

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// form is a way to write a report.
type form struct {
	name     string
	suffixes []string // of files
	write    func(io.Writer, *Report) error
}

// forms are all of them, the default first.
var forms = []form{
	{"text", []string{".txt"}, Text},
	{"markdown", []string{".md", ".markdown"}, Markdown},
	{"html", []string{".html", ".htm"}, HTML},
	{"json", []string{".json"}, JSON},
}

// Format names the form in which to write to a file: the one that is asked for, or else
// by the file's suffix; without a file it is text.
func Format(asked, file string) (string, error) {
	var names []string
	suffix := strings.ToLower(filepath.Ext(file))
	for _, f := range forms {
		if asked == f.name || asked == "" && (file == "" || slices.Contains(f.suffixes, suffix)) {
			return f.name, nil
		}
		names = append(names, f.name)
	}
	if asked != "" {
		return "", fmt.Errorf("--format=%s: must be one of %s", asked, strings.Join(names, ", "))
	}
	return "", fmt.Errorf("--output=%s: its suffix is that of no form: say --format, one of %s", file, strings.Join(names, ", "))
}

// Write writes the report in a form that [Format] has named.
func Write(w io.Writer, r *Report, format string) error {
	for _, f := range forms {
		if f.name == format {
			return f.write(w, r)
		}
	}
	return fmt.Errorf("report: no form %q", format)
}
