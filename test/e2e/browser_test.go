package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// sight is what there is to see on a page; see the script look.
type sight struct {
	URL, Title, Heading, Text string
	Overall                   string   // how the targets are
	Badges                    []string // of headings
	Modules                   []string // the states of the modules
	Why                       string
	Windows                   []string // availability
	Incidents                 []string // rows of the table
	IncidentLinks             []string
	EvidenceLinks             []string // of an incident's runs
	RunsLink                  string   // the runs of a module that is down, or of any
	Waterfalls                []int    // how many bars each has that can be seen
	Small                     int      // waterfalls in the table that can be seen
	Overflow                  int      // pixels that are beyond the window's right edge
	Light                     bool     // the background is
	Bare                      []string // times that do not tell the reader's own time
}

// look makes a sight. What no eye sees it leaves out.
const look = `(() => {
	const all = (selector, of) => [...document.querySelectorAll(selector)].filter(e => e.getClientRects().length).map(of)
	const text = selector => all(selector, e => e.innerText)
	const seen = e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0 && getComputedStyle(e).visibility == "visible" }
	const links = selector => all(selector, e => e.href)
	const root = document.documentElement
	return {
		URL: location.href, Title: document.title, Heading: text("h1").join(), Text: document.body.innerText,
		Overall: text(".overall .badge").join(), Badges: text("h1 .badge, h2 .badge"), Modules: text("td.state .badge"), Why: text(".why").join(),
		Windows: text(".windows li"), Incidents: text(".incidents tbody tr"), IncidentLinks: links(".incidents tbody a"),
		EvidenceLinks: links("h2 + .facts a"),
		RunsLink: [...links("tr:has(.state .down) .recent a"), ...links(".recent a"), ""][0],
		Waterfalls: all(".wf", w => [...w.querySelectorAll(".track i")].filter(seen).length),
		Small: all("svg.small", s => [...s.children].some(seen)).filter(s => s).length,
		Overflow: root.scrollWidth - root.clientWidth,
		Light: getComputedStyle(document.body).backgroundColor == "rgb(255, 255, 255)",
		Bare: [...document.querySelectorAll("time")].filter(t => !t.title.includes("5:30")).map(t => t.outerHTML),
	}
})()`

// TestBrowser opens the pages in Chromium while the CA is well, in an outage, and
// after it: wide and on a phone, light and dark.
func TestBrowser(t *testing.T) {
	t.Parallel()
	pebble, exporter := watch(t)
	for _, timeout := range []string{"directory: {timeout: 5s", "nonce: {timeout: 5s", "account: {timeout: 5s", "validate: {timeout: 20s", "issue: {timeout: 20s"} {
		name, _, _ := strings.Cut(timeout, ":")
		exporter.Reconfigure(timeout, name+": {timeout: 60s") // the outage is the only incident, on however slow a machine
	}
	exporter.Serve()
	browser := parts.StartBrowser(t)
	wide := browser.Open(parts.Look{Width: 1200, Height: 900})
	dark := browser.Open(parts.Look{Width: 1200, Height: 900, Dark: true})
	phone := browser.Open(parts.Look{Width: 360, Height: 740, Phone: true})
	night := browser.Open(parts.Look{Width: 360, Height: 740, Phone: true, Dark: true})
	metric := func(name, module string) bool {
		return exporter.Metrics().Sum("acme_probes_total", "module", module, "outcome", name) > 1
	}

	parts.Until(t, "everything has passed twice", func() bool {
		return targetIs(exporter, "up") && !slices.ContainsFunc([]string{"directory", "nonce", "account", "validate", "issue"}, func(m string) bool { return !metric("success", m) })
	})
	for _, tab := range []*parts.Tab{wide, night} {
		s := visit(t, tab, "healthy-index", exporter.URL)
		s.tells(t, "", "1 up", "up", "5 of 5 modules are up", "100 %", "otherwise up")
		if len(s.Incidents) > 0 || !strings.Contains(s.Text, "There was no incident") {
			t.Errorf("healthy: incidents %q", s.Incidents)
		}
	}

	pebble.Outage("va-down")
	parts.Until(t, "the target is down", func() bool { return targetIs(exporter, "down") })
	var incident string
	for _, tab := range []*parts.Tab{wide, dark, phone, night} {
		s := visit(t, tab, "outage-index", exporter.URL)
		s.tells(t, "1 down · ", "1 down", "down", " down: ", "", "down ")
		if !slices.Contains(s.Modules, "down") || len(s.Incidents) != 1 || len(s.IncidentLinks) != 1 {
			t.Fatalf("outage, %s: modules %q, incidents %q", tab, s.Modules, s.Incidents)
		}
		contains(t, "outage: row of the table", s.Incidents[0], "ca", "down", "goes on", "validation", "server_internal")
		incident = s.IncidentLinks[0]
		if tab == wide || tab == night { // each page is seen wide and narrow, light and dark
			checkDetails(t, tab, s)
		}
	}
	checkKeyboard(t, wide, exporter.URL, incident)

	pebble.Outage("off")
	parts.Until(t, "the target is up", func() bool { return targetIs(exporter, "up") })
	for _, tab := range []*parts.Tab{dark, phone} {
		s := visit(t, tab, "after-index", exporter.URL)
		s.tells(t, "", "1 up", "up", "5 of 5 modules are up", "", "down ")
		i := slices.Index(s.IncidentLinks, incident)
		if i < 0 {
			t.Fatalf("after, %s: incidents %q without that of the outage, %s", tab, s.IncidentLinks, incident)
		}
		contains(t, "after: row of the table", s.Incidents[i], "ca", "down", "validation", "server_internal")
		page := visit(t, tab, "after-incident", incident)
		contains(t, "after: the incident", page.Text, "the first of the successes that closed it", "First failed run")
		if strings.Contains(s.Incidents[i]+page.Heading, "goes on") {
			t.Errorf("after, %s: the incident goes on: %s, %s", tab, s.Incidents[i], page.Heading)
		}
	}
}

// targetIs reports whether the target's state is so.
func targetIs(exporter *parts.Exporter, state string) bool {
	return exporter.Metrics().Sum("acme_target_state", "state", state) == 1
}

// visit opens a page, and holds what is true of every one.
func visit(t *testing.T, tab *parts.Tab, name, url string) sight {
	t.Helper()
	tab.Go(url)
	s := parts.Evaluate[sight](tab, look)
	if said := tab.Complaints(); len(said) > 0 {
		t.Errorf("%s, %s: the console says %q", name, tab, said)
	}
	if s.Overflow > 0 {
		t.Errorf("%s, %s: it is %d pixels too wide", name, tab, s.Overflow)
	}
	if s.Light == tab.Dark {
		t.Errorf("%s, %s: it is not in the colors that were asked for", name, tab)
	}
	if len(s.Bare) > 0 || !strings.Contains(s.Text, "UTC") {
		t.Errorf("%s, %s: times without the reader's own time: %q", name, tab, s.Bare)
	}
	tab.Screenshot(name)
	audit := tab.Audit()
	for _, v := range audit.Violations {
		t.Errorf("%s, %s: %s: %s (%s): %d elements, such as\n%s\n%s", name, tab, v.Impact, v.Help, v.Rule, v.Elements, v.HTML, v.Summary)
	}
	for _, rule := range []string{"color-contrast", "document-title", "link-name", "region"} {
		if !slices.Contains(audit.Passed, rule) {
			t.Errorf("%s, %s: nothing passed axe-core's %s", name, tab, rule)
		}
	}
	return s
}

// tells holds what the index says of its target in words.
func (s *sight) tells(t *testing.T, title, overall, state, why, available, spent string) {
	t.Helper()
	if s.Title != title+"acme_exporter" || s.Overall != overall || !slices.Equal(s.Badges, []string{state}) || !strings.Contains(s.Why, why) {
		t.Errorf("title %q, overall %q, states %q, %q: want %s%s", s.Title, s.Overall, s.Badges, s.Why, title, overall)
	}
	if len(s.Windows) != 4 || s.Small != 5 {
		t.Fatalf("%d windows, %d small waterfalls: %s", len(s.Windows), s.Small, s.Text)
	}
	for i, window := range []string{"24 h", "7 d", "30 d", "90 d"} {
		contains(t, "availability", s.Windows[i], window, " %", available, spent)
	}
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s: no %q in %q", what, part, text)
		}
	}
}

// checkDetails goes from the index to the pages of the incident, its first failed run,
// and the runs of its module.
func checkDetails(t *testing.T, tab *parts.Tab, index sight) {
	t.Helper()
	page := visit(t, tab, "outage-incident", index.IncidentLinks[0])
	contains(t, "outage: heading of the incident", page.Heading, "ca", "down", "goes on")
	contains(t, "outage: the incident", page.Text, "server_internal", "fault ca", "critical")
	run := page
	if len(page.EvidenceLinks) == 0 {
		t.Errorf("outage, %s: no runs that the incident rests on", tab)
	} else {
		run = visit(t, tab, "outage-run", page.EvidenceLinks[0])
		contains(t, "outage: the failed run", run.Text, "failure at validation, server_internal, fault: ca", "validation", "authz")
	}
	for _, s := range []sight{page, run} {
		if len(s.Waterfalls) == 0 || slices.Min(s.Waterfalls) < 10 {
			t.Errorf("%s, %s: bars of the waterfalls: %d", s.URL, tab, s.Waterfalls)
		}
	}
	runs := visit(t, tab, "outage-runs", index.RunsLink)
	contains(t, "outage: the runs", runs.Text, "The last runs, newest first: ", "failure", "success", "validation, server_internal, fault: ca")
}

// reachable are the elements of the page that the keyboard has to reach, in order.
const reachable = `[...document.querySelectorAll("a[href], button, select, input:not([type=hidden])")].filter(e => e.getClientRects().length)`

// checkKeyboard walks over the index, chooses incidents, and opens one, without a
// mouse.
func checkKeyboard(t *testing.T, tab *parts.Tab, url, incident string) {
	t.Helper()
	tab.Go(url)
	n := parts.Evaluate[int](tab, reachable+".length")
	for i := range n {
		tab.Press(kb.Tab)
		at := parts.Evaluate[int](tab, reachable+".indexOf(document.activeElement)")
		outline := parts.Evaluate[string](tab, `getComputedStyle(document.activeElement).outlineStyle`)
		if at != i || outline == "none" {
			t.Fatalf("the keyboard's step %d of %d is at element %d, %s, with outline %s", i, n, at,
				parts.Evaluate[string](tab, `document.activeElement.outerHTML.slice(0, 200)`), outline)
		}
	}

	to := func(selector string) {
		t.Helper()
		for range n + 5 {
			tab.Press(kb.Tab)
			if parts.Evaluate[bool](tab, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
				return
			}
		}
		t.Fatalf("the keyboard does not reach %s", selector)
	}
	see := func(query string, rows int, text string) {
		t.Helper()
		s := parts.Evaluate[sight](tab, look)
		if len(s.Incidents) != rows || !strings.Contains(s.Text, text) || !strings.Contains(s.URL, query) {
			t.Fatalf("%s: %d incidents, want %d and %q at %s", s.URL, len(s.Incidents), rows, text, query)
		}
	}
	tab.Go(url)
	to("select[name=condition]")
	tab.Press(kb.ArrowDown + kb.ArrowDown)
	to("main form button")
	tab.Follow(kb.Enter)
	see("condition=degraded", 0, "No incident is like that.")
	to(`form a[href="/#incidents"]`)
	tab.Follow(kb.Enter)
	see("/#incidents", 1, "goes on")
	to("input[name=open]")
	tab.Press(" ")
	to("main form button")
	tab.Follow(kb.Enter)
	see("open=true", 1, "goes on")
	to(".incidents tbody a")
	tab.Follow(kb.Enter)
	if at := parts.Evaluate[string](tab, "location.href"); at != incident {
		t.Errorf("the keyboard leads to %s, want %s", at, incident)
	}
	if said := tab.Complaints(); len(said) > 0 {
		t.Errorf("by keyboard: the console says %q", said)
	}
}
