package pixel

// Scaler decodes pictures and scales them to tensors. The zero value is ready.
// It keeps buffers, some of them native, from picture to picture: a JPEG or a
// raw picture of a steady size allocates nothing. It is not safe for concurrent
// use, and holds nothing of a picture's bytes after a call.
type Scaler struct {
	native native
	turned []byte // packed RGB before its orientation is applied
}

// picture is a decoded or raw picture as planes.
type picture struct {
	planes [3]plane
	model  model
	matrix *matrix // of a yuv one
}

// pad is the grey of a letterbox's bars.
const pad = 128

// Tensor decodes src, scales it to the target and writes it to dst, which must
// hold exactly t.Bytes() bytes. The view says which part of the frame the
// target shows. A JPEG is turned as its EXIF orientation says; transparency is
// laid over white, as a viewer shows it. The error is an *Error on one line and
// wraps ErrTooLarge, ErrFormat or ErrTruncated; dst's content is then
// undefined.
func (s *Scaler) Tensor(dst []byte, t *Target, src Image) (View, error) {
	if err := checkTarget(dst, t, src.Format); err != nil {
		return View{}, err
	}
	if err := checkBytes(src); err != nil {
		return View{}, err
	}
	turn := 1
	if src.Format == JPEG {
		turn = orientation(src.Data)
	}
	if turn == 1 {
		r, err := s.native.render(dst, t, src)
		return r.view(t.Width, t.Height), err
	}
	return s.turn(dst, t, src, turn)
}

// turn scales a picture as it is stored and turns the result.
func (s *Scaler) turn(dst []byte, t *Target, src Image, turn int) (View, error) {
	stored := Target{Width: t.Width, Height: t.Height, Fit: t.Fit}
	if swapsSides(turn) {
		stored.Width, stored.Height = t.Height, t.Width
	}
	n := stored.Bytes()
	s.turned = grow(s.turned, 2*n)
	r, err := s.native.render(s.turned[:n], &stored, src)
	if err != nil {
		return View{}, err
	}
	orient(s.turned[n:], s.turned[:n], stored.Width, stored.Height, turn)
	t.Encoding.encode(dst, s.turned[n:])
	v := r.view(stored.Width, stored.Height) // the same from both sides, so mirroring changes nothing
	if swapsSides(turn) {
		v = View{v.Y0, v.X0, v.Y1, v.X1}
	}
	return v, nil
}

// RGB is Tensor for packed RGB, stretched to width×height pixels: dst must hold
// exactly width*height*3 bytes.
func (s *Scaler) RGB(dst []byte, width, height int, src Image) error {
	_, err := s.Tensor(dst, &Target{Width: width, Height: height}, src)
	return err
}

// Close frees the native buffers. The scaler may be used again; one that is
// forgotten is closed by the garbage collector.
func (s *Scaler) Close() { s.native.close() }

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

func checkTarget(dst []byte, t *Target, f Format) error {
	if t.Width <= 0 || t.Height <= 0 || t.Width > MaxSide || t.Height > MaxSide || t.Width*t.Height > MaxPixels || len(dst) != t.Bytes() {
		return fail(f, ErrFormat, "no room for %d×%d pixels in %d bytes", t.Width, t.Height, len(dst))
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

// decode gives a picture's planes by Go's decoders.
func decode(src Image) (picture, error) {
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
	return planesOf(img, src.Format), nil
}

func rawPlanes(src Image) (picture, error) {
	p := picture{model: yuv, matrix: src.Colour.matrix()}
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

func grow[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n)
	}
	return b[:n]
}
