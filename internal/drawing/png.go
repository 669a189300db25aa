package drawing

import (
	"bytes"
	"fmt"
	"image/color"
	"image/png"
	"strconv"
	"sync"

	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/opentype"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
)

// pointsPerInch is how many of vg's units an inch has: with as many dots, a unit is
// a pixel.
const pointsPerInch = 72

// sans is the font of texts.
var sans = sync.OnceValues(func() (*opentype.Font, error) { return opentype.Parse(liberationsansregular.TTF) })

// PNG returns the picture in the light, each of its pixels being scale × scale of the
// image's.
func (p *Picture) PNG(scale int) ([]byte, error) {
	typeface, err := sans()
	if err != nil {
		return nil, fmt.Errorf("draw a picture: %w", err)
	}
	colors := make(map[Ink]color.Color, len(palette))
	for _, c := range palette {
		colors[c.ink] = rgb(c.light)
	}
	canvas := vgimg.NewWith(vgimg.UseWH(vg.Length(p.Width), vg.Length(p.Height)), vgimg.UseDPI(scale*pointsPerInch), vgimg.UseBackgroundColor(colors[Background]))
	// vg counts upwards from the bottom.
	at := func(point Point) vg.Point { return vg.Point{X: vg.Length(point.X), Y: vg.Length(p.Height - point.Y)} }
	for _, s := range p.shapes {
		canvas.SetColor(colors[s.ink])
		if s.size > 0 {
			face := font.Face{Font: font.Font{Size: font.Length(s.size)}, Face: typeface}
			place := at(s.points[0])
			switch s.anchor {
			case Middle:
				place.X -= face.Width(s.text) / 2
			case End:
				place.X -= face.Width(s.text)
			}
			canvas.FillString(face, place, s.text)
			continue
		}
		var path vg.Path
		for i, point := range s.points {
			if i == 0 {
				path.Move(at(point))
			} else {
				path.Line(at(point))
			}
		}
		if s.width > 0 {
			canvas.SetLineWidth(vg.Length(s.width))
			canvas.Stroke(path)
			continue
		}
		path.Close()
		canvas.Fill(path)
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, canvas.Image()); err != nil {
		return nil, fmt.Errorf("draw a picture: %w", err)
	}
	return b.Bytes(), nil
}

// rgb reads #rrggbb; what is not that is black.
func rgb(s string) color.Color {
	v, _ := strconv.ParseUint(s[1:], 16, 32)
	return color.RGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 0xff}
}
