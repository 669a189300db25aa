package report

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/report"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// sampleReport is the sample with which internal/report tests its forms.
func sampleReport(t *testing.T) *report.Report {
	t.Helper()
	f, err := os.Open("../../internal/report/testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := report.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sight is what there is to see of a report.
type sight struct {
	Text     string
	Charts   []string // the classes of those that can be seen
	Images   []int    // the widths in pixels of those that were loaded
	Scripts  int
	Bad      []string // elements and attributes that only hostile texts would make
	Overflow int      // pixels that are beyond the window's right edge
	Light    bool     // the background is
	Small    float64  // the least size of a chart's text, in CSS pixels
}

const look = `(() => {
	const seen = e => e.getClientRects().length > 0
	const root = document.documentElement
	const texts = [...document.querySelectorAll("svg text")].filter(seen)
	return {
		Text: document.body.innerText,
		Charts: [...document.querySelectorAll("svg")].filter(seen).map(s => s.getAttribute("class")),
		Images: [...document.images].map(i => i.naturalWidth),
		Scripts: document.scripts.length,
		Bad: [...document.querySelectorAll("*")].filter(e => [...e.attributes].some(a => a.name.startsWith("on") || /^\s*javascript:/i.test(a.value))).map(e => e.outerHTML),
		Overflow: root.scrollWidth - root.clientWidth,
		Light: getComputedStyle(document.body).backgroundColor == "rgb(255, 255, 255)",
		Small: Math.min(...texts.map(t => t.getBoundingClientRect().height), 1000),
	}
})()`

// TestLooks opens the report as a page and as a mail's HTML in Chromium: wide and on
// a phone, light and dark. The sample has hostile texts.
func TestLooks(t *testing.T) {
	t.Parallel()
	r := sampleReport(t)
	r.Targets[0], r.Targets[1] = r.Targets[1], r.Targets[0] // what has more to show first
	var page bytes.Buffer
	if err := report.HTML(&page, r); err != nil {
		t.Fatal(err)
	}
	mail, err := report.MailOf(r)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	serve := func(path, kind string, content []byte) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(content)
		})
	}
	serve("/report", "text/html", page.Bytes())
	html := mail.HTML
	for _, image := range mail.Images {
		html = strings.ReplaceAll(html, `"cid:`+image.ID+`"`, `"/`+image.Name+`"`)
		serve("/"+image.Name, "image/png", image.PNG)
	}
	serve("/mail", "text/html", []byte(html))
	serve("/favicon.ico", "image/png", mail.Images[0].PNG) // the browser's own wish
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	browser := parts.StartBrowser(t)
	for _, width := range []int64{1200, 360} {
		for _, dark := range []bool{false, true} {
			tab := browser.Open(parts.Look{Width: width, Height: 900, Phone: width < 500, Dark: dark})
			s := visit(t, tab, "report", server.URL+"/report")
			if s.Light == dark {
				t.Errorf("report, %s: it is not in the colors that were asked for", tab)
			}
			want := "[wide wide wide]"
			if width < 500 {
				want = "[narrow narrow narrow]"
			}
			if got := fmt.Sprint(s.Charts); got != want {
				t.Errorf("report, %s: charts %s, want %s", tab, got, want)
			}
			if s.Small < 10 {
				t.Errorf("report, %s: a chart's text is %.1f pixels high", tab, s.Small)
			}
		}
		tab := browser.Open(parts.Look{Width: width, Height: 900, Phone: width < 500})
		s := visit(t, tab, "mail", server.URL+"/mail")
		if got := fmt.Sprint(s.Images); got != "[1040 1040 1040]" || len(s.Charts) > 0 {
			t.Errorf("mail, %s: images are %s pixels wide, want three of 1040, and there are %d SVGs", tab, got, len(s.Charts))
		}
	}
}

// visit opens a page, and holds what is true of every form.
func visit(t *testing.T, tab *parts.Tab, name, url string) sight {
	t.Helper()
	tab.Go(url)
	s := parts.Evaluate[sight](tab, look)
	tab.Screenshot(name)
	if said := tab.Complaints(); len(said) > 0 {
		t.Errorf("%s, %s: the console says %q", name, tab, said)
	}
	if s.Overflow > 0 {
		t.Errorf("%s, %s: it is %d pixels too wide", name, tab, s.Overflow)
	}
	if s.Scripts > 0 || len(s.Bad) > 0 {
		t.Errorf("%s, %s: %d scripts, and %q", name, tab, s.Scripts, s.Bad)
	}
	for _, want := range []string{
		"Certificate authorities, week 46 of 2026", "Europe/Berlin", "99.29 %", "<script>alert('1')</script>", "no data Fri 13 Nov 03:00 to Fri 13 Nov 04:30 (1 h 30 min)",
		"down Tue 10 Nov 14:20 to Tue 10 Nov 15:30 (1 h 10 min)", "11 min after us", "3 min before us", "+116 %", "goes on", "How the numbers are made",
	} {
		if !strings.Contains(s.Text, want) {
			t.Errorf("%s, %s: it does not say %q", name, tab, want)
		}
	}
	audit := tab.Audit()
	if len(audit.Passed) < 10 {
		t.Errorf("%s, %s: axe-core has looked at too little: %q", name, tab, audit.Passed)
	}
	for _, v := range audit.Violations {
		t.Errorf("%s, %s: %s (%s): %s, %d elements, such as %s: %s", name, tab, v.Rule, v.Impact, v.Help, v.Elements, v.HTML, v.Summary)
	}
	return s
}
