package report

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"
)

// TestHTML holds the page of the sample to a golden file.
func TestHTML(t *testing.T) {
	const file = "testdata/sample.html"
	var page bytes.Buffer
	if err := HTML(&page, sample()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page.Bytes(), golden) {
		t.Errorf("the page is another than %s (-update writes it anew)", file)
	}
}

// elements returns every element of a page.
func elements(t *testing.T, page string) []*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var list []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			list = append(list, n)
		}
	}
	return list
}

// TestHostile holds that texts from outside stay texts, in the page and in the mail.
func TestHostile(t *testing.T) {
	var page bytes.Buffer
	if err := HTML(&page, sample()); err != nil {
		t.Fatal(err)
	}
	mail, err := MailOf(sample())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"page": page.String(), "mail": mail.HTML} {
		said := 0
		for _, n := range elements(t, content) {
			if n.Data == "script" || n.Data == "link" || n.Data == "iframe" {
				t.Errorf("%s: an element %s", name, n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || (a.Key == "href" || a.Key == "src") && !strings.HasPrefix(a.Val, "#t") && a.Val != "https://status.example/incidents/1" && !strings.HasPrefix(a.Val, "cid:") {
					t.Errorf("%s: %s has %s=%q", name, n.Data, a.Key, a.Val)
				}
			}
			if c := n.FirstChild; c != nil && c.Type == html.TextNode && strings.Contains(c.Data, `"><script>alert('1')</script>`) {
				said++
			}
		}
		if said < 10 {
			t.Errorf("%s: the hostile text is in %d elements, want it shown wherever it came from", name, said)
		}
		if i := strings.IndexFunc(content, func(r rune) bool { return r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }); i >= 0 {
			t.Errorf("%s: a control or a mark of direction in %q", name, content[max(0, i-40):i+20])
		}
	}
}

// TestMailOf holds what readers of mail cannot show out of it, and that each image is
// shown.
func TestMailOf(t *testing.T) {
	mail, err := MailOf(sample())
	if err != nil {
		t.Fatal(err)
	}
	if mail.Subject != "ACME report: Certificate authorities, week 46 of 2026" {
		t.Errorf("subject %q", mail.Subject)
	}
	for _, not := range []string{"<svg", "var(--", "prefers-color-scheme", "ZgotmplZ"} {
		if strings.Contains(mail.HTML, not) {
			t.Errorf("the mail has %q", not)
		}
	}
	if n := strings.Count(mail.HTML, `<img src="cid:`); n != 3 || len(mail.Images) != 3 {
		t.Errorf("%d images are shown and %d there, want 3", n, len(mail.Images))
	}
	for _, image := range mail.Images {
		if !strings.Contains(mail.HTML, `<img src="cid:`+image.ID+`" width="520" alt="`) {
			t.Errorf("image %s is not shown", image.ID)
		}
	}
	if n := len(regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(mail.HTML)[1]); n > 8192 {
		t.Errorf("the style has %d bytes: Gmail takes no style of more than 8192", n)
	}
}

// TestNothing holds what a report says of which nothing is known.
func TestNothing(t *testing.T) {
	r := &Report{Version: Version, Period: sample().Period, Missing: []Missing{{Kind: MissingAll, Text: "There is no sample at all."}}}
	var page bytes.Buffer
	if err := HTML(&page, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<li>There is no sample at all.</li>", "Nothing is known of any target in this period.", "Mon 9 Nov 00:00 to Mon 16 Nov 00:00, Europe/Berlin."} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// TestMany holds that no list of spans fills a page.
func TestMany(t *testing.T) {
	r := sample()
	var spans []Span
	var gaps []Gap
	for i := range 30 {
		span := Span{monday.Add(time.Duration(i) * time.Hour), monday.Add(time.Duration(i)*time.Hour + time.Minute)}
		spans, gaps = append(spans, span), append(gaps, Gap{GapOutage, span})
	}
	r.Targets[1].Latency = &Latency{Prober: "issue", Gaps: gaps}
	r.Targets[1].Locations[0].Silent, r.Missing[0].Spans = spans, spans
	var page bytes.Buffer
	if err := HTML(&page, r); err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]int{"and 18 more": 3, "Mon 9 Nov 11:00 to Mon 9 Nov 11:01 (1 min)": 3 + 2, "Mon 9 Nov 12:00 to Mon 9 Nov 12:01 (1 min)": 2} {
		if n := strings.Count(page.String(), what); n != want { // both charts mark every gap
			t.Errorf("%q is there %d times, want %d", what, n, want)
		}
	}
}

// TestWords holds how numbers are said.
func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{percent(1, true), "100 %"},
		{percent(.99999999, true), "99.99 %"},
		{percent(0, true), "0.00 %"},
		{percent(1, false), "not known"},
		{lasted(0), "0 s"},
		{lasted(999 * time.Millisecond), "less than 1 s"},
		{lasted(70 * time.Minute), "1 h 10 min"},
		{lasted(50 * time.Hour), "2 d 2 h"},
		{took(0), "0 ms"},
		{took(1234 * time.Millisecond), "1.23 s"},
		{took(12345 * time.Millisecond), "12.3 s"},
		{thousands(7), "7"},
		{thousands(123456), "123\u00a0456"},
		{thousands(-1234567), "-1\u00a0234\u00a0567"},
		{plural(1, "run"), "1 run"},
		{plural(0, "run"), "0 runs"},
		{clean("a\r\nb\x00\u202ec\xff\u200b"), "a\ufffd\ufffdb\ufffd\ufffdc\ufffd\ufffd"},
		{named(""), "(without a name)"},
		{failuresSaid(Runs{Success: 3}), "none failed"},
		{failuresSaid(Runs{Failures: map[string]int64{"unknown": 1, "ca": 2}, Skipped: 4}), "3 failed (ca 2, unknown 1), 4 skipped"},
		{quantileSaid(Quantile{Value: 90 * time.Second, Low: 90 * time.Second}), "more than 90.0 s"},
		{tokens(new(2.99)), "2"},
		{tokens(nil), "–"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	q := func(v time.Duration) Quantile { return Quantile{v, v - 1, v + 1} }
	for _, c := range []struct {
		now, before Quantile
		said, class string
	}{
		{q(200), q(100), "+100 %", "slower"},
		{q(105), q(100), "+5 %", ""},
		{q(50), q(100), "−50 %", "up"},
		{q(101), q(100), "~ +1 %", ""},
		{q(100), Quantile{}, "", ""},
	} {
		if said, class := changeSaid(c.now, c.before); said != c.said || class != c.class {
			t.Errorf("from %v to %v: %q (%s), want %q (%s)", c.before, c.now, said, class, c.said, c.class)
		}
	}
}
