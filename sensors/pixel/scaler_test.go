package pixel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/draw"
)

// scene is a smooth picture with some edges, opaque.
func scene(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			r := 128 + 100*math.Sin(float64(x)/float64(w)*9)
			g := 128 + 100*math.Cos(float64(y)/float64(h)*7)
			b := 255 * float64(x+y) / float64(w+h)
			if x > w/3 && x < w/2 && y > h/4 && y < h/2 {
				r, g = g, r
			}
			m.SetRGBA(x, y, color.RGBA{byte(r), byte(g), byte(b), 255})
		}
	}
	return m
}

// reference scales with x/image/draw, which shares no code with Scaler.
func reference(src image.Image, w, h int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.BiLinear.Scale(m, m.Rect, src, src.Bounds(), draw.Src, nil)
	return pack(m)
}

func pack(m *image.RGBA) []byte {
	var out []byte
	for i := 0; i < len(m.Pix); i += 4 {
		out = append(out, m.Pix[i:i+3]...)
	}
	return out
}

// psnr is the peak signal-to-noise ratio in dB.
func psnr(a, b []byte) float64 {
	var sum float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	if sum == 0 {
		return 99
	}
	return 10 * math.Log10(255*255/(sum/float64(len(a))))
}

func jpegOf(t testing.TB, m image.Image, quality ...int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: append(quality, 95)[0]}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func bmpOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := bmp.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rawOf lays m out as a raw format, with the conversion of BT.601 written
// down from its definition in floating point.
func rawOf(m *image.RGBA, f Format, pad int) Image {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	ycc := func(x, y int) (float64, float64, float64) {
		c := m.RGBAAt(min(x, w-1), min(y, h-1))
		r, g, b := float64(c.R)/255, float64(c.G)/255, float64(c.B)/255
		l := 0.299*r + 0.587*g + 0.114*b
		return 16 + 219*l, 128 + 224*(b-l)/1.772, 128 + 224*(r-l)/1.402
	}
	cw, ch := (w+1)/2, (h+1)/2
	luma := func(stride int) []byte {
		out := make([]byte, stride*h)
		for y := range h {
			for x := range w {
				l, _, _ := ycc(x, y)
				out[y*stride+x] = byte(l + 0.5)
			}
		}
		return out
	}
	mean := func(x, y int) (byte, byte) {
		var u, v float64
		for i := range 4 {
			_, a, b := ycc(2*x+i%2, 2*y+i/2)
			u, v = u+a/4, v+b/4
		}
		return byte(u + 0.5), byte(v + 0.5)
	}
	img := Image{Format: f, Width: w, Height: h}
	switch f {
	case Gray8:
		img.Data = luma(w)
	case RGB24:
		img.Data = pack(m)
	case YUYV:
		img.Stride = cw*4 + pad
		img.Data = make([]byte, img.Stride*h)
		for y := range h {
			for x := range cw {
				l0, u, v := ycc(2*x, y)
				l1, u1, v1 := ycc(2*x+1, y)
				copy(img.Data[y*img.Stride+x*4:], []byte{byte(l0 + 0.5), byte((u+u1)/2 + 0.5), byte(l1 + 0.5), byte((v+v1)/2 + 0.5)})
			}
		}
	case NV12, I420:
		img.Stride = w + pad
		img.Data = luma(img.Stride)
		us, vs := make([]byte, 0), make([]byte, 0)
		for y := range ch {
			for x := range cw {
				u, v := mean(x, y)
				if f == NV12 {
					us = append(us, u, v)
				} else {
					us, vs = append(us, u), append(vs, v)
				}
			}
			if f == NV12 {
				us = append(us, make([]byte, max(img.Stride, cw*2)-cw*2)...)
			} else {
				us = append(us, make([]byte, (img.Stride+1)/2-cw)...)
				vs = append(vs, make([]byte, (img.Stride+1)/2-cw)...)
			}
		}
		img.Data = append(append(img.Data, us...), vs...)
	}
	return img
}

func TestRGBMatchesAReference(t *testing.T) {
	sizes := []struct{ sw, sh, dw, dh int }{
		{320, 240, 112, 112}, {320, 240, 320, 240}, {64, 48, 150, 130}, {161, 121, 97, 64}, {333, 17, 20, 40}, {3, 3, 7, 9},
	}
	formats := []struct {
		format Format
		pad    int
		dB     float64
	}{
		{JPEG, 0, 32}, {PNG, 0, 45}, {BMP, 0, 45}, {RGB24, 0, 45}, {YUYV, 0, 32}, {YUYV, 10, 32}, {NV12, 0, 30}, {NV12, 6, 30}, {I420, 0, 30}, {I420, 8, 30},
	}
	for _, f := range formats {
		for _, z := range sizes {
			t.Run(fmt.Sprintf("%s+%d/%dx%d to %dx%d", f.format, f.pad, z.sw, z.sh, z.dw, z.dh), func(t *testing.T) {
				m := scene(z.sw, z.sh)
				img := Image{Format: f.format}
				dB := f.dB
				switch f.format {
				case JPEG:
					img.Data = jpegOf(t, m)
				case PNG:
					img.Data = pngOf(t, m)
				case BMP:
					img.Data = bmpOf(t, m)
				default:
					img = rawOf(m, f.format, f.pad)
				}
				if z.sw < 20 || z.sh < 20 {
					dB = min(dB, 14) // a few pixels' chroma is mostly edge
				}
				got := make([]byte, z.dw*z.dh*3)
				var s Scaler
				for range 2 { // the second time with warm buffers
					if err := s.RGB(got, z.dw, z.dh, img); err != nil {
						t.Fatal(err)
					}
					if db := psnr(got, reference(m, z.dw, z.dh)); db < dB {
						t.Fatalf("PSNR %.1f dB, want at least %.0f", db, dB)
					}
				}
			})
		}
	}
}

func TestGrayAndExtremesStayExact(t *testing.T) {
	var s Scaler
	for _, v := range []byte{0, 1, 127, 255} {
		data := bytes.Repeat([]byte{v}, 100*70)
		dst := make([]byte, 33*41*3)
		if err := s.RGB(dst, 33, 41, Image{Format: Gray8, Width: 100, Height: 70, Data: data}); err != nil {
			t.Fatal(err)
		}
		if want := bytes.Repeat([]byte{v}, len(dst)); !bytes.Equal(dst, want) {
			t.Errorf("a flat grey %d did not stay flat", v)
		}
	}
	// White and black of limited range must reach the ends.
	for _, c := range []struct{ y, want byte }{{16, 0}, {235, 255}, {0, 0}, {255, 255}} {
		dst := make([]byte, 4*4*3)
		if err := s.RGB(dst, 4, 4, Image{Format: YUYV, Width: 2, Height: 1, Data: []byte{c.y, 128, c.y, 128}}); err != nil {
			t.Fatal(err)
		}
		if dst[0] != c.want || dst[1] != c.want || dst[2] != c.want {
			t.Errorf("Y %d gave %v, want %d", c.y, dst[:3], c.want)
		}
	}
}

func TestTransparencyIsLaidOverWhite(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	m.SetNRGBA(0, 0, color.NRGBA{255, 0, 0, 0})
	m.SetNRGBA(1, 0, color.NRGBA{0, 0, 255, 128})
	pal := image.NewPaletted(m.Rect, color.Palette{color.NRGBA{255, 0, 0, 0}, color.NRGBA{0, 0, 255, 128}})
	pal.SetColorIndex(1, 0, 1)
	var s Scaler
	for name, img := range map[string]image.Image{"straight alpha": m, "palette": pal} {
		dst := make([]byte, 6)
		if err := s.RGB(dst, 2, 1, Image{Format: PNG, Data: pngOf(t, img)}); err != nil {
			t.Fatal(err)
		}
		if want := []byte{255, 255, 255, 127, 127, 255}; !bytes.Equal(dst, want) {
			t.Errorf("%s: got %v, want %v", name, dst, want)
		}
	}
}

func TestBadPictures(t *testing.T) {
	good := jpegOf(t, scene(64, 48))
	wide := pngOf(t, image.NewGray(image.Rect(0, 0, 30000, 1)))
	vast := pngOf(t, image.NewGray(image.Rect(0, 0, 1, 1)))
	binary.BigEndian.PutUint32(vast[16:], 16000)
	binary.BigEndian.PutUint32(vast[20:], 16000)
	binary.BigEndian.PutUint32(vast[29:], crcOf(vast[12:29]))
	tests := []struct {
		name string
		img  Image
		kind error
		text string
	}{
		{"truncated jpeg", Image{Format: JPEG, Data: good[:len(good)/2]}, ErrTruncated, "decode jpeg: picture is truncated"},
		{"jpeg without its end", Image{Format: JPEG, Data: good[:len(good)-2]}, ErrTruncated, ""},
		{"text as jpeg", Image{Format: JPEG, Data: []byte("hello\nworld, this is text")}, ErrFormat, ""},
		{"30,000 pixels wide", Image{Format: PNG, Data: wide}, ErrTooLarge, "decode png: picture is 30000×1 pixels, limit is 16384 a side"},
		{"256 million pixels", Image{Format: PNG, Data: vast}, ErrTooLarge, "limit is 50000000 in all"},
		{"empty", Image{Format: JPEG}, ErrTruncated, "decode jpeg: picture is empty"},
		{"too many bytes", Image{Format: BMP, Data: make([]byte, MaxBytes+1)}, ErrTooLarge, ""},
		{"unknown", Image{Data: []byte("x")}, ErrFormat, ""},
		{"short yuyv", Image{Format: YUYV, Width: 4, Height: 4, Data: make([]byte, 31)}, ErrTruncated, "4×4 pixels take 32 bytes, picture has 31"},
		{"stride under a row", Image{Format: RGB24, Width: 4, Height: 4, Stride: 11, Data: make([]byte, 64)}, ErrFormat, "stride is 11"},
		{"raw without size", Image{Format: NV12, Data: make([]byte, 64)}, ErrFormat, "0×0"},
		{"negative size", Image{Format: I420, Width: -4, Height: 4, Data: make([]byte, 64)}, ErrFormat, "-4×4"},
		{"webp of nothing", Image{Format: WebP, Data: []byte("RIFF\x04\x00\x00\x00WEBP")}, nil, "decode webp: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s Scaler
			err := s.RGB(make([]byte, 8*8*3), 8, 8, tt.img)
			if err == nil || tt.kind != nil && !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("RGB = %v, want %v with %q on one line", err, tt.kind, tt.text)
			}
		})
	}
	var s Scaler
	if err := s.RGB(make([]byte, 10), 8, 8, Image{Format: JPEG, Data: good}); err == nil {
		t.Error("a destination of the wrong length was accepted")
	}
}

func TestPanickingDecoderIsAnError(t *testing.T) {
	err := guard(PNG, func(io.Reader) error { panic("index out of range") }, nil)
	if !errors.Is(err, ErrFormat) {
		t.Errorf("guard = %v, want ErrFormat", err)
	}
}

func TestTriangleWeightsSumToOne(t *testing.T) {
	for range 200 {
		var f filter
		from, to := 1+rand.IntN(400), 1+rand.IntN(400)
		f.set(from, to, 0, float64(from))
		for i, tap := range f.taps {
			sum := int32(0)
			for _, w := range f.weights[tap.at : tap.at+tap.n] {
				sum += w
			}
			if sum != 1<<16 || tap.first < 0 || tap.first+tap.n > from {
				t.Fatalf("%d to %d, output %d: weights %d of %d samples from %d", from, to, i, sum, tap.n, tap.first)
			}
		}
	}
}

// photo is a real photograph of w×h pixels.
func photo(t testing.TB, w, h int) *image.RGBA {
	t.Helper()
	f, err := os.Open("../../samples/detect/example.jpg")
	if err != nil {
		t.Fatalf("%v (make deps brings it)", err)
	}
	defer f.Close()
	src, err := jpeg.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.BiLinear.Scale(m, m.Rect, src, src.Bounds(), draw.Src, nil)
	return m
}
