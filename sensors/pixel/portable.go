package pixel

// portable is the scaler in Go: what a build without cgo works with. It keeps
// its buffers from picture to picture.
type portable struct {
	across, down [2]filter // for full-size planes and for smaller chroma
	wide         []byte    // one plane after its rows were resized
	out          [3][]byte // the planes at their final size
	mixed        []byte    // and as packed RGB
	acc          []int32
}

// scale resizes each plane on its own and mixes colours only at the final
// size: chroma planes are often a quarter as large, and a model's input is far
// smaller than a camera's picture.
func (s *portable) scale(dst []byte, j *job, p *picture) {
	n := 3
	if p.model == gray {
		n = 1
	}
	s.acc = grow(s.acc, j.w)
	for i := range n {
		pl := &p.planes[i]
		kind := btoi(pl.sx != 1 || pl.sy != 1)
		across, down := &s.across[kind], &s.down[kind]
		x, y := float64(pl.sx), float64(pl.sy)
		across.set(pl.w, j.w, j.part.x/x, j.part.w/x)
		down.set(pl.h, j.h, j.part.y/y, j.part.h/y)
		s.wide = grow(s.wide, j.w*pl.h)
		s.out[i] = grow(s.out[i], j.w*j.h)
		across.across(s.wide, *pl)
		down.down(s.out[i], s.wide, j.w, s.acc)
	}
	s.mixed = grow(s.mixed, j.w*j.h*3)
	interleave(s.mixed, s.out[0], s.out[1], s.out[2], p.model, matrixOf(p.colour))
	for y := range j.h {
		at, row := j.base+y*j.yStep, s.mixed[y*j.w*3:(y+1)*j.w*3]
		for x := 0; x < len(row); x += 3 {
			j.enc.put(dst[at:], row[x], row[x+1], row[x+2])
			at += j.xStep
		}
	}
}

func grow[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n)
	}
	return b[:n]
}
