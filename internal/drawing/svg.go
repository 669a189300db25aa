package drawing

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"unicode"
)

// Style is the part of a page's style sheet that pictures need: the inks as custom
// properties, light and dark, and the classes of shapes.
func Style() string {
	var light, dark, classes strings.Builder
	for _, p := range palette {
		fmt.Fprintf(&light, "--%s:%s;", p.ink, p.light)
		fmt.Fprintf(&dark, "--%s:%s;", p.ink, p.dark)
		fmt.Fprintf(&classes, ".f-%[1]s{fill:var(--%[1]s)}.s-%[1]s{fill:none;stroke:var(--%[1]s)}\n", p.ink)
	}
	return fmt.Sprintf(":root{color-scheme:light dark;%s}\n@media (prefers-color-scheme:dark){:root{%s}}\n%s", light.String(), dark.String(), classes.String())
}

// Light returns a style sheet with each var(--INK) replaced by the color in the light,
// for readers that know no custom properties, as those of mail.
func Light(style string) string {
	var pairs []string
	for _, p := range palette {
		pairs = append(pairs, "var(--"+string(p.ink)+")", p.light)
	}
	return strings.NewReplacer(pairs...).Replace(style)
}

// SVG returns the picture as an element of a page that has [Style]. It is as wide as
// there is room. All classes are given beside the element's own ones.
func (p *Picture) SVG(class string) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="%s" viewBox="0 0 %s %s" role="img" aria-label="%s">`, escape(class), number(p.Width), number(p.Height), escape(p.Label))
	for i := 0; i < len(p.shapes); {
		s := &p.shapes[i]
		switch {
		case s.size > 0:
			fmt.Fprintf(&b, `<text class="f-%s" x="%s" y="%s" font-size="%s"`, s.ink, number(s.points[0].X), number(s.points[0].Y), number(s.size))
			if s.anchor != Start {
				fmt.Fprintf(&b, ` text-anchor="%s"`, s.anchor)
			}
			b.WriteString(">" + escape(s.text) + "</text>")
			i++
		case s.title != "":
			fmt.Fprintf(&b, `<path class="f-%s" d="%s"><title>%s</title></path>`, s.ink, outline(s), escape(s.title))
			i++
		default:
			class, width := "f-"+string(s.ink), ""
			if s.width > 0 {
				class, width = "s-"+string(s.ink), fmt.Sprintf(` stroke-width="%s" stroke-linejoin="round"`, number(s.width))
			}
			fmt.Fprintf(&b, `<path class="%s"%s d="`, class, width)
			first := s
			for ; i < len(p.shapes) && like(first, &p.shapes[i]); i++ {
				b.WriteString(outline(&p.shapes[i]))
			}
			b.WriteString(`"/>`)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // made of numbers, our own words, and what escape returned
}

// like reports whether both can be one path.
func like(a, b *shape) bool {
	return a.ink == b.ink && a.width == b.width && a.size == 0 && b.size == 0 && b.title == ""
}

// outline is the path of a shape.
func outline(s *shape) string {
	var b strings.Builder
	for i, p := range s.points {
		switch i {
		case 0:
			b.WriteByte('M')
		case 1:
			b.WriteByte('L')
		default:
			b.WriteByte(' ')
		}
		b.WriteString(number(p.X) + " " + number(p.Y))
	}
	if s.width == 0 {
		b.WriteByte('z')
	}
	return b.String()
}

// number is to a tenth of a pixel.
func number(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// escape makes s fit for an attribute and for text.
func escape(s string) string {
	return template.HTMLEscapeString(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s))
}
