package pixel

import (
	"fmt"
	"math"
)

// Fit says how a picture of another shape than the target meets it.
type Fit uint8

// The fits. What is cut off or added is the same on both sides.
const (
	Stretch   Fit = iota // fill the target, change the shape
	Crop                 // fill the target, cut off what reaches out
	Letterbox            // show the whole picture between bars of mid-grey
)

var fitNames = [...]string{"stretch", "crop", "letterbox"}

// String is the fit's name in configuration.
func (f Fit) String() string {
	if int(f) < len(fitNames) {
		return fitNames[f]
	}
	return fmt.Sprintf("fit(%d)", uint8(f))
}

// ParseFit reads a fit's name.
func ParseFit(s string) (Fit, error) {
	for i, name := range fitNames {
		if s == name {
			return Fit(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no fit: stretch, crop or letterbox", s)
}

// View is the part of the frame that the target's corners show, in units of
// the frame's width and height: 0 and 1 for Stretch, within them for Crop,
// beyond them for Letterbox.
type View struct{ X0, Y0, X1, Y1 float32 }

// Frame maps a box (x0, y0, x1, y1, each 0 to 1 of the target) to the frame;
// what lies in the bars is moved to the frame's edge.
func (v View) Frame(box [4]float32) [4]float32 {
	w, h := v.X1-v.X0, v.Y1-v.Y0
	return [4]float32{unit(v.X0 + box[0]*w), unit(v.Y0 + box[1]*h), unit(v.X0 + box[2]*w), unit(v.Y0 + box[3]*h)}
}

func unit(v float32) float32 { return min(max(v, 0), 1) }

// whole is 1 in the fixed-point numbers of a region.
const whole = 1 << 24

// region says what of a picture is shown where: start and length along each
// axis in units of 1/whole of the picture, and a rectangle of the target.
type region struct {
	sx, sy, sw, sh int32
	dx, dy, dw, dh int
}

// place lays a picture of w×h pixels into a target of tw×th.
func (f Fit) place(w, h, tw, th int) region {
	r := region{sw: whole, sh: whole, dw: tw, dh: th}
	// Whether the picture is the wider one.
	wide := uint64(w)*uint64(th) > uint64(h)*uint64(tw)
	switch {
	case f == Crop && wide:
		r.sx, r.sw = middle(float64(h) * float64(tw) / (float64(w) * float64(th)))
	case f == Crop:
		r.sy, r.sh = middle(float64(w) * float64(th) / (float64(h) * float64(tw)))
	case f == Letterbox && wide:
		r.dy, r.dh = bars(th, float64(h)*float64(tw)/float64(w))
	case f == Letterbox:
		r.dx, r.dw = bars(tw, float64(w)*float64(th)/float64(h))
	}
	return r
}

// middle is the part of length share around the middle.
func middle(share float64) (start, length int32) {
	length = max(int32(math.Round(share*whole)), 1)
	return (whole - length) / 2, length
}

// bars is where a picture of about length pixels lies in the middle of n: the
// bars are equal, so that turning it changes nothing.
func bars(n int, length float64) (start, inner int) {
	start = int(math.Round((float64(n) - length) / 2))
	start = min(max(start, 0), (n-1)/2)
	return start, n - 2*start
}

// view is what the target's corners show.
func (r region) view(tw, th int) View {
	x0, x1 := reach(r.sx, r.sw, r.dx, r.dw, tw)
	y0, y1 := reach(r.sy, r.sh, r.dy, r.dh, th)
	return View{x0, y0, x1, y1}
}

// reach extends a picture's part to the target's whole side.
func reach(start, length int32, at, n, side int) (from, to float32) {
	perPixel := float64(length) / whole / float64(n)
	first := float64(start)/whole - float64(at)*perPixel
	return float32(first), float32(first + float64(side)*perPixel)
}

// need is how many pixels a whole picture must have along an axis so that the
// shown part of it is not enlarged.
func need(length int32, n int) int { return int(math.Ceil(float64(n) * whole / float64(length))) }
