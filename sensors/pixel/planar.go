package pixel

// planar scales pictures in Go: what runs without cgo, and what the native
// scaler is measured against. The zero value is ready.
type planar struct {
	across, down [2]filter // for full-size planes and for smaller chroma
	wide         []byte    // one plane after its rows were resized
	out          [3][]byte // the planes at their final size
	mixed        []byte    // packed RGB of what is shown
	framed       []byte    // and of the whole target
	acc          []int32
}

// render scales a picture's planes into dst.
func (s *planar) render(dst []byte, t *Target, p picture) region {
	r := t.Fit.place(p.planes[0].w, p.planes[0].h, t.Width, t.Height)
	s.mixed = grow(s.mixed, r.dw*r.dh*3)
	s.scale(s.mixed, r, p)
	rgb := s.mixed
	if r.dw != t.Width || r.dh != t.Height {
		s.framed = grow(s.framed, t.Width*t.Height*3)
		for i := range s.framed {
			s.framed[i] = pad
		}
		for y := range r.dh {
			copy(s.framed[((r.dy+y)*t.Width+r.dx)*3:], s.mixed[y*r.dw*3:(y+1)*r.dw*3])
		}
		rgb = s.framed
	}
	t.Encoding.encode(dst, rgb)
	return r
}

// scale resizes each plane on its own and mixes colours only at the final
// size: chroma planes are often a quarter as large, and a model's input is far
// smaller than a camera's picture.
func (s *planar) scale(dst []byte, r region, p picture) {
	n := 3
	if p.model == gray {
		n = 1
	}
	s.acc = grow(s.acc, r.dw)
	for i := range n {
		pl := p.planes[i]
		kind := btoi(pl.w != p.planes[0].w || pl.h != p.planes[0].h)
		across, down := &s.across[kind], &s.down[kind]
		across.set(pl.w, r.sx, r.sw, r.dw)
		down.set(pl.h, r.sy, r.sh, r.dh)
		s.wide = grow(s.wide, r.dw*pl.h)
		s.out[i] = grow(s.out[i], r.dw*r.dh)
		across.across(s.wide, pl)
		down.down(s.out[i], s.wide, r.dw, s.acc)
	}
	interleave(dst, s.out[0], s.out[1], s.out[2], p.model, p.matrix)
}
