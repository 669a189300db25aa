package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed layout.html
var layoutText string

//go:embed index.html
var indexText string

//go:embed table.html
var tableText string

//go:embed run.html
var runText string

//go:embed runs.html
var runsText string

//go:embed incident.html
var incidentText string

//go:embed style.css
var styleText string

// scriptText adds the reader's own time to what hovers over each time. Everything
// works without it.
const scriptText = `for(const t of document.querySelectorAll("time"))t.title=new Date(t.dateTime).toLocaleString(undefined,{dateStyle:"full",timeStyle:"long"})`

var (
	layout       = template.Must(template.New("layout").Funcs(template.FuncMap{"time": timeElement, "took": took}).Parse(layoutText))
	indexPage    = pageOf(indexText, tableText)
	runPage      = pageOf(runText)
	runsPage     = pageOf(runsText)
	incidentPage = pageOf(incidentText)
	documentsURL = "https://github.com/acme-exporter/acme_exporter/tree/main/docs"
)

func pageOf(texts ...string) *template.Template {
	t := template.Must(layout.Clone())
	for _, text := range texts {
		template.Must(t.Parse(text))
	}
	return t
}

// frame is what every page has.
type frame struct {
	Title, Version, Documents string
	Style                     template.CSS
	Script                    template.JS
}

func (s *server) frame(title string, style template.CSS) frame {
	return frame{Title: title, Version: s.Version, Documents: documentsURL, Style: template.CSS(styleText) + style, Script: scriptText}
}

// page writes a page whose policy allows its one style element, its one script, and
// forms that come back to us; nothing else.
func (s *server) page(w http.ResponseWriter, t *template.Template, data any) {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		s.failed(w, fmt.Errorf("draw page: %w", err))
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src '"+
		hashOf(b.Bytes(), "style")+"'; script-src '"+hashOf(b.Bytes(), "script")+"'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the client has gone: nobody to tell
}

// hashOf returns the hash of what is in the page's first element of a name, as a
// policy has it.
func hashOf(page []byte, name string) string {
	_, rest, _ := bytes.Cut(page, []byte("<"+name+">"))
	content, _, _ := bytes.Cut(rest, []byte("</"+name+">"))
	hash := sha256.Sum256(content)
	return "sha256-" + base64.StdEncoding.EncodeToString(hash[:])
}
