package pixel

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
)

// engines runs a test with the scaler of this build, and with the one in Go.
func engines(t *testing.T, run func(t *testing.T, s *Scaler)) {
	for _, inGo := range []bool{false, true} {
		if !inGo && !hasNative {
			continue
		}
		t.Run(map[bool]string{false: "c", true: "go"}[inGo], func(t *testing.T) {
			s := &Scaler{inGo: inGo}
			defer s.Close()
			run(t, s)
		})
	}
}

func tensorOf(t testing.TB, s *Scaler, to *Target, src Image) ([]byte, View) {
	t.Helper()
	dst := bytes.Repeat([]byte{0xA5}, to.Bytes())
	v, err := s.Tensor(dst, to, src)
	if err != nil {
		t.Fatal(err)
	}
	return dst, v
}

// TestRawAgainstTheDefinition allows what rounding costs: 48 dB is one value of
// 255 as the usual error. The scaler in Go rounds each plane on its way.
func TestRawAgainstTheDefinition(t *testing.T) {
	sizes := []struct{ sw, sh, dw, dh int }{
		{320, 240, 112, 112}, {64, 48, 150, 130}, {161, 121, 97, 64}, {333, 17, 20, 40}, {3, 3, 7, 9},
		{1, 1, 5, 4}, {2, 1, 1, 1}, {1, 70, 3, 3}, {16, 16, 16, 16}, {500, 300, 9, 5},
	}
	engines(t, func(t *testing.T, s *Scaler) {
		for _, f := range []Format{YUYV, NV12, I420, RGB24, Gray8} {
			for i, z := range sizes {
				for _, fit := range []Fit{Stretch, Crop, Letterbox} {
					img := rawOf(scene(z.sw, z.sh), f, i%3*2)
					img.Colour = Colour{Matrix: Matrix(i % 2), Range: Range(i % 3)}
					to := &Target{Width: z.dw, Height: z.dh, Fit: fit}
					got, _ := tensorOf(t, s, to, img)
					want := exact(rawSamples(img), f == YUYV || f == NV12 || f == I420, img.Colour, to)
					least := 48.0
					if s.inGo {
						least = 44
					}
					if db := psnr(got, want); db < least {
						t.Errorf("%s %v %s: PSNR %.1f dB, want at least %.0f", f, z, fit, db, least)
					}
				}
			}
		}
	})
}

func TestFlatColoursAreExact(t *testing.T) {
	engines(t, func(t *testing.T, s *Scaler) {
		for _, c := range []Colour{{}, {BT601, Full}, {BT709, Limited}, {BT709, Full}} {
			for i := range 216 {
				y, u, v := byte(i/36*51), byte(i/6%6*51), byte(i%6*51)
				for _, img := range []Image{
					{Format: YUYV, Width: 34, Height: 20, Data: bytes.Repeat([]byte{y, u, y, v}, 17*20)},
					{Format: NV12, Width: 34, Height: 20, Data: append(bytes.Repeat([]byte{y}, 34*20), bytes.Repeat([]byte{u, v}, 17*10)...)},
					{Format: I420, Width: 34, Height: 20, Data: append(append(bytes.Repeat([]byte{y}, 34*20), bytes.Repeat([]byte{u}, 17*10)...), bytes.Repeat([]byte{v}, 17*10)...)},
				} {
					img.Colour = c
					got, _ := tensorOf(t, s, &Target{Width: 11, Height: 13}, img)
					want := toRGB(float64(y), float64(u), float64(v), c)
					for k, g := range got {
						if math.Abs(float64(g)-want[k%3]) > 1 {
							t.Fatalf("%s %s: Y %d U %d V %d gave %v, want %.1f", img.Format, c, y, u, v, got[:3], want)
						}
					}
				}
			}
		}
	})
}

func TestExtremeReductionKeepsWhite(t *testing.T) {
	engines(t, func(t *testing.T, s *Scaler) {
		for _, v := range []byte{0, 1, 200, 255} {
			img := Image{Format: RGB24, Width: MaxSide, Height: 90, Data: bytes.Repeat([]byte{v}, MaxSide*90*3)}
			got, _ := tensorOf(t, s, &Target{Width: 3, Height: 1}, img)
			if !bytes.Equal(got, bytes.Repeat([]byte{v}, 9)) {
				t.Errorf("%d gave %v", v, got)
			}
		}
	})
}

func TestViews(t *testing.T) {
	tests := []struct {
		fit          Fit
		w, h, tw, th int
		want         View
		box, frame   [4]float32
		pads         int
	}{
		{Stretch, 640, 480, 224, 224, View{0, 0, 1, 1}, [4]float32{0.25, 0.5, 0.75, 1.5}, [4]float32{0.25, 0.5, 0.75, 1}, 0},
		{Crop, 640, 480, 224, 224, View{0.125, 0, 0.875, 1}, [4]float32{0, 0, 0.5, 1}, [4]float32{0.125, 0, 0.5, 1}, 0},
		{Crop, 100, 400, 10, 10, View{0, 0.375, 1, 0.625}, [4]float32{0, 0, 1, 1}, [4]float32{0, 0.375, 1, 0.625}, 0},
		{Letterbox, 640, 480, 224, 224, View{0, -1.0 / 6, 1, 7.0 / 6}, [4]float32{0, 0, 1, 0.5}, [4]float32{0, 0, 1, 0.5}, 56 * 224},
		{Letterbox, 100, 400, 10, 10, View{-1, 0, 7.0 / 3, 1}, [4]float32{0.4, 0, 1, 0.5}, [4]float32{1.0 / 3, 0, 1, 0.5}, 70},
		{Letterbox, 400, 400, 10, 10, View{0, 0, 1, 1}, [4]float32{0, 0, 1, 1}, [4]float32{0, 0, 1, 1}, 0},
		{Letterbox, 10000, 1, 8, 8, View{0, -3, 1, 5}, [4]float32{0, 0.5, 1, 0.5}, [4]float32{0, 1, 1, 1}, 56},
	}
	near := func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-5 }
	engines(t, func(t *testing.T, s *Scaler) {
		for _, tt := range tests {
			img := Image{Format: Gray8, Width: tt.w, Height: tt.h, Data: bytes.Repeat([]byte{200}, tt.w*tt.h)}
			got, v := tensorOf(t, s, &Target{Width: tt.tw, Height: tt.th, Fit: tt.fit}, img)
			if !near(v.X0, tt.want.X0) || !near(v.Y0, tt.want.Y0) || !near(v.X1, tt.want.X1) || !near(v.Y1, tt.want.Y1) {
				t.Errorf("%s %d×%d: view %v, want %v", tt.fit, tt.w, tt.h, v, tt.want)
			}
			for i, f := range v.Frame(tt.box) {
				if !near(f, tt.frame[i]) {
					t.Errorf("%s %d×%d: Frame = %v, want %v", tt.fit, tt.w, tt.h, v.Frame(tt.box), tt.frame)
				}
			}
			if n := bytes.Count(got, []byte{padding}); n != tt.pads*3 || bytes.Count(got, []byte{200}) != len(got)-n {
				t.Errorf("%s %d×%d: %d values of padding, want %d", tt.fit, tt.w, tt.h, n, tt.pads*3)
			}
		}
	})
	for _, f := range []Fit{Stretch, Crop, Letterbox} {
		if got, err := ParseFit(f.String()); got != f || err != nil {
			t.Errorf("ParseFit(%s) = %s, %v", f, got, err)
		}
	}
	if _, err := ParseFit("zoom"); err == nil {
		t.Error("ParseFit took a word it does not know")
	}
}

func TestEncodings(t *testing.T) {
	var table [3][256]byte
	var floats [3][256]float32
	for k := range 3 {
		for v := range 256 {
			table[k][v] = byte(v*7 + k*31)
			floats[k][v] = (float32(v) - 127.5) / float32(50+k)
		}
	}
	engines(t, func(t *testing.T, s *Scaler) {
		for _, fit := range []Fit{Stretch, Letterbox} {
			for _, img := range []Image{rawOf(scene(40, 30), YUYV, 0), rawOf(scene(40, 30), RGB24, 0), {Format: JPEG, Data: withEXIF(jpegOf(t, scene(30, 40)), 6)}} {
				to := Target{Width: 21, Height: 19, Fit: fit}
				plain, _ := tensorOf(t, s, &to, img)
				to.Encoding = Encoding{Flip: 0x80}
				flipped, _ := tensorOf(t, s, &to, img)
				to.Encoding = Encoding{Bytes: &table}
				looked, _ := tensorOf(t, s, &to, img)
				to.Encoding = Encoding{Floats: &floats, Bytes: &table}
				real, _ := tensorOf(t, s, &to, img)
				for i, v := range plain {
					f := math.Float32frombits(binary.NativeEndian.Uint32(real[i*4:]))
					if flipped[i] != v^0x80 || looked[i] != table[i%3][v] || f != floats[i%3][v] {
						t.Fatalf("%s %s: value %d is %d: flipped %d, table %d, float %v", img.Format, fit, i, v, flipped[i], looked[i], f)
					}
				}
			}
		}
	})
}

func TestSteadySizeAllocatesNothing(t *testing.T) {
	m := scene(320, 240)
	images := []Image{{Format: JPEG, Data: withEXIF(jpegOf(t, m), 6)}}
	for _, f := range []Format{YUYV, NV12, I420, RGB24, Gray8} {
		images = append(images, rawOf(m, f, 0))
	}
	engines(t, func(t *testing.T, s *Scaler) {
		for _, img := range images {
			if s.inGo && img.Format == JPEG {
				continue // Go's decoder makes a new picture
			}
			to := &Target{Width: 96, Height: 96, Fit: Letterbox}
			dst := make([]byte, to.Bytes())
			if n := testing.AllocsPerRun(5, func() {
				if _, err := s.Tensor(dst, to, img); err != nil {
					t.Fatal(err)
				}
			}); n != 0 && !raceEnabled {
				t.Errorf("%s: %v allocations a frame, want 0", img.Format, n)
			}
		}
	})
}

func TestClosedScalerWorksOn(t *testing.T) {
	var s Scaler
	s.Close()
	img := rawOf(scene(20, 20), NV12, 0)
	first, _ := tensorOf(t, &s, &Target{Width: 8, Height: 8}, img)
	s.Close()
	s.Close()
	if again, _ := tensorOf(t, &s, &Target{Width: 8, Height: 8}, img); !bytes.Equal(first, again) {
		t.Error("another picture after Close")
	}
	s.Close()
}

// TestEnginesAgree holds what a build without cgo may differ by: on a real
// photograph, at several sizes. Without cgo both are the same.
func TestEnginesAgree(t *testing.T) {
	m := photo(t, 640, 480)
	for _, img := range []Image{{Format: JPEG, Data: jpegOf(t, m, 90)}, rawOf(m, YUYV, 0), rawOf(m, NV12, 0), rawOf(m, I420, 0), rawOf(m, RGB24, 0), {Format: PNG, Data: pngOf(t, m)}} {
		for _, side := range []int{96, 224, 640} {
			for _, fit := range []Fit{Stretch, Crop, Letterbox} {
				least := 50.0
				if img.Format == JPEG { // scaled within the decoder, which is another filter
					least = 40
				}
				native, inGo := Scaler{}, Scaler{inGo: true}
				to := &Target{Width: side, Height: side, Fit: fit}
				a, _ := tensorOf(t, &native, to, img)
				b, _ := tensorOf(t, &inGo, to, img)
				db := psnr(a, b)
				t.Logf("%s to %d, %s: %.1f dB", img.Format, side, fit, db)
				if db < least {
					t.Errorf("%s to %d, %s: PSNR %.1f dB, want at least %.0f", img.Format, side, fit, db, least)
				}
			}
		}
	}
}
