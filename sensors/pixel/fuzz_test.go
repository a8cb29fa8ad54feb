package pixel

import (
	"encoding/binary"
	"hash/crc32"
	"image"
	"os"
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
		if e := s.RGB(make([]byte, 9*7*3), 9, 7, img); e == nil && err != nil {
			t.Fatalf("decoded what Size refused: %v", err)
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
	fuzzPicture(f, JPEG, j, withEXIF(j, 6), withEXIF(j, 3), jpegOf(f, image.NewGray(image.Rect(0, 0, 9, 9))))
}

func FuzzPNG(f *testing.F) {
	fuzzPicture(f, PNG, pngOf(f, scene(24, 18)), pngOf(f, image.NewNRGBA64(image.Rect(0, 0, 5, 5))))
}

func FuzzBMP(f *testing.F)  { fuzzPicture(f, BMP, bmpOf(f, scene(24, 18))) }
func FuzzWebP(f *testing.F) { fuzzPicture(f, WebP, file(f, "lossy.webp"), file(f, "lossless.webp")) }

func FuzzRaw(f *testing.F) {
	f.Add(uint8(YUYV), 4, 4, 0, make([]byte, 32))
	f.Add(uint8(NV12), 5, 3, 0, make([]byte, 27))
	f.Add(uint8(I420), 5, 3, 7, make([]byte, 37))
	f.Add(uint8(RGB24), 1, 1, 1<<40, make([]byte, 3))
	f.Fuzz(func(t *testing.T, format uint8, w, h, stride int, data []byte) {
		img := Image{Format: Format(format), Width: w, Height: h, Stride: stride, Data: data}
		if img.Format.Encoded() {
			return
		}
		var s Scaler
		if err := s.RGB(make([]byte, 9*7*3), 9, 7, img); err == nil && w*h > len(data) {
			t.Fatalf("%d×%d pixels out of %d bytes", w, h, len(data))
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
