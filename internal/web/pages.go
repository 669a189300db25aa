package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/waterfall"
)

//go:embed layout.html
var layoutText string

//go:embed index.html
var indexText string

//go:embed run.html
var runText string

//go:embed style.css
var styleText string

var (
	layout       = template.Must(template.New("layout").Parse(layoutText))
	indexPage    = template.Must(template.Must(layout.Clone()).Parse(indexText))
	runPage      = template.Must(template.Must(layout.Clone()).Parse(runText))
	documentsURL = "https://github.com/acme-exporter/acme_exporter/tree/main/docs"
)

// shownRuns is how many runs of a pair the index shows as marks.
const shownRuns = 24

// frame is what every page has.
type frame struct {
	Title, Version, Documents string
	Style                     template.CSS
}

func (s *server) frame(title string, style template.CSS) frame {
	return frame{Title: title, Version: s.Version, Documents: documentsURL, Style: template.CSS(styleText) + style}
}

// targetView is a target on the index.
type targetView struct {
	Name, Environment string
	Succeeded         int // pairs whose last run succeeded
	Pairs             []pairView
	Limits            []limitView // empty: nothing is known of them
}

// pairView is a pair on the index.
type pairView struct {
	Module, Prober, Interval string
	Outcome                  string // "pending": there is no run yet
	ID, Summary, Age, Took   string // of the last run; empty: none
	Running, Next            string
	Held                     string     // until when a rate limit holds the next run back; empty: none does
	Recent                   []markView // oldest first
}

// markView is one run among a pair's recent ones.
type markView struct{ ID, Outcome, Label string }

func (s *server) index(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	var budgets []probe.Budget
	if s.Budget != nil {
		budgets = s.Budget()
	}
	problem := ""
	if s.LedgerProblem != nil {
		if err := s.LedgerProblem(); err != nil {
			problem = err.Error()
		}
	}
	var targets []targetView
	for _, status := range s.Runner.Status() {
		if n := len(targets); n == 0 || targets[n-1].Name != status.Target {
			targets = append(targets, targetView{
				Name: status.Target, Environment: status.Environment, Limits: budget(budgets, status.Target, now),
			})
		}
		t := &targets[len(targets)-1]
		p := newPairView(&status, now)
		if p.Outcome == string(probe.OutcomeSuccess) {
			t.Succeeded++
		}
		t.Pairs = append(t.Pairs, p)
	}
	s.page(w, indexPage, struct {
		frame
		Now, LedgerProblem string
		Targets            []targetView
	}{s.frame("acme_exporter", ""), instant(now), problem, targets})
}

func newPairView(status *probe.Status, now time.Time) pairView {
	p := pairView{Module: status.Module, Prober: string(status.Prober), Outcome: "pending", Interval: "when scraped"}
	if status.Interval > 0 {
		p.Interval = "every " + brief(status.Interval)
	}
	if !status.NextDue.IsZero() {
		p.Next = "now"
		if d := status.NextDue.Sub(now); d >= time.Second {
			p.Next = "in " + brief(d)
		}
	}
	if until, limit := heldUntil(status, now); !until.IsZero() {
		p.Next, p.Held = "in "+brief(until.Sub(now)), instant(until)+" ("+limit+")"
	}
	if !status.Running.IsZero() {
		p.Running = brief(max(0, now.Sub(status.Running)))
	}
	if r := status.Last(); r != nil {
		p.Outcome, p.ID, p.Summary = string(r.Verdict.Outcome), r.ID, r.Verdict.Summary
		p.Age, p.Took = ago(r, now), took(r.Duration)
	}
	for _, r := range status.Recent {
		if r.FollowUp == "" && len(p.Recent) < shownRuns {
			p.Recent = append(p.Recent, markView{r.ID, string(r.Verdict.Outcome), string(r.Verdict.Outcome) + ", " + ago(r, now)})
		}
	}
	slices.Reverse(p.Recent)
	return p
}

// run shows one run: as a page, or as JSON with the ending .json or ?format=json.
func (s *server) run(w http.ResponseWriter, req *http.Request) {
	id, asJSON := strings.CutSuffix(req.PathValue("id"), ".json")
	switch format := req.URL.Query().Get("format"); format {
	case "":
	case "json":
		asJSON = true
	default:
		plain(w, http.StatusBadRequest, fmt.Sprintf("parameter %q is %q: want json", "format", format))
		return
	}
	r, ok := s.Runner.Result(id)
	if !ok {
		plain(w, http.StatusNotFound, fmt.Sprintf("no run %q: only the last runs of each configured pair are kept", id))
		return
	}
	if asJSON {
		s.json(w, r)
		return
	}
	drawn, err := waterfall.HTML(r)
	if err != nil {
		s.failed(w, err)
		return
	}
	older, newer, followUps := s.around(r)
	s.page(w, runPage, struct {
		frame
		Run                *probe.Result
		Started, Age, Took string
		Older, Newer       string // IDs of the pair's runs; empty: none
		FollowUps          []*probe.Result
		Limit              []string
		Waterfall          template.HTML
	}{
		s.frame(r.String()+" · acme_exporter", drawn.Style), r,
		instant(r.Start), ago(r, time.Now()), took(r.Duration),
		older, newer, followUps, limitSaid(r), drawn.Body,
	})
}

// around returns the runs of r's pair before and after r, and those that follow
// up r.
func (s *server) around(r *probe.Result) (older, newer string, followUps []*probe.Result) {
	status, ok := find(s.Runner.Status(), r.Pair)
	if !ok {
		return "", "", nil
	}
	for _, other := range status.Recent { // newest first
		switch {
		case other.Parent == r.ID:
			followUps = append(followUps, other)
		case other.FollowUp != "" || other.ID == r.ID:
		case other.Start.After(r.Start):
			newer = other.ID
		case older == "":
			older = other.ID
		}
	}
	slices.Reverse(followUps)
	return older, newer, followUps
}

func (s *server) json(w http.ResponseWriter, r *probe.Result) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		s.failed(w, fmt.Errorf("encode run %q: %w", r.ID, err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // the client has gone: nobody to tell
}

// page writes a page whose policy allows its one style element and nothing else.
func (s *server) page(w http.ResponseWriter, t *template.Template, data any) {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		s.failed(w, fmt.Errorf("draw page: %w", err))
		return
	}
	_, rest, _ := bytes.Cut(b.Bytes(), []byte("<style>"))
	style, _, _ := bytes.Cut(rest, []byte("</style>"))
	hash := sha256.Sum256(style)
	w.Header().Set("Content-Security-Policy", policy+"; style-src 'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+"'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the client has gone: nobody to tell
}

// instant is t for people.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// ago is how long ago a run ended.
func ago(r *probe.Result, now time.Time) string {
	return brief(max(0, now.Sub(r.End()))) + " ago"
}

// brief is d in its largest unit, rounded down.
func brief(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	default:
		return fmt.Sprintf("%d s", d/time.Second)
	}
}

// took is the duration of a run.
func took(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
