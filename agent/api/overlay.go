package api

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/egret-edge/egret/sync/payload"
)

const (
	// overlayQuality is JPEG's: text shows its artefacts sooner than a camera's
	// picture does.
	overlayQuality = 85
	// maxDrawn bounds the results on a picture: a model may have thousands.
	maxDrawn = 100
)

// typeface is read when the first picture is drawn on.
var typeface = sync.OnceValues(func() (*opentype.Font, error) { return opentype.Parse(goregular.TTF) })

// palette has colours that are told apart on most pictures; white text is read
// on each.
var palette = []color.RGBA{
	{200, 30, 40, 255}, {20, 110, 200, 255}, {20, 125, 60, 255}, {150, 60, 190, 255}, {180, 85, 0, 255}, {0, 120, 130, 255},
}

// draw is the picture with its prediction on it: boxes with labels, or the
// classes as text. One is drawn at a time, since each needs four bytes per pixel
// and a core.
func (s *Server) draw(ctx context.Context, pic Picture) (Picture, error) {
	if pic.Prediction == nil {
		return pic, nil
	}
	if !s.drawing.wait(ctx) {
		return pic, ctx.Err()
	}
	defer s.drawing.leave()
	data, err := overlay(pic.JPEG, pic.Prediction)
	if err != nil {
		return pic, fmt.Errorf("draw on the picture: %w", err)
	}
	pic.JPEG = data
	return pic, nil
}

func overlay(data []byte, p *payload.Prediction) ([]byte, error) {
	src, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	canvas := image.NewRGBA(image.Rect(0, 0, src.Bounds().Dx(), src.Bounds().Dy()))
	draw.Draw(canvas, canvas.Rect, src, src.Bounds().Min, draw.Src)
	pen, err := newPen(canvas)
	if err != nil {
		return nil, err
	}
	defer pen.face.Close()
	results := p.Results[:min(len(p.Results), maxDrawn)]
	for i := len(results) - 1; i >= 0; i-- { // the best is drawn last, over the others
		r := &results[i]
		text := fmt.Sprintf("%.60s %.0f %%", r.Label, r.Score*100)
		ink := palette[uint(r.Index)%uint(len(palette))]
		if r.Box != nil {
			pen.box(*r.Box, text, ink)
			continue
		}
		pen.text(0, i*pen.height, text, palette[i%len(palette)])
	}
	var out bytes.Buffer
	out.Grow(len(data) + len(data)/4)
	if err := jpeg.Encode(&out, canvas, &jpeg.Options{Quality: overlayQuality}); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// pen draws on a picture, in a size that fits it.
type pen struct {
	on            *image.RGBA
	face          font.Face
	height, width int // of a line of text, and of a box's line, in pixels
}

func newPen(on *image.RGBA) (*pen, error) {
	f, err := typeface()
	if err != nil {
		return nil, err
	}
	size := max(11, min(on.Rect.Dx(), on.Rect.Dy())/28)
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: float64(size), DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, err
	}
	return &pen{on: on, face: face, height: size * 4 / 3, width: max(2, size/8)}, nil
}

// box draws an object's outline with its label at the upper left corner.
func (p *pen) box(b [4]float32, text string, ink color.RGBA) {
	w, h := p.on.Rect.Dx(), p.on.Rect.Dy()
	r := image.Rect(at(b[0], w), at(b[1], h), at(b[2], w), at(b[3], h))
	p.fill(image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+p.width), ink)
	p.fill(image.Rect(r.Min.X, r.Max.Y-p.width, r.Max.X, r.Max.Y), ink)
	p.fill(image.Rect(r.Min.X, r.Min.Y, r.Min.X+p.width, r.Max.Y), ink)
	p.fill(image.Rect(r.Max.X-p.width, r.Min.Y, r.Max.X, r.Max.Y), ink)
	p.text(r.Min.X, r.Min.Y, text, ink)
}

// at is the pixel at a share of the length. A box may reach beyond the frame.
func at(share float32, length int) int {
	return int(min(max(share, 0), 1) * float32(length))
}

// text writes a line in white on ink, moved so far that it is on the picture.
func (p *pen) text(x, y int, text string, ink color.RGBA) {
	wide := font.MeasureString(p.face, text).Ceil() + p.height/2
	x = max(0, min(x, p.on.Rect.Dx()-wide))
	y = max(0, min(y, p.on.Rect.Dy()-p.height))
	p.fill(image.Rect(x, y, x+wide, y+p.height), ink)
	d := font.Drawer{Dst: p.on, Src: image.White, Face: p.face, Dot: fixed.P(x+p.height/4, y+p.height*3/4)}
	d.DrawString(text)
}

func (p *pen) fill(r image.Rectangle, ink color.RGBA) {
	draw.Draw(p.on, r.Intersect(p.on.Rect), image.NewUniform(ink), image.Point{}, draw.Src)
}
