package report

import (
	"bytes"
	_ "embed" // the page and its style
	"fmt"
	"html/template"
	"io"

	"github.com/acme-exporter/acme_exporter/internal/drawing"
)

var (
	//go:embed report.html
	pageHTML string
	//go:embed report.css
	pageCSS string
)

var pageTemplate = template.Must(template.New("report").Parse(pageHTML))

// The widths of charts in pixels: on a page that is as wide as it gets, on a phone,
// and in a mail.
const (
	wideChart   = 1152
	narrowChart = 330
	mailChart   = 520
)

// HTML writes the report as one file, which asks nobody for anything: charts are SVG
// within it, and there is no script. It is for a light screen, a dark one, a phone
// and paper.
func HTML(w io.Writer, r *Report) error {
	style := drawing.Style() + pageCSS
	return writePage(w, r, style, false, func(_ string, draw func(width float64) *drawing.Picture) (template.HTML, error) {
		return draw(wideChart).SVG("wide") + draw(narrowChart).SVG("narrow"), nil
	})
}

// Mail is the report as a mail has it.
type Mail struct {
	Subject string
	// HTML has each of Images as <img src="cid:ID">. It has no SVG, no custom property
	// and no dark form, since many readers of mail know none of them.
	HTML   string
	Images []Image
}

// Image is a picture within a mail.
type Image struct {
	Name string // of a file: latency-1.png
	ID   string // no other report's picture has it: latency-1.2026-W46@acme-exporter
	PNG  []byte // of twice as many pixels as it is shown with
}

// MailOf returns the report as a mail has it, but for its plain text.
func MailOf(r *Report) (*Mail, error) {
	m := &Mail{Subject: "ACME report: " + clean(titleOf(r))}
	var b bytes.Buffer
	err := writePage(&b, r, drawing.Light(pageCSS), true, func(name string, draw func(width float64) *drawing.Picture) (template.HTML, error) {
		picture := draw(mailChart)
		image, err := picture.PNG(2)
		if err != nil {
			return "", err
		}
		id := name + "." + r.Period.Name() + "@acme-exporter"
		m.Images = append(m.Images, Image{Name: name + ".png", ID: id, PNG: image})
		return template.HTML(fmt.Sprintf(`<img src="cid:%s" width="%d" alt="%s">`, id, mailChart, template.HTMLEscapeString(picture.Label))), nil
	})
	if err != nil {
		return nil, err
	}
	m.HTML = b.String()
	return m, nil
}

// chart shows what draw draws; name is one that no other chart of the report has.
type chart func(name string, draw func(width float64) *drawing.Picture) (template.HTML, error)

// writePage writes the page, with its charts as show makes them.
func writePage(w io.Writer, r *Report, style string, mail bool, show chart) error {
	v, err := newPage(r, show)
	if err != nil {
		return err
	}
	v.Style, v.Mail = template.CSS(style), mail
	var b bytes.Buffer // a page that cannot be written whole is not begun
	if err := pageTemplate.Execute(&b, v); err != nil {
		return fmt.Errorf("write the report as HTML: %w", err)
	}
	_, err = b.WriteTo(w)
	return err
}
