package agent

import (
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"

	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

// Explanation shows where in a picture a model sees its top class: a grey
// square is moved over the picture, and where it makes the score fall, there
// it was (occlusion; Zeiler and Fergus, "Visualizing and Understanding
// Convolutional Networks", 2014).
type Explanation struct {
	Label string
	Score float32
	// Lowest is the score under the square that cost the most.
	Lowest float32
	// Picture is the frame with the heat laid over it.
	Picture *image.RGBA
}

// ExplainOptions are how finely to look. The zero value is usable.
type ExplainOptions struct {
	// Window is the square's side as a share of the model's input; 0 means
	// 0.2.
	Window float64
	// Steps is the number of places along each side; 0 means 16.
	Steps int
	// Watch is called after each of the Steps² places; may be nil.
	Watch func()
}

// The longer side of an explanation's picture, in pixels: small ones are
// enlarged, large ones reduced.
const minShown, maxShown = 512, 1024

// Explain explains a model's top class in a picture.
func Explain(ctx context.Context, b *tflite.Bundle, opts tflite.Options, file string, stdin io.Reader, o ExplainOptions) (*Explanation, error) {
	if o.Window <= 0 {
		o.Window = 0.2
	}
	if o.Steps <= 0 {
		o.Steps = 16
	}
	data, err := readPicture(file, stdin)
	if err != nil {
		return nil, err
	}
	img := pixel.Image{Format: pixel.Sniff(data), Data: data}
	opts.TopK, opts.Threshold = 1000, new(float64)
	m, err := tflite.Load(b, opts)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	var scaler pixel.Scaler
	defer scaler.Close()
	e := explainer{model: m, target: m.Target()}
	e.tensor = make([]byte, e.target.Bytes())
	view, err := scaler.Tensor(e.tensor, &e.target, img)
	if err != nil {
		return nil, fmt.Errorf("picture %s: %w", file, err)
	}
	x := &Explanation{}
	if err := e.look(x); err != nil {
		return nil, err
	}
	if err := e.occlude(ctx, x, o); err != nil {
		return nil, err
	}
	x.Picture, err = e.paint(&scaler, img, view)
	return x, err
}

// explainer holds a model and the tensor of one picture.
type explainer struct {
	model  *tflite.Model
	target pixel.Target
	tensor []byte
	out    tflite.Output
	class  int
	score  float32
	// heat and weight add up, for each pixel of the input, what the squares
	// over it cost and how many there were.
	heat, weight []float64
}

// look finds the top class.
func (e *explainer) look(x *Explanation) error {
	if err := e.model.Predict(e.tensor, &e.out); err != nil {
		return err
	}
	if len(e.out.Results) == 0 {
		return fmt.Errorf("the model sees nothing in the picture that could be explained")
	}
	top := e.out.Results[0]
	e.class, e.score = top.Index, top.Score
	x.Label, x.Score, x.Lowest = top.Label, top.Score, top.Score
	return nil
}

// seen is the best score of the class in the last results.
func (e *explainer) seen() float32 {
	for _, r := range e.out.Results { // best first
		if r.Index == e.class {
			return r.Score
		}
	}
	return 0
}

// occlude moves the square. Only its own pixels are written and restored: the
// rest of the tensor stays, so a step costs little more than its Invoke.
func (e *explainer) occlude(ctx context.Context, x *Explanation, o ExplainOptions) error {
	w, h := e.target.Width, e.target.Height
	e.heat, e.weight = make([]float64, w*h), make([]float64, w*h)
	kept := append([]byte(nil), e.tensor...)
	side := func(n int) int { return max(1, int(math.Round(o.Window*float64(n)))) }
	sw, sh := side(w), side(h)
	for row := range o.Steps {
		for column := range o.Steps {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			// The squares' centres are spread evenly; those at the edges reach
			// out.
			r := image.Rect(0, 0, sw, sh).Add(image.Pt(
				(2*column+1)*w/(2*o.Steps)-sw/2, (2*row+1)*h/(2*o.Steps)-sh/2)).Intersect(image.Rect(0, 0, w, h))
			e.cover(r)
			if err := e.model.Predict(e.tensor, &e.out); err != nil {
				return err
			}
			score := e.seen()
			x.Lowest = min(x.Lowest, score)
			e.note(r, float64(e.score-score))
			e.restore(r, kept)
			if o.Watch != nil {
				o.Watch()
			}
		}
	}
	return nil
}

// cover paints a part of the tensor grey.
func (e *explainer) cover(r image.Rectangle) {
	const grey = 128
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for i := 3 * (y*e.target.Width + r.Min.X); i < 3*(y*e.target.Width+r.Max.X); i++ {
			switch enc := e.target.Encoding; {
			case enc.Floats != nil:
				binary.NativeEndian.PutUint32(e.tensor[4*i:], math.Float32bits(enc.Floats[i%3][grey]))
			case enc.Bytes != nil:
				e.tensor[i] = enc.Bytes[i%3][grey]
			default:
				e.tensor[i] = grey ^ enc.Flip
			}
		}
	}
}

func (e *explainer) restore(r image.Rectangle, kept []byte) {
	size := 3 * e.target.Encoding.Size()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		from, to := size*(y*e.target.Width+r.Min.X), size*(y*e.target.Width+r.Max.X)
		copy(e.tensor[from:to], kept[from:to])
	}
}

// note spreads what a square cost over its pixels, most in its middle, so that
// overlapping squares make a smooth map.
func (e *explainer) note(r image.Rectangle, cost float64) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		wy := hill(y-r.Min.Y, r.Dy())
		for x := r.Min.X; x < r.Max.X; x++ {
			w := wy * hill(x-r.Min.X, r.Dx())
			e.heat[y*e.target.Width+x] += w * cost
			e.weight[y*e.target.Width+x] += w
		}
	}
}

// hill is 1 in the middle of n and falls to nearly 0 at both ends.
func hill(i, n int) float64 { return 1 - math.Abs(2*(float64(i)+0.5)/float64(n)-1)*0.98 }

// paint lays the heat over the frame.
func (e *explainer) paint(s *pixel.Scaler, img pixel.Image, view pixel.View) (*image.RGBA, error) {
	w, h, err := pixel.Size(img)
	if err != nil {
		return nil, err
	}
	longer := max(w, h)
	shown := min(max(longer, minShown), maxShown)
	w, h = max(1, w*shown/longer), max(1, h*shown/longer)
	rgb := make([]byte, 3*w*h)
	if err := s.RGB(rgb, w, h, img); err != nil {
		return nil, err
	}
	most := 0.0
	for i := range e.heat {
		if e.heat[i] = max(0, e.heat[i]); e.weight[i] > 0 {
			e.heat[i] /= e.weight[i]
		}
		most = max(most, e.heat[i])
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			heat := 0.0
			if most > 0 {
				heat = e.at(view, (float64(x)+0.5)/float64(w), (float64(y)+0.5)/float64(h)) / most
			}
			at := 3 * (y*w + x)
			out.SetRGBA(x, y, blend(rgb[at:at+3], heat))
		}
	}
	return out, nil
}

// at is the heat at a place of the frame, 0 to 1 each way, between the pixels
// of the model's input; 0 where the model does not look.
func (e *explainer) at(v pixel.View, fx, fy float64) float64 {
	w, h := e.target.Width, e.target.Height
	x := (fx-float64(v.X0))/float64(v.X1-v.X0)*float64(w) - 0.5
	y := (fy-float64(v.Y0))/float64(v.Y1-v.Y0)*float64(h) - 0.5
	if x < -0.5 || y < -0.5 || x > float64(w)-0.5 || y > float64(h)-0.5 {
		return 0
	}
	x0, y0 := math.Floor(x), math.Floor(y)
	dx, dy := x-x0, y-y0
	sample := func(x, y float64) float64 {
		return e.heat[min(max(int(y), 0), h-1)*w+min(max(int(x), 0), w-1)]
	}
	return (1-dy)*((1-dx)*sample(x0, y0)+dx*sample(x0+1, y0)) + dy*((1-dx)*sample(x0, y0+1)+dx*sample(x0+1, y0+1))
}

// The colours of heat from none to most: as matplotlib's "inferno", which
// grows evenly brighter.
var inferno = [...][3]float64{{0, 0, 4}, {87, 16, 110}, {188, 55, 84}, {249, 142, 9}, {252, 255, 164}}

// blend darkens the picture to grey and lays the heat's colour over it, the
// stronger the hotter.
func blend(rgb []byte, heat float64) color.RGBA {
	grey := 0.299*float64(rgb[0]) + 0.587*float64(rgb[1]) + 0.114*float64(rgb[2])
	at := min(max(heat, 0), 1) * float64(len(inferno)-1)
	i := min(int(at), len(inferno)-2)
	var out [3]uint8
	for c := range out {
		hot := inferno[i][c] + (at-float64(i))*(inferno[i+1][c]-inferno[i][c])
		base := 0.5*float64(rgb[c]) + 0.25*grey
		share := 0.15 + 0.6*min(max(heat, 0), 1)
		out[c] = uint8(min(max((1-share)*base+share*hot, 0), 255))
	}
	return color.RGBA{out[0], out[1], out[2], 255}
}
