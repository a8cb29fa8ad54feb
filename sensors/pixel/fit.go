package pixel

import "fmt"

// Fit says how a picture of another shape than the target meets it.
type Fit uint8

// The fits.
const (
	Stretch   Fit = iota // all of the picture over all of the target
	Crop                 // the middle of the picture over all of the target
	Letterbox            // all of the picture in the middle of the target, grey around it
)

var fitNames = [...]string{"stretch", "crop", "letterbox"}

// String is the fit's name in configuration and logs.
func (f Fit) String() string {
	if int(f) < len(fitNames) {
		return fitNames[f]
	}
	return fmt.Sprintf("fit(%d)", uint8(f))
}

// ParseFit is the fit of that name.
func ParseFit(name string) (Fit, error) {
	for i, n := range fitNames {
		if n == name {
			return Fit(i), nil
		}
	}
	return Stretch, fmt.Errorf("fit is %q: want stretch, crop or letterbox", name)
}

// View is the part of the frame that the target's corners show, from 0 to 1 of
// the frame's width and height as it is seen. It reaches outside where the
// target is padded.
type View struct{ X0, Y0, X1, Y1 float32 }

// Frame maps a box (left, top, right, bottom) in the target's coordinates, 0 to
// 1, to the frame's; what lies outside the frame ends at its edge.
func (v View) Frame(box [4]float32) [4]float32 {
	x, y := v.X1-v.X0, v.Y1-v.Y0
	return [4]float32{unit(v.X0 + box[0]*x), unit(v.Y0 + box[1]*y), unit(v.X0 + box[2]*x), unit(v.Y0 + box[3]*y)}
}

func unit(v float32) float32 { return max(0, min(1, v)) }

// rect is a part of the target, in pixels.
type rect struct{ left, top, w, h int }

// part is a part of a picture, in pixels.
type part struct{ x, y, w, h float64 }

// meet says which part of a picture of w×h pixels goes where in the target.
func (t *Target) meet(w, h int) (part, rect, View) {
	all, over := part{w: float64(w), h: float64(h)}, rect{w: t.Width, h: t.Height}
	wide, high := float64(t.Width)/float64(w), float64(t.Height)/float64(h)
	switch t.Fit {
	case Crop:
		scale := max(wide, high)
		all.w, all.h = min(all.w, float64(t.Width)/scale), min(all.h, float64(t.Height)/scale)
		all.x, all.y = (float64(w)-all.w)/2, (float64(h)-all.h)/2
		x, y := float32(all.x/float64(w)), float32(all.y/float64(h))
		return all, over, View{x, y, 1 - x, 1 - y}
	case Letterbox:
		scale := min(wide, high)
		over.w = min(t.Width, max(1, int(float64(w)*scale+0.5)))
		over.h = min(t.Height, max(1, int(float64(h)*scale+0.5)))
		over.left, over.top = (t.Width-over.w)/2, (t.Height-over.h)/2
		return all, over, View{
			X0: -float32(over.left) / float32(over.w), X1: float32(t.Width-over.left) / float32(over.w),
			Y0: -float32(over.top) / float32(over.h), Y1: float32(t.Height-over.top) / float32(over.h),
		}
	}
	return all, over, View{X1: 1, Y1: 1}
}

// job is the way of a stored picture to its place in the tensor.
type job struct {
	part       part // of the picture as it is stored
	w, h       int  // the pixels to make of it, as it is stored
	base       int  // where the first goes, and the steps from pixel to
	xStep      int  // pixel and from row to row, in bytes: turning a picture
	yStep      int  // is but another way through the tensor
	enc        Encoding
	view       View
	over       rect
	tall, wide int // the target's size
}

// plan says how a picture of w×h stored pixels with EXIF orientation o gets to
// the tensor.
func (t *Target) plan(w, h, o int) job {
	seenW, seenH := w, h
	if swapsSides(o) {
		seenW, seenH = h, w
	}
	j := job{enc: t.Encoding, wide: t.Width, tall: t.Height}
	j.part, j.over, j.view = t.meet(seenW, seenH)
	j.w, j.h = j.over.w, j.over.h
	if swapsSides(o) { // the part is in the middle: mirroring does not move it
		j.part = part{j.part.y, j.part.x, j.part.h, j.part.w}
		j.w, j.h = j.h, j.w
	}
	px := t.Encoding.Size() * 3
	row := px * t.Width
	x, y := j.over.left, j.over.top
	lastX, lastY := x+j.over.w-1, y+j.over.h-1
	switch o {
	default:
		j.xStep, j.yStep = px, row
	case 2:
		x, j.xStep, j.yStep = lastX, -px, row
	case 3:
		x, y, j.xStep, j.yStep = lastX, lastY, -px, -row
	case 4:
		y, j.xStep, j.yStep = lastY, px, -row
	case 5:
		j.xStep, j.yStep = row, px
	case 6:
		x, j.xStep, j.yStep = lastX, row, -px
	case 7:
		x, y, j.xStep, j.yStep = lastX, lastY, -row, -px
	case 8:
		y, j.xStep, j.yStep = lastY, -row, px
	}
	j.base = y*row + x*px
	return j
}
