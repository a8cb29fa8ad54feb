package pixel

import (
	"encoding/binary"
	"hash/crc32"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func crcOf(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// fuzzPicture decodes whatever comes: it may fail, but never panic, hang or
// disagree with Size. Pictures over a million pixels are left out only to keep
// the fuzzer fast.
func fuzzPicture(f *testing.F, format Format, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
		f.Add(s[:len(s)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		img := Image{Format: format, Data: data}
		w, h, err := Size(img)
		if err == nil && (w <= 0 || h <= 0 || w > MaxSide || h > MaxSide || w*h > MaxPixels) {
			t.Fatalf("Size let %d×%d through", w, h)
		}
		if err == nil && w*h > 1<<20 {
			return
		}
		var s Scaler
		defer s.Close()
		to := &Target{Width: 9, Height: 7, Fit: Fit(len(data) % 3)}
		_, e := s.Tensor(make([]byte, to.Bytes()), to, img)
		if e == nil && err != nil {
			t.Fatalf("decoded what Size refused: %v", err)
		}
		if e != nil && strings.ContainsAny(e.Error(), "\n\r") {
			t.Fatalf("error of more than one line: %q", e)
		}
	})
}

func file(f *testing.F, name string) []byte {
	f.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

func FuzzJPEG(f *testing.F) {
	j := jpegOf(f, scene(24, 18))
	seeds := [][]byte{j, withEXIF(j, 6), withEXIF(j, 3), withoutTables(f, j), jpegOf(f, image.NewGray(image.Rect(0, 0, 9, 9)))}
	names, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range names {
		seeds = append(seeds, file(f, filepath.Base(name)))
	}
	fuzzPicture(f, JPEG, seeds...)
}

func FuzzPNG(f *testing.F) {
	fuzzPicture(f, PNG, pngOf(f, scene(24, 18)), pngOf(f, image.NewNRGBA64(image.Rect(0, 0, 5, 5))))
}

func FuzzBMP(f *testing.F)  { fuzzPicture(f, BMP, bmpOf(f, scene(24, 18))) }
func FuzzWebP(f *testing.F) { fuzzPicture(f, WebP, file(f, "lossy.webp"), file(f, "lossless.webp")) }

// FuzzRaw also holds that C and Go make the same of it, but for rounding.
func FuzzRaw(f *testing.F) {
	for i, format := range []Format{YUYV, NV12, I420, RGB24, Gray8} {
		m := rawOf(scene(5+i*9, 3+i*4), format, i)
		f.Add(uint8(format), m.Width, m.Height, m.Stride, uint8(9), uint8(7), uint8(i), m.Data)
	}
	f.Add(uint8(NV12), 5, 3, 0, uint8(1), uint8(200), uint8(5), make([]byte, 27))
	f.Add(uint8(RGB24), 1, 1, 1<<40, uint8(1), uint8(1), uint8(2), make([]byte, 3))
	f.Add(uint8(Gray8), 900, 1, 0, uint8(2), uint8(1), uint8(0), make([]byte, 900))
	f.Fuzz(func(t *testing.T, format uint8, w, h, stride int, tw, th, how uint8, data []byte) {
		img := Image{Format: Format(format), Width: w, Height: h, Stride: stride, Data: data, Colour: Colour{Matrix(how / 3 % 2), Range(how / 6 % 3)}}
		if img.Format.Encoded() {
			return
		}
		to := &Target{Width: int(tw), Height: int(th), Fit: Fit(how % 3)}
		native, inGo := Scaler{}, Scaler{inGo: true}
		defer native.Close()
		a, b := make([]byte, to.Bytes()), make([]byte, to.Bytes())
		_, err := native.Tensor(a, to, img)
		if _, e := inGo.Tensor(b, to, img); (e == nil) != (err == nil) {
			t.Fatalf("C says %v, Go %v", err, e)
		}
		if err != nil {
			return
		}
		if w*h > len(data) {
			t.Fatalf("%d×%d pixels out of %d bytes", w, h, len(data))
		}
		for i := range a {
			if d := int(a[i]) - int(b[i]); d > 4 || d < -4 {
				t.Fatalf("value %d is %d, in Go %d", i, a[i], b[i])
			}
		}
	})
}

func FuzzEXIF(f *testing.F) {
	f.Add(exifSegment(binary.LittleEndian, "II*\x00", 6)[10:])
	f.Add(exifSegment(binary.BigEndian, "MM\x00*", 8)[10:])
	f.Add([]byte("II*\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, tiff []byte) {
		if o := tiffOrientation(tiff); o < 1 || o > 8 {
			t.Fatalf("orientation %d", o)
		}
	})
}

func TestWebPAgainstItsOwnLossless(t *testing.T) {
	for _, name := range []string{"lossy.webp", "lossless.webp"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := os.Open("testdata/reference.png")
		if err != nil {
			t.Fatal(err)
		}
		defer ref.Close()
		m, _, err := image.Decode(ref)
		if err != nil {
			t.Fatal(err)
		}
		var s Scaler
		got := make([]byte, 60*50*3)
		if err := s.RGB(got, 60, 50, Image{Format: Sniff(data), Data: data}); err != nil {
			t.Fatal(err)
		}
		if db := psnr(got, reference(m, 60, 50)); db < 30 {
			t.Errorf("%s: PSNR %.1f dB, want at least 30", name, db)
		}
	}
}

func TestSniff(t *testing.T) {
	tests := map[string]Format{
		"\xff\xd8\xff\xe0": JPEG, "\x89PNG\r\n\x1a\n": PNG, "BM....": BMP, "RIFF....WEBPVP8 ": WebP,
		"RIFF....WAVE": Unknown, "": Unknown, "\xff\xd8": Unknown, "hello": Unknown,
	}
	for data, want := range tests {
		if got := Sniff([]byte(data)); got != want {
			t.Errorf("Sniff(%q) = %s, want %s", data, got, want)
		}
	}
}
