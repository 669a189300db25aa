// Package drawing owns pictures: shapes in pixels, and the two ways in which they
// are shown, as SVG within a page and as PNG for those who show no SVG. A picture
// is drawn once, so that both look the same.
//
// It does not know what is drawn. Colors are named by what they are for; what they
// look like in light and in darkness is the palette's.
package drawing

// Ink is a color by what it is for. It is a custom property in a page's style.
type Ink string

// The inks.
const (
	Background Ink = "bg"
	Text       Ink = "fg"
	Muted      Ink = "muted"
	Rule       Ink = "line"  // of grids
	Soft       Ink = "soft"  // a surface that is set off
	Accent     Ink = "blue"  // what is measured
	Band       Ink = "band"  // around what is measured
	Good       Ink = "good"  // as text and as a mark
	Calm       Ink = "calm"  // a surface of what is good
	Amber      Ink = "amber" // degraded, as a mark
	Warn       Ink = "warn"  // the same, as text
	Bad        Ink = "fail"  // down
	Alarm      Ink = "alarm" // a surface of what is bad
)

// palette has the colors of each ink, light and dark, as #rrggbb. Those of text are
// at least 4.5 : 1 against Background and Soft (WCAG 2.2, 1.4.3).
var palette = []struct {
	ink         Ink
	light, dark string
}{
	{Background, "#ffffff", "#10141a"},
	{Text, "#1b2430", "#e6eaf0"},
	{Muted, "#5b6675", "#9aa7b7"},
	{Rule, "#d9dee5", "#2c3440"},
	{Soft, "#f3f5f8", "#1a2029"},
	{Accent, "#1d4ed8", "#8ab4ff"},
	{Band, "#cfdcfa", "#263d68"},
	{Good, "#18794e", "#4cc38a"},
	{Calm, "#a9dcc3", "#1f5a42"},
	{Amber, "#d17a00", "#e0aa4e"},
	{Warn, "#8a5a00", "#e0aa4e"},
	{Bad, "#c4261d", "#ff7b72"},
	{Alarm, "#fbe0de", "#46201f"},
}

// Point is a place in a picture, in pixels from its top left corner.
type Point struct{ X, Y float64 }

// Anchor says which part of a text is at its place.
type Anchor string

// The anchors, as SVG names them.
const (
	Start  Anchor = "start"
	Middle Anchor = "middle"
	End    Anchor = "end"
)

// Picture is a list of shapes, the later ones above the earlier ones.
type Picture struct {
	Width, Height float64 // in pixels, more than 0
	// Label says in words what is drawn, for those who do not see it.
	Label  string
	shapes []shape
}

// shape is one of: a filled polygon, a line (width > 0), or a text (size > 0).
type shape struct {
	ink    Ink
	points []Point
	width  float64 // of a line
	size   float64 // of a text
	anchor Anchor
	text   string
	title  string // tells of the shape when the pointer rests on it
}

// Area fills the polygon of the points.
func (p *Picture) Area(ink Ink, points ...Point) {
	p.shapes = append(p.shapes, shape{ink: ink, points: points})
}

// Rect fills a rectangle. A title that is not empty is shown when the pointer rests
// on it, in SVG.
func (p *Picture) Rect(ink Ink, x, y, width, height float64, title string) {
	p.shapes = append(p.shapes, shape{ink: ink, title: title, points: []Point{{x, y}, {x + width, y}, {x + width, y + height}, {x, y + height}}})
}

// Line draws a line of a width in pixels through the points.
func (p *Picture) Line(ink Ink, width float64, points ...Point) {
	p.shapes = append(p.shapes, shape{ink: ink, points: points, width: width})
}

// Write writes a text of a size in pixels, whose base line is at y.
func (p *Picture) Write(ink Ink, size, x, y float64, anchor Anchor, text string) {
	p.shapes = append(p.shapes, shape{ink: ink, points: []Point{{x, y}}, size: size, anchor: anchor, text: text})
}
