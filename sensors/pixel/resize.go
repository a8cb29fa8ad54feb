package pixel

import "math"

// plane is one channel of a picture: w×h samples that start at pix[at], row
// bytes from row to row and step bytes from sample to sample.
type plane struct {
	pix       []byte
	at        int
	row, step int
	w, h      int
}

// filter is the triangle filter along one axis: bilinear interpolation when
// enlarging, a weighted mean of all covered samples when shrinking, so that no
// sample is skipped and fine patterns do not alias. It is what Pillow and
// golang.org/x/image/draw call bilinear, and is kept from picture to picture.
type filter struct {
	from, to      int
	start, length int32
	taps          []tap
	weights       []int32 // 16.16, each output's sum to 1
}

// tap is one output sample: the first input sample and the slice of weights.
type tap struct{ first, at, n int }

// set prepares the filter that brings the part of from samples that begins at
// start and has length, both in units of 1/whole of them, to to samples; it
// does nothing when that is what it is already.
func (f *filter) set(from int, start, length int32, to int) {
	if f.from == from && f.to == to && f.start == start && f.length == length {
		return
	}
	*f = filter{from: from, to: to, start: start, length: length, taps: f.taps[:0], weights: f.weights[:0]}
	origin := float64(from) * float64(start) / whole
	scale := float64(from) * float64(length) / whole / float64(to)
	support := max(1, scale)
	for i := range to {
		centre := origin + (float64(i)+0.5)*scale - 0.5
		first := max(0, int(math.Ceil(centre-support)))
		last := min(from-1, int(math.Floor(centre+support)))
		f.add(first, last, centre, support)
	}
}

// same tells whether the filter changes nothing.
func (f *filter) same() bool { return f.from == f.to && f.start == 0 && f.length == whole }

// add appends one output's weights over the input samples first to last.
func (f *filter) add(first, last int, centre, support float64) {
	sum := 0.0
	for x := first; x <= last; x++ {
		sum += triangle((float64(x) - centre) / support)
	}
	t := tap{first: first, at: len(f.weights), n: last - first + 1}
	rest, peak := int32(1<<16), t.at
	for x := first; x <= last; x++ {
		w := int32(triangle((float64(x)-centre)/support)/sum*(1<<16) + 0.5)
		f.weights = append(f.weights, w)
		rest -= w
		if w > f.weights[peak] {
			peak = len(f.weights) - 1
		}
	}
	// The rounding errors go to the heaviest sample: white must stay 255.
	f.weights[peak] += rest
	f.taps = append(f.taps, t)
}

func triangle(x float64) float64 {
	if x < 0 {
		x = -x
	}
	return max(0, 1-x)
}

// across resizes every row of src to len(f.taps) samples, packed, into dst.
func (f *filter) across(dst []byte, src plane) {
	n := len(f.taps)
	for y := range src.h {
		row := src.pix[src.at+y*src.row:]
		row = row[:(src.w-1)*src.step+1]
		out := dst[y*n : (y+1)*n]
		if f.same() {
			for x := range out {
				out[x] = row[x*src.step]
			}
			continue
		}
		for x, t := range f.taps {
			acc, i := int32(1<<15), t.first*src.step
			for _, w := range f.weights[t.at : t.at+t.n] {
				acc += w * int32(row[i])
				i += src.step
			}
			out[x] = byte(acc >> 16)
		}
	}
}

// down resizes the columns of width packed samples in src into dst, using acc
// as the running sums of one row.
func (f *filter) down(dst, src []byte, width int, acc []int32) {
	if f.same() {
		copy(dst, src[:width*f.from])
		return
	}
	acc = acc[:width]
	for y, t := range f.taps {
		for x := range acc {
			acc[x] = 1 << 15
		}
		for k, w := range f.weights[t.at : t.at+t.n] {
			row := src[(t.first+k)*width:][:width]
			for x, v := range row {
				acc[x] += w * int32(v)
			}
		}
		out := dst[y*width : (y+1)*width]
		for x := range out {
			out[x] = byte(acc[x] >> 16)
		}
	}
}
