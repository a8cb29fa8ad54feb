package pixel

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"
)

// maxDeep is the limit on pixels where decoding takes eight bytes or more for
// each of them: progressive JPEG and 16-bit PNG.
const maxDeep = MaxPixels / 2

// encodedSize reads the stored width and height from the header and applies
// the limits.
func encodedSize(src Image) (int, int, error) {
	if src.Format == JPEG {
		h, err := jpegHeader(src.Data)
		return h.w, h.h, err
	}
	var cfg image.Config
	err := guard(src.Format, func(r io.Reader) (err error) {
		switch src.Format {
		case PNG:
			cfg, err = png.DecodeConfig(r)
		case BMP:
			cfg, err = bmp.DecodeConfig(r)
		case WebP:
			cfg, err = webp.DecodeConfig(r)
		}
		return err
	}, src.Data)
	if err != nil {
		return 0, 0, err
	}
	if err := checkSize(src.Format, cfg.Width, cfg.Height); err != nil {
		return 0, 0, err
	}
	if cfg.Width*cfg.Height > maxDeep && isDeep(cfg.ColorModel) {
		return 0, 0, tooDeep(src.Format, cfg.Width, cfg.Height)
	}
	return cfg.Width, cfg.Height, nil
}

func isDeep(m color.Model) bool { return m == color.RGBA64Model || m == color.NRGBA64Model }

// decodeFile decodes an encoded picture whose size was checked.
func decodeFile(src Image) (img image.Image, err error) {
	data := src.Data
	if src.Format == JPEG {
		h, err := jpegHeader(data)
		if err != nil {
			return nil, err
		}
		if n := bytes.Count(data, []byte{0xFF, markerSOS}); h.progressive && n > maxScans {
			return nil, fail(JPEG, ErrTooLarge, "picture has %d scans, limit is %d", n, maxScans)
		}
		if !h.huffman {
			data = withTables(data)
		}
	}
	err = guard(src.Format, func(r io.Reader) (err error) {
		switch src.Format {
		case JPEG:
			img, err = jpeg.Decode(r)
		case PNG:
			img, err = png.Decode(r)
		case BMP:
			img, err = bmp.Decode(r)
		case WebP:
			img, err = webp.Decode(r)
		}
		return err
	}, data)
	return img, err
}

// guard runs a decoder on data. A panic in it is an error of the picture: the
// bytes are a stranger's, and the agent must outlive them.
func guard(f Format, decode func(io.Reader) error, data []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fail(f, ErrFormat, "decoder failed: %v", p)
		}
	}()
	err = decode(bytes.NewReader(data))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		// image/jpeg may call the end of the bytes a lack of Huffman data.
		f == JPEG && !bytes.Contains(data, []byte{0xFF, markerEOI}) && Sniff(data) == JPEG:
		return &Error{Format: f, Kind: ErrTruncated}
	default:
		return fail(f, ErrFormat, "%s", oneLine(err))
	}
}

func oneLine(err error) string {
	b := []byte(fmt.Sprint(err))
	for i, c := range b {
		if c < ' ' {
			b[i] = ' '
		}
	}
	return string(b)
}

// planesOf takes a decoded picture apart without a copy where its layout
// allows.
func planesOf(img image.Image, f Format) picture {
	b := img.Bounds()
	switch m := img.(type) {
	case *image.YCbCr:
		p := picture{model: ycc, colour: Colour{Range: Full}}
		if f == WebP { // VP8 is video: RFC 6386, section 9.2
			p.colour.Range = Limited
		}
		sx, sy := subsampling(m)
		cw, ch := (b.Dx()+sx-1)/sx, (b.Dy()+sy-1)/sy
		p.planes = [3]plane{
			{pix: m.Y, at: m.YOffset(b.Min.X, b.Min.Y), row: m.YStride, step: 1, w: b.Dx(), h: b.Dy(), sx: 1, sy: 1},
			{pix: m.Cb, at: m.COffset(b.Min.X, b.Min.Y), row: m.CStride, step: 1, w: cw, h: ch, sx: sx, sy: sy},
			{pix: m.Cr, at: m.COffset(b.Min.X, b.Min.Y), row: m.CStride, step: 1, w: cw, h: ch, sx: sx, sy: sy},
		}
		return p
	case *image.Gray:
		return picture{model: gray, planes: [3]plane{{pix: m.Pix, at: m.PixOffset(b.Min.X, b.Min.Y), row: m.Stride, step: 1, w: b.Dx(), h: b.Dy(), sx: 1, sy: 1}}}
	case *image.NRGBA:
		overWhite(m.Pix)
		return rgbaPlanes(m.Pix, m.Stride, b)
	case *image.RGBA:
		if m.Opaque() {
			return rgbaPlanes(m.Pix, m.Stride, b)
		}
	case *image.NYCbCrA:
		return rgbaPlanes(videoOverWhite(m), 4*b.Dx(), b)
	}
	flat := image.NewRGBA(b)
	draw.Draw(flat, b, image.White, image.Point{}, draw.Src)
	draw.Draw(flat, b, img, b.Min, draw.Over)
	return rgbaPlanes(flat.Pix, flat.Stride, b)
}

func subsampling(m *image.YCbCr) (x, y int) {
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

func rgbaPlanes(pix []byte, stride int, b image.Rectangle) picture {
	p := picture{model: rgb}
	for i := range p.planes {
		p.planes[i] = plane{pix: pix, at: i, row: stride, step: 4, w: b.Dx(), h: b.Dy(), sx: 1, sy: 1}
	}
	return p
}

// overWhite lays pixels with straight alpha over white, in place.
func overWhite(pix []byte) {
	for i := 0; i+4 <= len(pix); i += 4 {
		a := int(pix[i+3])
		if a == 255 {
			continue
		}
		for k := i; k < i+3; k++ {
			pix[k] = byte((int(pix[k])*a + 255*(255-a) + 127) / 255)
		}
	}
}

// videoOverWhite converts a lossy WebP with alpha, as RGBA over white.
func videoOverWhite(m *image.NYCbCrA) []byte {
	b := m.Bounds()
	out := make([]byte, 4*b.Dx()*b.Dy())
	k := matrixOf(Colour{})
	i := 0
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := m.COffset(x, y)
			l := k.y*(int32(m.Y[m.YOffset(x, y)])-k.black) + 1<<15
			u, v := int32(m.Cb[c])-128, int32(m.Cr[c])-128
			out[i], out[i+1] = clamp8((l+k.rv*v)>>16), clamp8((l-k.gu*u-k.gv*v)>>16)
			out[i+2], out[i+3] = clamp8((l+k.bu*u)>>16), m.A[m.AOffset(x, y)]
			i += 4
		}
	}
	overWhite(out)
	return out
}
