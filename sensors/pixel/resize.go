package pixel

// plane is one channel of a picture: w×h samples that start at pix[at], row
// bytes from row to row and step bytes from sample to sample.
type plane struct {
	pix       []byte
	at        int
	row, step int
	w, h      int
	sx, sy    int // pixels of the picture for one sample
}

// filter is the triangle filter along one axis: bilinear interpolation when
// enlarging, a weighted mean of all covered samples when shrinking, so that no
// sample is skipped and fine patterns do not alias. It is what Pillow and
// golang.org/x/image/draw call bilinear, and is kept from picture to picture.
type filter struct {
	from, to    int
	start, size float64 // the part of the input that is wanted
	taps        []tap
	weights     []int32 // 16.16, each output's sum to 1
}

// tap is one output sample: the first input sample and the slice of weights.
type tap struct{ first, at, n int }

// set prepares the filter to make to samples of the part of from samples that
// begins at start; it does nothing when that is what it is already.
func (f *filter) set(from, to int, start, size float64) {
	if f.from == from && f.to == to && f.start == start && f.size == size {
		return
	}
	f.from, f.to, f.start, f.size = from, to, start, size
	f.taps, f.weights = f.taps[:0], f.weights[:0]
	support := max(1, size/float64(to))
	for i := range to {
		centre := start + (float64(i)+0.5)*size/float64(to) - 0.5
		first := max(0, int(centre-support)+btoi(centre-support > 0))
		last := min(from-1, int(centre+support))
		f.add(first, last, centre, support)
	}
}

// whole tells whether the filter changes nothing.
func (f *filter) whole() bool {
	return f.from == f.to && f.start == 0 && f.size == float64(f.from)
}

// add appends one output's weights over the input samples first to last.
// Rounding errors go from each to the next, so that all sum to 65536 and white
// stays 255.
func (f *filter) add(first, last int, centre, support float64) {
	sum := 0.0
	for x := first; x <= last; x++ {
		sum += triangle((float64(x) - centre) / support)
	}
	if last < first || sum <= 0 { // beside the picture: its edge
		f.taps = append(f.taps, tap{first: min(max(0, int(centre+0.5)), f.from-1), at: len(f.weights), n: 1})
		f.weights = append(f.weights, 1<<16)
		return
	}
	f.taps = append(f.taps, tap{first: first, at: len(f.weights), n: last - first + 1})
	run, done := 0.0, int32(0)
	for x := first; x <= last; x++ {
		run += triangle((float64(x) - centre) / support)
		upto := int32(run/sum*(1<<16) + 0.5)
		f.weights = append(f.weights, upto-done)
		done = upto
	}
	f.weights[len(f.weights)-1] += 1<<16 - done
}

func triangle(x float64) float64 {
	if x < 0 {
		x = -x
	}
	return max(0, 1-x)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// across resizes every row of src to len(f.taps) samples, packed, into dst.
func (f *filter) across(dst []byte, src plane) {
	n := len(f.taps)
	for y := range src.h {
		row := src.pix[src.at+y*src.row:]
		row = row[:(src.w-1)*src.step+1]
		out := dst[y*n : (y+1)*n]
		if f.whole() {
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
	if f.whole() {
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
