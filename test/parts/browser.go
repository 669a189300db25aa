package parts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Browser is Chromium without a window.
type Browser struct {
	tb  testing.TB
	ctx context.Context // of chromedp: the browser itself, as its API wants it
	axe string          // the source of axe-core
}

// StartBrowser starts Chromium. It ends with the test.
func StartBrowser(tb testing.TB) *Browser {
	tb.Helper()
	axe, err := os.ReadFile(strings.TrimSpace(Make(tb, "tool-axe-core")))
	if err != nil {
		tb.Fatal(err)
	}
	// Root has no sandbox, and it opens nothing but our own pages.
	ctx, stop := chromedp.NewExecAllocator(tb.Context(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.WSURLReadTimeout(Timeout))...)
	tb.Cleanup(stop)
	b := &Browser{tb: tb, axe: string(axe)}
	b.ctx, _ = chromedp.NewContext(ctx) // stop ends it
	if err := chromedp.Do(b.ctx); err != nil {
		tb.Fatalf("start Chromium: %v", err)
	}
	return b
}

// Look is how somebody looks at a page.
type Look struct {
	Width, Height int64 // of the window, in CSS pixels
	Phone         bool
	Dark          bool // prefers a dark color scheme
}

// String is fit for a file name.
func (l Look) String() string {
	if l.Dark {
		return fmt.Sprintf("%d-dark", l.Width)
	}
	return fmt.Sprintf("%d-light", l.Width)
}

// TabZone is the time zone of who looks, which no machine of ours is in.
const TabZone = "Asia/Kolkata"

// Tab is a page in a browser.
type Tab struct {
	Look
	tb    testing.TB
	ctx   context.Context // of chromedp: the tab itself
	axe   string
	marks int

	mu  sync.Mutex // guards log
	log []string   // of the console
}

// Open opens a tab. It is closed with the test.
func (b *Browser) Open(look Look) *Tab {
	b.tb.Helper()
	t := &Tab{Look: look, tb: b.tb, axe: b.axe}
	var cancel context.CancelFunc
	t.ctx, cancel = chromedp.NewContext(b.ctx)
	b.tb.Cleanup(cancel)
	if err := chromedp.Do(t.ctx); err != nil { // not in a context that ends, which would close it
		b.tb.Fatalf("open a tab: %v", err)
	}
	messages := chromedp.Console(t.ctx)
	go func() { // until the tab is closed
		for m, err := range messages {
			if err != nil {
				return
			}
			t.mu.Lock()
			t.log = append(t.log, fmt.Sprintf("%s: %s", m.Type, m.Text))
			t.mu.Unlock()
		}
	}()
	var options []chromedp.EmulateViewportOption
	if look.Phone {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	scheme := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "light"}
	if look.Dark {
		scheme.Value = "dark"
	}
	t.do("look as "+look.String(),
		chromedp.EmulateViewport(look.Width, look.Height, options...),
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{scheme}})
			return err
		}),
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: TabZone})
			return err
		}))
	return t
}

// run does one thing in the tab; that it cannot fails the test.
func run[T any](t *Tab, what string, action chromedp.Action[T]) T {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, Timeout)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		t.tb.Fatalf("browser, %s: %s: %v", t.Look, what, err)
	}
	return v
}

func (t *Tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	t.tb.Helper()
	run(t, what, chromedp.Steps(steps...))
}

// Go opens an address, and waits until it has loaded; any status but 200 fails the test.
func (t *Tab) Go(url string) {
	t.tb.Helper()
	if r := run(t, "open "+url, chromedp.NavigateResponse(url)); r.Status != 200 {
		t.tb.Fatalf("browser, %s: %s: status %d", t.Look, url, r.Status)
	}
}

// Press presses keys, of [github.com/chromedp/chromedp/kb] where they are no text.
func (t *Tab) Press(keys string) {
	t.tb.Helper()
	t.do("press a key", chromedp.KeyEvent(keys))
}

// Follow presses a key that leads to another page, and waits until that has loaded.
func (t *Tab) Follow(key string) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, Timeout)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.KeyEvent(key)); err != nil {
		t.tb.Fatalf("browser, %s: follow: %v", t.Look, err)
	}
}

// Evaluate returns the value of a JavaScript expression on the page.
func Evaluate[T any](t *Tab, expression string) T {
	t.tb.Helper()
	return run(t, "evaluate "+expression, chromedp.Evaluate[T](expression))
}

// Complaints returns what the console has said since the last time: errors, warnings,
// and what the page's policy has kept from it.
func (t *Tab) Complaints() []string {
	t.tb.Helper()
	t.marks++
	mark := fmt.Sprintf("mark %d", t.marks)
	Evaluate[chromedp.Void](t, fmt.Sprintf("console.info(%q)", mark))
	var said []string
	Until(t.tb, "the console has its "+mark, func() bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		i := slices.Index(t.log, "info: "+mark)
		if i < 0 {
			return false
		}
		said, t.log = slices.Clone(t.log[:i]), t.log[i+1:]
		return true
	})
	return said
}

// Audit is what axe-core says of a page.
type Audit struct {
	Passed     []string    // rules
	Violations []Violation // serious and critical ones
}

// Violation is a rule that is not kept, and the first of the elements that do not.
type Violation struct {
	Rule, Impact, Help string
	Elements           int
	HTML, Summary      string
}

// Audit has axe-core look at the page.
func (t *Tab) Audit() Audit {
	t.tb.Helper()
	t.do("load axe-core", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := chromedp.Evaluate[chromedp.Void](t.axe)(ctx, target)
		return err
	}))
	return run(t, "audit", chromedp.Evaluate[Audit](`axe.run().then(r => ({
		Passed: r.passes.map(p => p.id),
		Violations: r.violations.filter(v => v.impact == "serious" || v.impact == "critical").map(v =>
			({Rule: v.id, Impact: v.impact, Help: v.help, Elements: v.nodes.length, HTML: v.nodes[0].html, Summary: v.nodes[0].failureSummary})),
	}))`, chromedp.EvalAwaitPromise))
}

// Screenshot writes a picture of the whole page beside what the test leaves behind;
// see the flag -artifacts of go test.
func (t *Tab) Screenshot(name string) {
	t.tb.Helper()
	path := filepath.Join(t.tb.ArtifactDir(), fmt.Sprintf("%s-%s.png", name, t.Look))
	write(t.tb, path, run(t, "take a picture", chromedp.FullScreenshot(100)))
}
