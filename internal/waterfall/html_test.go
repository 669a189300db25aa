package waterfall

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestHTMLGolden(t *testing.T) {
	for name, r := range results() {
		t.Run(name, func(t *testing.T) {
			f, err := HTML(r)
			if err != nil {
				t.Fatal(err)
			}
			rules := strings.TrimPrefix(string(f.Style), style)
			golden(t, name+".html", []byte(string(f.Body)+"<style>\n"+rules+"</style>\n"))
		})
	}
}

// TestHTMLIsInert holds that nothing in a page can run or be loaded, and that
// a policy that allows one style element by its hash is enough.
func TestHTMLIsInert(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)<script|<img|<b>|<i>|<style|</style|\sstyle=|\son\w+=\s*["']|javascript:|url\(|https?:`)
	for name, r := range results() {
		f, err := HTML(r)
		if err != nil {
			t.Fatal(err)
		}
		for part, s := range map[string]string{"body": string(f.Body), "style": string(f.Style)} {
			if found := forbidden.FindString(s); found != "" {
				t.Errorf("%s: %q in the %s", name, found, part)
			}
		}
	}
	f, err := HTML(hostile())
	if err != nil {
		t.Fatal(err)
	}
	for _, escaped := range []string{
		"&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;img src=x onerror=alert(2)&gt;",
		"&lt;/style&gt;&lt;script&gt;alert(3)&lt;/script&gt;", "&lt;script&gt;alert(4)&lt;/script&gt;",
	} {
		if !strings.Contains(string(f.Body), escaped) {
			t.Errorf("what the CA said is not shown as %s", escaped)
		}
	}
}

// TestHTMLHasTheBarsAsText holds that nobody needs to see the bars.
func TestHTMLHasTheBarsAsText(t *testing.T) {
	f, err := HTML(issued())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"dns 12.0 · connect 21.0 · tls 37.0 · answer 38.0 · body 4.0 ms", "answer 380.0 · body 1.0 ms",
		"retry 1, because of bad_nonce", ">381.1<", ">950.0<", "4 requests from 4 networks",
	} {
		if !strings.Contains(string(f.Body), text) {
			t.Errorf("%q is missing", text)
		}
	}
}

func TestPlacesStayOnTheAxis(t *testing.T) {
	r := unreachable()
	r.Duration = time.Second // shorter than its call: a clock that jumped
	r.Visits = []probe.Visit{{At: time.Hour}, {At: -time.Hour}}
	d := &drawing{span: time.Second}
	for _, row := range Rows(r) {
		d.row(&row)
	}
	places := regexp.MustCompile(`left:min\(([\d.]+)%,100% - 3px\);width:([\d.]+)%`)
	for rule := range strings.Lines(d.rules.String()) {
		place := places.FindStringSubmatch(rule)
		if place == nil {
			t.Errorf("%s is not on the axis", rule)
			continue
		}
		left, _ := strconv.ParseFloat(place[1], 64)
		width, _ := strconv.ParseFloat(place[2], 64)
		if left+width > 100.001 {
			t.Errorf("%s goes beyond the axis", rule)
		}
	}
	if !strings.Contains(d.rules.String(), "left:min(100.000%,100% - 3px);width:0.000%") {
		t.Errorf("the late visit is not at the end: %s", d.rules.String())
	}
}

func TestRows(t *testing.T) {
	type line struct{ kind, name, status string }
	kinds := func(rows []Row) (lines []line) {
		for _, r := range rows {
			lines = append(lines, line{string(r.Kind), r.Name, r.Status})
		}
		return lines
	}
	r := &probe.Result{Facts: probe.Facts{
		Steps: []probe.Step{
			{Name: probe.StepNonce, Start: 10, Duration: 10, OK: true},
			{Name: probe.StepValidation, Start: 30, Duration: 10, OK: true},
			{Name: probe.StepValidation, Start: 50, Duration: 10},
		},
		Calls: []probe.Call{
			{Name: probe.CallAuthz, Step: probe.StepValidation, Start: 51, Status: 500, End: 52},
			{Name: probe.CallDirectory, Start: 1, Status: 200, End: 2},
			{Name: probe.CallChallenge, Step: probe.StepValidation, Start: 31, Status: 200, End: 32},
			{Name: probe.CallNewNonce, Step: probe.StepNonce, Start: 9, Status: 200, End: 12}, // begins before its step
			{Name: probe.CallOrder, Step: probe.StepOrder, Start: 70},                         // its step is not recorded
		},
		Visits: []probe.Visit{{At: 33}},
	}}
	want := []line{
		{"call", "directory", "200"},
		{"step", "nonce", "ok"},
		{"call", "new-nonce", "200"},
		{"step", "validation", "ok"},
		{"call", "challenge", "200"},
		{"visits", "validators", "1"},
		{"step", "validation", "failed"},
		{"call", "authz", "500"},
		{"call", "order", "none"},
	}
	if diff := cmp.Diff(want, kinds(Rows(r)), cmp.AllowUnexported(line{})); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// TestSeveralShareNoBars holds that the bars of one run have no rule of another's.
func TestSeveralShareNoBars(t *testing.T) {
	style, bodies, err := Several(issued(), unreachable())
	if err != nil || len(bodies) != 2 {
		t.Fatalf("%d bodies, %v", len(bodies), err)
	}
	place := regexp.MustCompile(`class="\w+ (w\d+)"`)
	seen := make(map[string]bool)
	for _, body := range bodies {
		for _, m := range place.FindAllStringSubmatch(string(body), -1) {
			if seen[m[1]] {
				t.Errorf("class %s twice", m[1])
			}
			seen[m[1]] = true
			if n := strings.Count(string(style), "."+m[1]+"{"); n != 1 {
				t.Errorf("class %s has %d rules", m[1], n)
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("%d bars", len(seen))
	}
}
