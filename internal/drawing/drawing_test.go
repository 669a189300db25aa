package drawing

import (
	"bytes"
	"fmt"
	"image/color"
	"image/png"
	"math"
	"strconv"
	"strings"
	"testing"
)

// picture has one of each shape.
func picture() *Picture {
	p := &Picture{Width: 100, Height: 50, Label: `a "label" <of> harm` + "\x00"}
	p.Rect(Calm, 0, 0, 20, 10, "")
	p.Rect(Calm, 30, 0, 20, 10, "")
	p.Rect(Bad, 60, 0, 20, 10, "<b>down</b>")
	p.Area(Band, Point{0, 20}, Point{50, 20}, Point{50, 40})
	p.Line(Accent, 2, Point{0, 45.04}, Point{100, 45.06})
	p.Write(Text, 12, 98, 30, End, "</text><script>")
	return p
}

func TestSVG(t *testing.T) {
	const want = `<svg class="wide" viewBox="0 0 100 50" role="img" aria-label="a &#34;label&#34; &lt;of&gt; harm` + "\ufffd" + `">` +
		`<path class="f-calm" d="M0 0L20 0 20 10 0 10zM30 0L50 0 50 10 30 10z"/>` +
		`<path class="f-fail" d="M60 0L80 0 80 10 60 10z"><title>&lt;b&gt;down&lt;/b&gt;</title></path>` +
		`<path class="f-band" d="M0 20L50 20 50 40z"/>` +
		`<path class="s-blue" stroke-width="2" stroke-linejoin="round" d="M0 45L100 45.1"/>` +
		`<text class="f-fg" x="98" y="30" font-size="12" text-anchor="end">&lt;/text&gt;&lt;script&gt;</text></svg>`
	if got := string(picture().SVG("wide")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestPNG holds that the pixels are where SVG would have them, at twice the size.
func TestPNG(t *testing.T) {
	data, err := picture().PNG(2)
	if err != nil {
		t.Fatal(err)
	}
	image, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if size := image.Bounds().Size(); size.X != 200 || size.Y != 100 {
		t.Fatalf("%v pixels, want 200 × 100", size)
	}
	colors := map[Ink]color.Color{}
	for _, c := range palette {
		colors[c.ink] = rgb(c.light)
	}
	for _, c := range []struct {
		x, y int
		ink  Ink
	}{{5, 5, Calm}, {25, 5, Background}, {45, 5, Calm}, {70, 5, Bad}, {45, 30, Band}, {5, 38, Background}, {50, 45, Accent}} {
		if got := image.At(2*c.x, 2*c.y); got != colors[c.ink] {
			t.Errorf("at %d, %d there is %v, want %s", c.x, c.y, got, c.ink)
		}
	}
	// The text ends at 98: there is ink before it, and none behind.
	dark := func(from, to int) bool {
		for x := 2 * from; x < 2*to; x++ {
			for y := 2 * 20; y < 2*32; y++ {
				if r, _, _, _ := image.At(x, y).RGBA(); r < 0x6000 {
					return true
				}
			}
		}
		return false
	}
	if !dark(60, 98) || dark(99, 100) {
		t.Error("the text is not where it should be")
	}
}

// TestLight holds that no custom property is left for those who know none.
func TestLight(t *testing.T) {
	var style strings.Builder
	for _, p := range palette {
		fmt.Fprintf(&style, "a{color:var(--%s)}", p.ink)
	}
	if got := Light(style.String()); strings.Contains(got, "var(") || !strings.Contains(got, "a{color:#1b2430}") {
		t.Errorf("%s", got)
	}
	if got := Style(); strings.Count(got, "--fg:#") != 2 || !strings.Contains(got, ".f-fg{fill:var(--fg)}.s-fg{fill:none;stroke:var(--fg)}") {
		t.Errorf("style: %s", got)
	}
}

// TestContrast holds what the palette promises of text.
func TestContrast(t *testing.T) {
	by := map[Ink][2]string{}
	for _, p := range palette {
		by[p.ink] = [2]string{p.light, p.dark}
	}
	for i, scheme := range []string{"light", "dark"} {
		for _, text := range []Ink{Text, Muted, Accent, Good, Warn, Bad} {
			for _, under := range []Ink{Background, Soft} {
				a, b := luminance(t, by[text][i]), luminance(t, by[under][i])
				if ratio := (max(a, b) + .05) / (min(a, b) + .05); ratio < 4.5 {
					t.Errorf("%s: %s on %s has a contrast of %.2f : 1, want 4.5", scheme, text, under, ratio)
				}
			}
		}
	}
}

// luminance is that of WCAG 2.2.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	v, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil || len(hex) != 7 {
		t.Fatalf("%q is not a color", hex)
	}
	linear := func(shift uint) float64 {
		c := float64(v>>shift&0xff) / 255
		if c <= .04045 {
			return c / 12.92
		}
		return math.Pow((c+.055)/1.055, 2.4)
	}
	return .2126*linear(16) + .7152*linear(8) + .0722*linear(0)
}
