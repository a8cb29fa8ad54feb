package pixel

import (
	"image"
	"math"
)

// The reference is slow and exact: the definitions, in float64.

// samples is one channel as a function.
type samples struct {
	at     func(x, y int) float64
	w, h   int
	sx, sy int // pixels for one sample
}

// axisWeights is the triangle filter of output i along one axis.
func axisWeights(from, to, i int, start, size float64) map[int]float64 {
	scale := max(1, size/float64(to))
	centre := start + (float64(i)+0.5)*size/float64(to) - 0.5
	weights, sum := map[int]float64{}, 0.0
	for x := range from {
		if d := math.Abs(float64(x)-centre) / scale; d < 1 {
			weights[x], sum = 1-d, sum+1-d
		}
	}
	if sum == 0 {
		return map[int]float64{min(max(0, int(math.Round(centre))), from-1): 1}
	}
	for x := range weights {
		weights[x] /= sum
	}
	return weights
}

// filtered is the part p of s in w×h values.
func (s samples) filtered(p part, w, h int) []float64 {
	across := make([]float64, w*s.h)
	for i := range w {
		for x, f := range axisWeights(s.w, w, i, p.x/float64(s.sx), p.w/float64(s.sx)) {
			for y := range s.h {
				across[y*w+i] += f * s.at(x, y)
			}
		}
	}
	out := make([]float64, w*h)
	for i := range h {
		for y, f := range axisWeights(s.h, h, i, p.y/float64(s.sy), p.h/float64(s.sy)) {
			for x := range w {
				out[i*w+x] += f * across[y*w+x]
			}
		}
	}
	return out
}

// toRGB converts YUV in bytes to RGB in 0 to 255.
func toRGB(y, u, v float64, c Colour) [3]float64 {
	kr, kb := 0.299, 0.114
	if c.Matrix == BT709 {
		kr, kb = 0.2126, 0.0722
	}
	kg := 1 - kr - kb
	u, v = (u-128)/255, (v-128)/255
	if y /= 255; c.Range != Full {
		y, u, v = (y*255-16)/219, u*255/224, v*255/224
	}
	r, b := y+2*(1-kr)*v, y+2*(1-kb)*u
	rgb := [3]float64{r, (y - kr*r - kb*b) / kg, b}
	for i := range rgb {
		rgb[i] = 255 * max(0, min(1, rgb[i]))
	}
	return rgb
}

// rawSamples is the channels of a raw picture.
func rawSamples(m Image) []samples {
	w, h := m.Width, m.Height
	cw, ch := (w+1)/2, (h+1)/2
	byteAt := func(base, row, step int) func(x, y int) float64 {
		return func(x, y int) float64 { return float64(m.Data[base+y*row+x*step]) }
	}
	s := max(m.Stride, map[Format]int{YUYV: cw * 4, NV12: w, I420: w, RGB24: w * 3, Gray8: w}[m.Format])
	switch m.Format {
	case YUYV:
		return []samples{{byteAt(0, s, 2), w, h, 1, 1}, {byteAt(1, s, 4), cw, h, 2, 1}, {byteAt(3, s, 4), cw, h, 2, 1}}
	case NV12:
		c := max(s, cw*2)
		return []samples{{byteAt(0, s, 1), w, h, 1, 1}, {byteAt(s*h, c, 2), cw, ch, 2, 2}, {byteAt(s*h+1, c, 2), cw, ch, 2, 2}}
	case I420:
		c := (s + 1) / 2
		return []samples{{byteAt(0, s, 1), w, h, 1, 1}, {byteAt(s*h, c, 1), cw, ch, 2, 2}, {byteAt(s*h+c*ch, c, 1), cw, ch, 2, 2}}
	case RGB24:
		return []samples{{byteAt(0, s, 3), w, h, 1, 1}, {byteAt(1, s, 3), w, h, 1, 1}, {byteAt(2, s, 3), w, h, 1, 1}}
	}
	return []samples{{byteAt(0, s, 1), w, h, 1, 1}}
}

// imageSamples is the channels R, G and B of a decoded picture.
func imageSamples(m image.Image) []samples {
	b := m.Bounds()
	out := make([]samples, 3)
	for i := range out {
		pix := make([]float64, b.Dx()*b.Dy())
		for y := range b.Dy() {
			for x := range b.Dx() {
				r, g, bl, _ := m.At(b.Min.X+x, b.Min.Y+y).RGBA()
				pix[y*b.Dx()+x] = float64([3]uint32{r, g, bl}[i]) / 257
			}
		}
		out[i] = samples{func(x, y int) float64 { return pix[y*b.Dx()+x] }, b.Dx(), b.Dy(), 1, 1}
	}
	return out
}

// exact is what t's bytes without encoding should be. yuv says that the
// channels are Y, U and V of colour c.
func exact(channels []samples, yuv bool, c Colour, t *Target) []byte {
	p, at, _ := t.meet(channels[0].w, channels[0].h)
	var f [3][]float64
	for i := range f {
		f[i] = channels[min(i, len(channels)-1)].filtered(p, at.w, at.h)
	}
	out := make([]byte, t.Width*t.Height*3)
	for i := range out {
		out[i] = 128
	}
	for y := range at.h {
		for x := range at.w {
			i := y*at.w + x
			v := [3]float64{f[0][i], f[1][i], f[2][i]}
			if yuv {
				v = toRGB(v[0], v[1], v[2], c)
			}
			for k := range v {
				out[((at.top+y)*t.Width+at.left+x)*3+k] = byte(v[k] + 0.5)
			}
		}
	}
	return out
}
