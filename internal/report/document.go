package report

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// document is what the plain forms are written to. Each writes texts in its own way, so
// that nothing in them can be taken for a sign of the form.
type document interface {
	heading(level int, text string) // 1 is the report, 2 a target, 3 a part of it
	paragraph(text string)
	list(items []string)
	// table's columns are to the left, but for those from right on.
	table(right int, rows [][]string)
}

// plain writes plain text, without anything but letters and line ends.
type plain struct{ w io.Writer }

// textWidth is where lines of plain text are broken, in letters.
const textWidth = 100

func (p plain) heading(level int, text string) {
	text = clean(text)
	if level == 3 {
		fmt.Fprintf(p.w, "\n%s\n\n", text)
		return
	}
	line := map[int]string{1: "=", 2: "-"}[level]
	fmt.Fprintf(p.w, "%s%s\n%s\n\n", map[int]string{2: "\n"}[level], text, strings.Repeat(line, utf8.RuneCountInString(text)))
}

func (p plain) paragraph(text string) { fmt.Fprintf(p.w, "%s\n\n", wrapped(clean(text), "")) }

func (p plain) list(items []string) {
	for _, item := range items {
		fmt.Fprintf(p.w, "- %s\n", wrapped(clean(item), "  "))
	}
	fmt.Fprintln(p.w)
}

func (p plain) table(right int, rows [][]string) {
	for _, row := range aligned(right, rows, clean) {
		fmt.Fprintln(p.w, strings.TrimRight("  "+strings.Join(row, "  "), " "))
	}
}

// wrapped breaks a text's lines; those after the first begin with indent.
func wrapped(text, indent string) string {
	var out strings.Builder
	n := utf8.RuneCountInString(indent)
	for i, word := range strings.Fields(text) {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case n+1+length > textWidth:
			out.WriteString("\n" + indent)
			n = utf8.RuneCountInString(indent)
		default:
			out.WriteByte(' ')
			n++
		}
		out.WriteString(word)
		n += length
	}
	return out.String()
}

// aligned fills the cells of a table up to the widths of its columns.
func aligned(right int, rows [][]string, safe func(string) string) [][]string {
	var widths []int
	filled := make([][]string, len(rows))
	for r, row := range rows {
		filled[r] = make([]string, len(row))
		for c, cell := range row {
			filled[r][c] = safe(cell)
			if c == len(widths) {
				widths = append(widths, 0)
			}
			widths[c] = max(widths[c], utf8.RuneCountInString(filled[r][c]))
		}
	}
	for _, row := range filled {
		for c, cell := range row {
			space := strings.Repeat(" ", widths[c]-utf8.RuneCountInString(cell))
			if c >= right {
				row[c] = space + cell
			} else {
				row[c] = cell + space
			}
		}
	}
	return filled
}

// markdown writes GitHub's form of it.
type markdown struct{ w io.Writer }

func (m markdown) heading(level int, text string) {
	fmt.Fprintf(m.w, "%s%s %s\n\n", map[bool]string{true: "\n"}[level > 1], strings.Repeat("#", level), escaped(text))
}

func (m markdown) paragraph(text string) { fmt.Fprintf(m.w, "%s\n\n", escaped(text)) }

func (m markdown) list(items []string) {
	for _, item := range items {
		fmt.Fprintf(m.w, "- %s\n", escaped(item))
	}
	fmt.Fprintln(m.w)
}

func (m markdown) table(right int, rows [][]string) {
	for r, row := range aligned(right, rows, escaped) {
		fmt.Fprintf(m.w, "| %s |\n", strings.Join(row, " | "))
		if r > 0 {
			continue
		}
		for c := range row {
			line := strings.Repeat("-", max(utf8.RuneCountInString(row[c])-1, 1))
			if c >= right {
				fmt.Fprintf(m.w, "| %s: ", line)
			} else {
				fmt.Fprintf(m.w, "| -%s ", line)
			}
		}
		fmt.Fprintln(m.w, "|")
	}
}

// listed is how a line begins that would be an item of a list.
var listed = regexp.MustCompile(`^(\d*)([-+.)])(\s|$)`)

// escaped has every letter that means something in Markdown or HTML mean itself. What
// looks like an address, of which a reader would make a link, is broken by an escape too.
func escaped(s string) string {
	var out strings.Builder
	for _, r := range clean(s) {
		if strings.ContainsRune("\\`*_{}[]()#|~<>&$@", r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	text := strings.NewReplacer("://", `\://`, "www.", `www\.`).Replace(out.String())
	return listed.ReplaceAllString(text, `$1\$2$3`)
}
