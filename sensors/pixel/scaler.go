package pixel

// Scaler decodes pictures and scales them to packed RGB. The zero value is
// ready. It keeps buffers from picture to picture, so that raw formats of a
// steady size allocate nothing; it is not safe for concurrent use, and holds
// nothing of a picture's bytes after a call.
type Scaler struct {
	across, down [2]filter // for full-size planes and for smaller chroma
	wide         []byte    // one plane after its rows were resized
	out          [3][]byte // the planes at their final size
	turned       []byte    // packed RGB before its orientation is applied
	acc          []int32
}

// picture is a decoded or raw picture as planes.
type picture struct {
	planes      [3]plane
	model       model
	orientation int
}

// RGB decodes src and stretches it to width×height pixels in dst, which must
// hold exactly width*height*3 bytes: R, G, B, rows from top to bottom. A JPEG
// is turned as its EXIF orientation says. Transparency is laid over white, as
// a viewer shows it. Raw YUV is BT.601 with limited range, a JPEG's with full
// range. The error is an *Error on one line and wraps ErrTooLarge, ErrFormat or
// ErrTruncated; dst's content is then undefined.
func (s *Scaler) RGB(dst []byte, width, height int, src Image) error {
	if err := checkTarget(dst, width, height, src.Format); err != nil {
		return err
	}
	p, err := s.decode(src)
	if err != nil {
		return err
	}
	if p.orientation <= 1 {
		s.scale(dst, width, height, p)
		return nil
	}
	w, h := width, height
	if swapsSides(p.orientation) {
		w, h = height, width
	}
	s.turned = grow(s.turned, len(dst))
	s.scale(s.turned, w, h, p)
	orient(dst, s.turned, w, h, p.orientation)
	return nil
}

// Size is the width and height that src is seen with, in pixels, EXIF
// orientation applied. It reads headers only and enforces the limits, so it
// costs no memory for pixels.
func Size(src Image) (w, h int, err error) {
	if err := checkBytes(src); err != nil {
		return 0, 0, err
	}
	if !src.Format.Encoded() {
		if _, err := rawPlanes(src); err != nil {
			return 0, 0, err
		}
		return src.Width, src.Height, nil
	}
	if w, h, err = encodedSize(src); err != nil {
		return 0, 0, err
	}
	if src.Format == JPEG && swapsSides(orientation(src.Data)) {
		w, h = h, w
	}
	return w, h, nil
}

func checkTarget(dst []byte, width, height int, f Format) error {
	if width <= 0 || height <= 0 || width > MaxSide || height > MaxSide || width*height > MaxPixels || len(dst) != width*height*3 {
		return fail(f, ErrFormat, "no room for %d×%d pixels in %d bytes", width, height, len(dst))
	}
	return nil
}

func checkBytes(src Image) error {
	if len(src.Data) > MaxBytes {
		return fail(src.Format, ErrTooLarge, "picture has %d bytes, limit is %d", len(src.Data), MaxBytes)
	}
	if len(src.Data) == 0 {
		return fail(src.Format, ErrTruncated, "picture is empty")
	}
	return nil
}

func (s *Scaler) decode(src Image) (picture, error) {
	if err := checkBytes(src); err != nil {
		return picture{}, err
	}
	if !src.Format.Encoded() {
		return rawPlanes(src)
	}
	if _, _, err := encodedSize(src); err != nil {
		return picture{}, err
	}
	img, err := decodeFile(src)
	if err != nil {
		return picture{}, err
	}
	p := planesOf(img, src.Format)
	if src.Format == JPEG {
		p.orientation = orientation(src.Data)
	}
	return p, nil
}

func rawPlanes(src Image) (picture, error) {
	p := picture{model: limited}
	switch src.Format {
	case YUYV, NV12, I420:
	case RGB24:
		p.model = rgb
	case Gray8:
		p.model = gray
	default:
		return picture{}, fail(src.Format, ErrFormat, "not a known picture format")
	}
	var err error
	p.planes, err = layout(src)
	return p, err
}

// scale resizes each plane on its own and mixes colours only at the final
// size: chroma planes are often a quarter as large, and a model's input is far
// smaller than a camera's picture.
func (s *Scaler) scale(dst []byte, width, height int, p picture) {
	n := 3
	if p.model == gray {
		n = 1
	}
	s.acc = grow(s.acc, width)
	for i := range n {
		pl := p.planes[i]
		kind := btoi(pl.w != p.planes[0].w || pl.h != p.planes[0].h)
		across, down := &s.across[kind], &s.down[kind]
		across.set(pl.w, width)
		down.set(pl.h, height)
		s.wide = grow(s.wide, width*pl.h)
		s.out[i] = grow(s.out[i], width*height)
		across.across(s.wide, pl)
		down.down(s.out[i], s.wide, width, s.acc)
	}
	interleave(dst, s.out[0], s.out[1], s.out[2], p.model)
}

func grow[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n)
	}
	return b[:n]
}
