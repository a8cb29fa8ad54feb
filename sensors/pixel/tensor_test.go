package pixel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"strings"
	"testing"
)

// slow is the reference: the triangle filter by its definition, in float64,
// each plane on its own and colours mixed at the end, for the part of the
// picture that a region shows.
func slow(p picture, t *Target) []byte {
	r := t.Fit.place(p.planes[0].w, p.planes[0].h, t.Width, t.Height)
	out := bytes.Repeat([]byte{pad}, t.Width*t.Height*3)
	n := 3
	if p.model == gray {
		n = 1
	}
	var x, y [3][]weight
	for i := range n {
		pl := p.planes[i]
		x[i], y[i] = weigh(pl.w, r.sx, r.sw, r.dw), weigh(pl.h, r.sy, r.sh, r.dh)
	}
	for j := range r.dh {
		for k := range r.dw {
			var v [3]float64
			for i := range n {
				v[i] = p.planes[i].sample(x[i][k], y[i][j])
			}
			at := out[((r.dy+j)*t.Width+r.dx+k)*3:]
			for c, f := range mixed(v, p) {
				at[c] = byte(min(max(math.Round(f), 0), 255))
			}
		}
	}
	return out
}

// weight is the triangle's value at each input sample from first on.
type weight struct {
	first int
	of    []float64
}

// sample is the weighted mean of all samples that show in a target's pixel.
func (p plane) sample(x, y weight) float64 {
	sum, weights := 0.0, 0.0
	for j, b := range y.of {
		for i, a := range x.of {
			sum += a * b * float64(p.pix[p.at+(y.first+j)*p.row+(x.first+i)*p.step])
			weights += a * b
		}
	}
	return sum / weights
}

// weigh is the weights of all outputs along an axis.
func weigh(from int, start, length int32, to int) []weight {
	scale := float64(from) * float64(length) / whole / float64(to)
	support := max(1, scale)
	out := make([]weight, to)
	for i := range out {
		centre := float64(from)*float64(start)/whole + (float64(i)+0.5)*scale - 0.5
		out[i].first = max(0, int(centre-support))
		for k := out[i].first; k < from && k <= int(centre+support)+1; k++ {
			out[i].of = append(out[i].of, max(0, 1-math.Abs(float64(k)-centre)/support))
		}
	}
	return out
}

// mixed is the definition of YCbCr in BT.601 and BT.709.
func mixed(v [3]float64, p picture) [3]float64 {
	switch p.model {
	case gray:
		return [3]float64{v[0], v[0], v[0]}
	case rgb:
		return v
	}
	kr, kb := 0.299, 0.114
	if p.matrix == &matrices[BT709][0] || p.matrix == &matrices[BT709][1] {
		kr, kb = 0.2126, 0.0722
	}
	y, u, w := v[0]/255, (v[1]-128)/255, (v[2]-128)/255
	if p.matrix == &matrices[BT601][0] || p.matrix == &matrices[BT709][0] {
		y, u, w = (v[0]-16)/219, (v[1]-128)/224, (v[2]-128)/224
	}
	r, b := y+2*(1-kr)*w, y+2*(1-kb)*u
	return [3]float64{255 * r, 255 * (y - kr*r - kb*b) / (1 - kr - kb), 255 * b}
}

var fits = []Fit{Stretch, Crop, Letterbox}

// TestRawAgainstTheDefinition: the fast paths differ from the definition by
// rounding only.
func TestRawAgainstTheDefinition(t *testing.T) {
	for _, z := range []struct{ sw, sh, dw, dh int }{{320, 240, 112, 112}, {320, 240, 320, 240}, {64, 48, 75, 91}, {161, 121, 64, 97}, {333, 17, 20, 40}, {3, 3, 7, 9}, {1, 1, 5, 4}, {640, 360, 31, 31}} {
		m := scene(z.sw, z.sh)
		for _, f := range []Format{YUYV, NV12, I420, RGB24, Gray8} {
			for _, fit := range fits {
				for _, c := range []Colour{{}, {BT709, Full}} {
					t.Run(fmt.Sprintf("%s/%dx%d to %dx%d/%s/%v", f, z.sw, z.sh, z.dw, z.dh, fit, c), func(t *testing.T) {
						img := rawOf(m, f, 6)
						img.Colour = c
						p, err := decode(img)
						if err != nil {
							t.Fatal(err)
						}
						target := Target{Width: z.dw, Height: z.dh, Fit: fit}
						got := make([]byte, target.Bytes())
						var s Scaler
						defer s.Close()
						if _, err := s.Tensor(got, &target, img); err != nil {
							t.Fatal(err)
						}
						if db := psnr(got, slow(p, &target)); db < 46 {
							t.Errorf("PSNR %.1f dB, want at least 46", db)
						}
					})
				}
			}
		}
	}
}

// photo is a real picture as a JPEG of a camera's size.
func photo(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("../../samples/detect/example.jpg")
	if err != nil {
		t.Fatalf("%v (make deps brings it)", err)
	}
	return data
}

// TestJPEGAgainstTheDefinition: scaling within the decoder is another filter
// than ours, so a photograph comes close and not equal.
func TestJPEGAgainstTheDefinition(t *testing.T) {
	data := photo(t)
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{96, 224, 300} {
		for _, fit := range fits {
			t.Run(fmt.Sprintf("%d/%s", size, fit), func(t *testing.T) {
				target := Target{Width: size, Height: size, Fit: fit}
				got := make([]byte, target.Bytes())
				var s Scaler
				defer s.Close()
				if _, err := s.Tensor(got, &target, Image{Format: JPEG, Data: data}); err != nil {
					t.Fatal(err)
				}
				if db := psnr(got, slow(planesOf(img, JPEG), &target)); db < 40 {
					t.Errorf("PSNR %.1f dB, want at least 40", db)
				}
			})
		}
	}
}

// TestColours: the corners of the colour cube come out within one step, in
// both matrices and ranges.
func TestColours(t *testing.T) {
	for _, m := range []Matrix{BT601, BT709} {
		for _, r := range []Range{DefaultRange, Limited, Full} {
			kr, kb := 0.299, 0.114
			if m == BT709 {
				kr, kb = 0.2126, 0.0722
			}
			for corner := range 8 {
				want := [3]float64{float64(corner&1) * 255, float64(corner>>1&1) * 255, float64(corner>>2) * 255}
				l := (kr*want[0] + (1-kr-kb)*want[1] + kb*want[2]) / 255
				u, v := (want[2]/255-l)/(2*(1-kb)), (want[0]/255-l)/(2*(1-kr))
				black, luma, chroma := 16., 219., 224.
				if r == Full {
					black, luma, chroma = 0, 255, 255
				}
				fixed := func(v float64) byte { return byte(min(max(math.Round(v), 0), 255)) }
				data := []byte{fixed(black + luma*l), fixed(128 + chroma*u), fixed(black + luma*l), fixed(128 + chroma*v)}
				var s Scaler
				defer s.Close()
				got := make([]byte, 2*3)
				if err := s.RGB(got, 2, 1, Image{Format: YUYV, Width: 2, Height: 1, Colour: Colour{m, r}, Data: data}); err != nil {
					t.Fatal(err)
				}
				for c := range want {
					if math.Abs(float64(got[c])-want[c]) > 2 {
						t.Errorf("matrix %d range %d corner %03b: got %v, want %v", m, r, corner, got[:3], want)
						break
					}
				}
			}
		}
	}
}

func TestEncodings(t *testing.T) {
	floats, table := new([3][256]float32), new([3][256]byte)
	for c := range 3 {
		for p := range 256 {
			floats[c][p] = float32(p) / float32(c+1)
			table[c][p] = byte(p/2 + c)
		}
	}
	img := rawOf(scene(40, 30), YUYV, 0)
	plain := Target{Width: 21, Height: 13, Fit: Letterbox}
	want := make([]byte, plain.Bytes())
	var s Scaler
	defer s.Close()
	if _, err := s.Tensor(want, &plain, img); err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]Encoding{"flipped": {Flip: 0x80}, "table": {Bytes: table}, "floats": {Floats: floats}} {
		target := plain
		target.Encoding = e
		got := make([]byte, target.Bytes())
		if _, err := s.Tensor(got, &target, img); err != nil {
			t.Fatal(err)
		}
		for i, p := range want {
			var ok bool
			switch name {
			case "flipped":
				ok = got[i] == p^0x80
			case "table":
				ok = got[i] == table[i%3][p]
			case "floats":
				ok = math.Float32frombits(binary.NativeEndian.Uint32(got[4*i:])) == floats[i%3][p]
			}
			if !ok {
				t.Fatalf("%s: value %d of pixel %d is wrong", name, i%3, i/3)
			}
		}
	}
}

// TestViews: a box around the marked square in the target is the square's box
// in the frame.
func TestViews(t *testing.T) {
	for _, tt := range []struct {
		fit            Fit
		sw, sh, dw, dh int
		want           View
	}{
		{Stretch, 640, 480, 224, 224, View{0, 0, 1, 1}},
		{Crop, 640, 480, 224, 224, View{0.125, 0, 0.875, 1}},
		{Crop, 480, 640, 224, 224, View{0, 0.125, 1, 0.875}},
		{Letterbox, 640, 480, 224, 224, View{0, -1. / 6, 1, 7. / 6}},
		{Letterbox, 480, 640, 224, 224, View{-1. / 6, 0, 7. / 6, 1}},
		{Letterbox, 224, 224, 224, 224, View{0, 0, 1, 1}},
		{Letterbox, 10000, 1, 10, 10, View{0, -2, 1, 3}},
	} {
		got := tt.fit.place(tt.sw, tt.sh, tt.dw, tt.dh).view(tt.dw, tt.dh)
		for i, d := range []float32{got.X0 - tt.want.X0, got.Y0 - tt.want.Y0, got.X1 - tt.want.X1, got.Y1 - tt.want.Y1} {
			if math.Abs(float64(d)) > 1e-5 {
				t.Errorf("%s %d×%d to %d×%d: %v, want %v (side %d)", tt.fit, tt.sw, tt.sh, tt.dw, tt.dh, got, tt.want, i)
			}
		}
	}
	v := View{0, -1. / 6, 1, 7. / 6}
	if b := v.Frame([4]float32{0.25, 0.125, 0.5, 1}); math.Abs(float64(b[1]-0)) > 1e-6 || b[0] != 0.25 || b[3] != 1 {
		t.Errorf("box %v, want the bar's part moved to the edge", b)
	}
}

// TestOrientedFits: a turned picture shows the same part as one that was
// stored upright.
func TestOrientedFits(t *testing.T) {
	up := scene(160, 96)
	for o := uint16(2); o <= 8; o++ {
		stored := image.NewRGBA(image.Rect(0, 0, 160, 96))
		if swapsSides(int(o)) {
			stored = image.NewRGBA(image.Rect(0, 0, 96, 160))
		}
		for y := range 96 {
			for x := range 160 {
				sx, sy := storedAt(int(o), x, y, 160, 96)
				stored.SetRGBA(sx, sy, up.RGBAAt(x, y))
			}
		}
		for _, fit := range fits {
			target := Target{Width: 70, Height: 64, Fit: fit}
			got, want := make([]byte, target.Bytes()), make([]byte, target.Bytes())
			var s Scaler
			defer s.Close()
			v, err := s.Tensor(got, &target, Image{Format: JPEG, Data: withEXIF(jpegOf(t, stored), o)})
			if err != nil {
				t.Fatal(err)
			}
			w, err := s.Tensor(want, &target, Image{Format: JPEG, Data: jpegOf(t, up)})
			if err != nil {
				t.Fatal(err)
			}
			if db := psnr(got, want); db < 30 || v != w {
				t.Errorf("orientation %d, %s: PSNR %.1f dB, view %v, want at least 30 and %v", o, fit, db, v, w)
			}
		}
	}
}

// storedAt is where the pixel that is seen at x, y lies in a w×h picture that
// is stored with an orientation (CIPA DC-008).
func storedAt(o, x, y, w, h int) (int, int) {
	switch o {
	case 2:
		return w - 1 - x, y
	case 3:
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5:
		return y, x
	case 6:
		return y, w - 1 - x
	case 7:
		return h - 1 - y, w - 1 - x
	case 8:
		return h - 1 - y, x
	}
	return x, y
}

func TestGreyAndInkJPEGs(t *testing.T) {
	grey := image.NewGray(image.Rect(0, 0, 40, 30))
	for i := range grey.Pix {
		grey.Pix[i] = 77
	}
	var s Scaler
	defer s.Close()
	got := make([]byte, 16*16*3)
	if err := s.RGB(got, 16, 16, Image{Format: JPEG, Data: jpegOf(t, grey)}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, bytes.Repeat([]byte{77}, len(got))) {
		t.Errorf("a grey of 77 came out as %v", got[:3])
	}
	// Four components with Adobe's marker, transform 0: ink, inverted.
	if err := s.RGB(got, 16, 16, Image{Format: JPEG, Data: inkJPEG(t)}); err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(inkJPEG(t)))
	if err != nil {
		t.Fatal(err)
	}
	r, g, b, _ := color.RGBAModel.Convert(img.At(3, 3)).RGBA()
	for c, want := range []uint32{r >> 8, g >> 8, b >> 8} {
		if d := int(got[c]) - int(want); d < -2 || d > 2 {
			t.Errorf("ink came out as %v, image/jpeg says %d %d %d", got[:3], r>>8, g>>8, b>>8)
			break
		}
	}
}

// inkJPEG is a flat CMYK picture with Adobe's marker, as an encoder wrote it.
func inkJPEG(t testing.TB) []byte {
	data, err := os.ReadFile("testdata/cmyk.jpg")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCorruptScanIsAnError(t *testing.T) {
	data := jpegOf(t, scene(320, 240))
	for _, tt := range []struct {
		name string
		data []byte
		kind error
	}{
		{"cut in the middle", data[:len(data)/2], ErrTruncated},
		{"cut, with an end put behind it", append(bytes.Clone(data[:len(data)/2]), 0xFF, markerEOI), nil},
		{"another header behind", append(bytes.Clone(data[:2]), data...), nil},
	} {
		var s Scaler
		defer s.Close()
		err := s.RGB(make([]byte, 3*96*96), 96, 96, Image{Format: JPEG, Data: tt.data})
		if err == nil || tt.kind != nil && !errors.Is(err, tt.kind) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestTensorAllocatesNothing(t *testing.T) {
	m := scene(640, 480)
	for _, img := range []Image{{Format: JPEG, Data: jpegOf(t, m)}, rawOf(m, YUYV, 0), rawOf(m, NV12, 0)} {
		if img.Format == JPEG && !nativeJPEG {
			continue // image/jpeg allocates a picture each time
		}
		for _, fit := range fits {
			target := Target{Width: 224, Height: 224, Fit: fit, Encoding: Encoding{Flip: 0x80}}
			dst := make([]byte, target.Bytes())
			var s Scaler
			defer s.Close()
			if n := testing.AllocsPerRun(5, func() {
				if _, err := s.Tensor(dst, &target, img); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s, %s: %v allocations a frame, want 0", img.Format, fit, n)
			}
		}
	}
}

// BenchmarkTensor shows what a camera's frame costs, and how many times longer
// the same takes in Go.
func BenchmarkTensor(b *testing.B) {
	small, large := scene(640, 480), scene(1280, 720)
	for _, img := range []Image{
		{Format: JPEG, Width: 640, Height: 480, Data: jpegOf(b, small)}, {Format: JPEG, Width: 1280, Height: 720, Data: jpegOf(b, large)},
		rawOf(small, YUYV, 0), rawOf(small, NV12, 0), rawOf(large, YUYV, 0), rawOf(small, RGB24, 0),
	} {
		b.Run(fmt.Sprintf("%s-%dx%d", img.Format, img.Width, img.Height), func(b *testing.B) {
			var s Scaler
			defer s.Close()
			var in planar
			target := Target{Width: 224, Height: 224}
			dst := make([]byte, target.Bytes())
			var native, inGo []float64
			b.ReportAllocs()
			for b.Loop() {
				start := nanotime()
				if _, err := s.Tensor(dst, &target, img); err != nil {
					b.Fatal(err)
				}
				native = append(native, nanotime()-start)
				if len(native)%8 == 1 { // the slow one more seldom
					b.StopTimer()
					start := nanotime()
					p, err := decode(img)
					if err != nil {
						b.Fatal(err)
					}
					in.render(dst, &target, p)
					inGo = append(inGo, nanotime()-start)
					b.StartTimer()
				}
			}
			b.ReportMetric(middleOf(inGo)/middleOf(native), "go/native")
		})
	}
}
