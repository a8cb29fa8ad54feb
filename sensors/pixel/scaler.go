package pixel

// Scaler turns pictures into tensors: it decodes, scales and encodes. The zero
// value is ready. It keeps buffers from picture to picture, so that pictures of
// a steady size allocate nothing; it is not safe for concurrent use, and holds
// nothing of a picture's bytes after a call.
type Scaler struct {
	native   *native
	portable portable
	inGo     bool // tests compare the two
}

// picture is a decoded or raw picture as planes.
type picture struct {
	planes [3]plane
	model  model
	colour Colour
	format Format
}

// Tensor decodes src and brings it to t's size, shape and values in dst, whose
// length must be t.Bytes(). It returns the part of the frame that the tensor
// shows. A JPEG is turned as its EXIF orientation says. Transparency is laid
// over white, as a viewer shows it. Raw YUV is as src.Colour says, a JPEG's is
// BT.601 with full range. The error is an *Error on one line and wraps
// ErrTooLarge, ErrFormat or ErrTruncated; dst's content is then undefined.
func (s *Scaler) Tensor(dst []byte, t *Target, src Image) (View, error) {
	if err := t.check(dst, src.Format); err != nil {
		return View{}, err
	}
	if err := checkBytes(src); err != nil {
		return View{}, err
	}
	if hasNative && s.native == nil {
		s.native = new(native)
	}
	o := 1
	if src.Format == JPEG {
		h, err := jpegHeader(src.Data)
		if err != nil {
			return View{}, err
		}
		if o = h.orientation; hasNative && !s.inGo {
			j := t.plan(h.w, h.h, o)
			j.pad(dst)
			return j.view, s.native.jpeg(dst, &j, h, src.Data)
		}
	}
	p, err := planes(src)
	if err != nil {
		return View{}, err
	}
	j := t.plan(p.planes[0].w, p.planes[0].h, o)
	j.pad(dst)
	if hasNative && !s.inGo {
		return j.view, s.native.scale(dst, &j, &p)
	}
	s.portable.scale(dst, &j, &p)
	return j.view, nil
}

// RGB is Tensor for plain bytes: it stretches src to width×height pixels in
// dst, which must hold exactly width*height*3 bytes.
func (s *Scaler) RGB(dst []byte, width, height int, src Image) error {
	_, err := s.Tensor(dst, &Target{Width: width, Height: height}, src)
	return err
}

// Close frees the memory that the scaler keeps. It may be used again
// afterwards; one that is forgotten is freed by the garbage collector.
func (s *Scaler) Close() {
	if s.native != nil {
		s.native.close()
	}
	s.portable = portable{}
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
	if src.Format != JPEG {
		return encodedSize(src)
	}
	head, err := jpegHeader(src.Data)
	if err != nil {
		return 0, 0, err
	}
	if swapsSides(head.orientation) {
		return head.h, head.w, nil
	}
	return head.w, head.h, nil
}

func (t *Target) check(dst []byte, f Format) error {
	w, h := t.Width, t.Height
	if w <= 0 || h <= 0 || w > MaxSide || h > MaxSide || w*h > MaxPixels || len(dst) != t.Bytes() {
		return fail(f, ErrFormat, "no room for %d×%d pixels in %d bytes", w, h, len(dst))
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

// planes decodes src in Go, or takes it as it is.
func planes(src Image) (picture, error) {
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
	p.format = src.Format
	return p, nil
}

func rawPlanes(src Image) (picture, error) {
	p := picture{model: ycc, colour: src.Colour, format: src.Format}
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
