package pixel

// layout checks a raw picture's dimensions, stride and length, and says where
// its samples lie. Chroma rows of NV12 have the stride of the Y plane, those
// of I420 half of it, as V4L2 defines for single-buffer formats.
func layout(src Image) ([3]plane, error) {
	w, h := src.Width, src.Height
	if err := checkSize(src.Format, w, h); err != nil {
		return [3]plane{}, err
	}
	cw, ch := (w+1)/2, (h+1)/2
	row := w
	switch src.Format {
	case YUYV:
		row = cw * 4
	case RGB24:
		row = w * 3
	}
	stride := src.Stride
	if stride == 0 {
		stride = row
	}
	if stride < row || stride > MaxSide*8 {
		return [3]plane{}, fail(src.Format, ErrFormat, "stride is %d bytes, a row of %d pixels takes %d", stride, w, row)
	}
	var p [3]plane
	need := stride*(h-1) + row
	switch src.Format {
	case YUYV:
		p = [3]plane{{at: 0, row: stride, step: 2, w: w, h: h}, {at: 1, row: stride, step: 4, w: cw, h: h}, {at: 3, row: stride, step: 4, w: cw, h: h}}
	case NV12:
		crow := max(stride, cw*2)
		u := stride * h
		p = [3]plane{{row: stride, step: 1, w: w, h: h}, {at: u, row: crow, step: 2, w: cw, h: ch}, {at: u + 1, row: crow, step: 2, w: cw, h: ch}}
		need = u + crow*(ch-1) + cw*2
	case I420:
		crow := (stride + 1) / 2
		u := stride * h
		v := u + crow*ch
		p = [3]plane{{row: stride, step: 1, w: w, h: h}, {at: u, row: crow, step: 1, w: cw, h: ch}, {at: v, row: crow, step: 1, w: cw, h: ch}}
		need = v + crow*(ch-1) + cw
	case RGB24:
		for i := range p {
			p[i] = plane{at: i, row: stride, step: 3, w: w, h: h}
		}
	case Gray8:
		p[0] = plane{row: stride, step: 1, w: w, h: h}
	}
	if len(src.Data) < need {
		return [3]plane{}, fail(src.Format, ErrTruncated, "%d×%d pixels take %d bytes, picture has %d", w, h, need, len(src.Data))
	}
	for i := range p {
		p[i].pix = src.Data
		p[i].sx, p[i].sy = 1, 1
		if i > 0 && src.Format != RGB24 {
			p[i].sx = 2
			p[i].sy = 2 - btoi(src.Format == YUYV)
		}
	}
	return p, nil
}
