package pixel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"os"
	"strings"
	"testing"
)

func exifSegment(order binary.AppendByteOrder, magic string, o uint16) []byte {
	b := []byte(magic)
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 1)
	b = order.AppendUint16(b, 0x0112)
	b = order.AppendUint16(b, 3)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint16(b, o)
	b = order.AppendUint16(b, 0)
	b = order.AppendUint32(b, 0)
	body := append([]byte("Exif\x00\x00"), b...)
	return append([]byte{0xFF, 0xE1, byte((len(body) + 2) >> 8), byte(len(body) + 2)}, body...)
}

func withEXIF(data []byte, o uint16) []byte {
	seg := exifSegment(binary.LittleEndian, "II*\x00", o)
	if o%2 == 0 {
		seg = exifSegment(binary.BigEndian, "MM\x00*", o)
	}
	return append(append(bytes.Clone(data[:2]), seg...), data[2:]...)
}

// TestOrientation stores one upright scene turned in each of the eight ways of
// EXIF and wants it upright again.
func TestOrientation(t *testing.T) {
	up := scene(160, 96)
	at := map[uint16]func(x, y int) (int, int){ // stored place of the upright pixel x, y
		1: func(x, y int) (int, int) { return x, y },
		2: func(x, y int) (int, int) { return 159 - x, y },
		3: func(x, y int) (int, int) { return 159 - x, 95 - y },
		4: func(x, y int) (int, int) { return x, 95 - y },
		5: func(x, y int) (int, int) { return y, x },
		6: func(x, y int) (int, int) { return y, 159 - x },
		7: func(x, y int) (int, int) { return 95 - y, 159 - x },
		8: func(x, y int) (int, int) { return 95 - y, x },
	}
	for o, place := range at {
		w, h := 160, 96
		if o >= 5 {
			w, h = h, w
		}
		m := image.NewRGBA(image.Rect(0, 0, w, h))
		for y := range 96 {
			for x := range 160 {
				sx, sy := place(x, y)
				m.SetRGBA(sx, sy, up.RGBAAt(x, y))
			}
		}
		img := Image{Format: JPEG, Data: withEXIF(jpegOf(t, m), o)}
		if w, h, err := Size(img); err != nil || w != 160 || h != 96 {
			t.Errorf("orientation %d: Size = %d, %d, %v, want 160, 96", o, w, h, err)
		}
		got := make([]byte, 80*60*3)
		var s Scaler
		if err := s.RGB(got, 80, 60, img); err != nil {
			t.Fatal(err)
		}
		if db := psnr(got, reference(up, 80, 60)); db < 32 {
			t.Errorf("orientation %d: PSNR %.1f dB, want at least 32", o, db)
		}
	}
}

// withoutTables is whole without its Huffman tables.
func withoutTables(t testing.TB, whole []byte) []byte {
	t.Helper()
	bare := bytes.Clone(whole[:2])
	for seg := range segments(whole) {
		if seg.marker == markerDHT {
			continue
		}
		bare = append(append(bare, 0xFF, seg.marker, byte((len(seg.body)+2)>>8), byte(len(seg.body)+2)), seg.body...)
		if seg.marker == markerSOS {
			bare = append(bare, whole[bytes.LastIndex(whole, seg.body)+len(seg.body):]...)
		}
	}
	if len(bare) >= len(whole)-400 {
		t.Fatalf("the tables are still there: %d of %d bytes", len(bare), len(whole))
	}
	return bare
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKindsOfJPEG compares with image/jpeg and the filter by definition, in the
// range of sizes where the decoder itself scales by 1, 1/2, 1/4 and 1/8. What
// the decoder filters differs from a triangle; a smooth picture hardly does.
func TestKindsOfJPEG(t *testing.T) {
	names := []string{"444", "422", "420-restart", "440", "411", "progressive", "rgb", "grey", "cmyk", "ycck", "ycck-420"}
	engines(t, func(t *testing.T, s *Scaler) {
		for _, name := range names {
			data := testdata(t, name+".jpg")
			full, err := jpeg.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			for _, side := range []int{150, 97, 48, 33, 20, 15, 7, 1} {
				for _, fit := range []Fit{Stretch, Crop, Letterbox} {
					to := &Target{Width: side, Height: max(1, side*2/3), Fit: fit}
					got, _ := tensorOf(t, s, to, Image{Format: JPEG, Data: data})
					want := exact(imageSamples(full), false, Colour{}, to)
					least := 33.0
					if name == "411" && !s.inGo {
						least = 28 // the decoder reduces the little chroma there is as well
					}
					if db := psnr(got, want); db < least {
						t.Errorf("%s to %d, %s: PSNR %.1f dB, want at least %.0f", name, side, fit, db, least)
					}
				}
			}
		}
	})
}

// TestPhotograph is the real thing: 40 dB is what scaling within the decoder
// may differ by from decoding all and filtering.
func TestPhotograph(t *testing.T) {
	m := photo(t, 640, 480)
	data := jpegOf(t, m, 85)
	full, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	engines(t, func(t *testing.T, s *Scaler) {
		for _, side := range []int{48, 96, 224, 300, 500} {
			to := &Target{Width: side, Height: side}
			got, _ := tensorOf(t, s, to, Image{Format: JPEG, Data: data})
			db := psnr(got, exact(imageSamples(full), false, Colour{}, to))
			t.Logf("to %d: %.1f dB", side, db)
			if db < 40 {
				t.Errorf("to %d: PSNR %.1f dB, want at least 40", side, db)
			}
		}
	})
}

// TestOrientationMeetsFits turns the tensor of the picture as it is stored and
// wants the one of the turned picture: the same values in another place.
func TestOrientationMeetsFits(t *testing.T) {
	data := jpegOf(t, scene(120, 80))
	engines(t, func(t *testing.T, s *Scaler) {
		for o := uint16(1); o <= 8; o++ {
			for _, fit := range []Fit{Stretch, Crop, Letterbox} {
				w, h := 41, 30
				to, stored := &Target{Width: w, Height: h, Fit: fit}, &Target{Width: w, Height: h, Fit: fit}
				if o >= 5 {
					stored.Width, stored.Height = h, w
				}
				got, view := tensorOf(t, s, to, Image{Format: JPEG, Data: withEXIF(data, o)})
				as, _ := tensorOf(t, s, stored, Image{Format: JPEG, Data: data})
				// Padding of an odd width is not symmetric: compare from the picture's corner.
				seenW, seenH := 120, 80
				if o >= 5 {
					seenW, seenH = seenH, seenW
				}
				_, at, want := to.meet(seenW, seenH)
				_, from, _ := stored.meet(120, 80)
				if view != want {
					t.Errorf("orientation %d, %s: view %v, want %v", o, fit, view, want)
				}
				for y := range at.h {
					for x := range at.w {
						sx, sy := turned(int(o), x, y, from.w, from.h)
						g := ((at.top+y)*w + at.left + x) * 3
						p := ((from.top+sy)*stored.Width + from.left + sx) * 3
						if !bytes.Equal(got[g:g+3], as[p:p+3]) {
							t.Fatalf("orientation %d, %s: pixel %d,%d is %v, want %v", o, fit, x, y, got[g:g+3], as[p:p+3])
						}
					}
				}
			}
		}
	})
}

// turned is the stored place of a pixel as it is seen (CIPA DC-008); w and h
// are those of the stored picture.
func turned(o, x, y, w, h int) (int, int) {
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
		return y, h - 1 - x
	case 7:
		return w - 1 - y, h - 1 - x
	case 8:
		return w - 1 - y, x
	}
	return x, y
}

func TestBadJPEGs(t *testing.T) {
	good, bars := testdata(t, "420-restart.jpg"), testdata(t, "progressive.jpg")
	sos := bytes.Index(bars, []byte{0xFF, markerSOS})
	scan := bars[sos : sos+bytes.Index(bars[sos+2:], []byte{0xFF, markerSOS})+2]
	endless := append(bytes.Clone(bars[:len(bars)-2]), bytes.Repeat([]byte{0xFF, markerSOS, 0, 8, 1, 1, 0, 0, 0, 0}, 300)...)
	endless = append(endless, 0xFF, markerEOI)
	repeated := append(append(bytes.Clone(bars[:sos]), bytes.Repeat(scan, 300)...), 0xFF, markerEOI)
	sof := func(data []byte, marker byte, put func(b []byte)) []byte {
		data = bytes.Clone(data)
		put(data[bytes.Index(data, []byte{0xFF, marker}):])
		return data
	}
	noise := bytes.Clone(good)
	for i := len(noise) / 2; i < len(noise)-2; i++ {
		noise[i] = byte(i*73) &^ 1
	}
	bare := bytes.Clone(good[:2])
	for seg := range segments(testdata(t, "cmyk.jpg")) {
		if seg.marker == 0xEE {
			continue
		}
		bare = append(append(bare, 0xFF, seg.marker, byte((len(seg.body)+2)>>8), byte(len(seg.body)+2)), seg.body...)
		if seg.marker == markerSOS {
			all := testdata(t, "cmyk.jpg")
			bare = append(bare, all[bytes.Index(all, seg.body)+len(seg.body):]...)
		}
	}
	tests := []struct {
		name string
		data []byte
		kind error
	}{
		{"half", good[:len(good)/2], ErrTruncated},
		{"half of a progressive one", bars[:len(bars)/2], ErrTruncated},
		{"header only", good[:200], ErrTruncated},
		{"two bytes", good[:2], ErrTruncated},
		{"one byte", good[:1], nil},
		{"no end", good[:len(good)-2], ErrTruncated},
		{"noise", noise, nil},
		{"end too early", append(bytes.Clone(good[:len(good)/2]), 0xFF, markerEOI), ErrFormat},
		{"arithmetic coding", testdata(t, "arithmetic.jpg"), ErrFormat},
		{"lossless", sof(good, markerSOF0, func(b []byte) { b[1] = 0xC3 }), ErrFormat},
		{"12 bits", sof(good, markerSOF0, func(b []byte) { b[4] = 12 }), ErrFormat},
		{"no height", sof(good, markerSOF0, func(b []byte) { b[5], b[6] = 0, 0 }), ErrFormat},
		{"65535 wide", sof(good, markerSOF0, func(b []byte) { b[7], b[8] = 255, 255 }), ErrTooLarge},
		{"36 million progressive pixels", sof(bars, markerSOF2, func(b []byte) { b[5], b[6], b[7], b[8] = 0x17, 0x70, 0x17, 0x70 }), ErrTooLarge},
		{"300 scans", endless, nil},
		{"the same scan 300 times", repeated, ErrTooLarge},
		{"no quantization table", bytes.Replace(good, []byte{0xFF, 0xDB}, []byte{0xFF, 0xEB}, -1), ErrFormat},
		{"four components without a name", bare, ErrFormat},
	}
	engines(t, func(t *testing.T, s *Scaler) {
		for _, tt := range tests {
			if s.inGo && tt.name == "no quantization table" {
				continue // image/jpeg takes zeros
			}
			// A good picture before: nothing of it may help the bad one.
			tensorOf(t, s, &Target{Width: 9, Height: 9}, Image{Format: JPEG, Data: good})
			_, err := s.Tensor(make([]byte, 9*9*3), &Target{Width: 9, Height: 9}, Image{Format: JPEG, Data: tt.data})
			var e *Error
			if !errors.As(err, &e) || tt.kind != nil && !errors.Is(err, tt.kind) || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "decode jpeg: ") {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.kind)
			} else {
				t.Logf("%s: %v", tt.name, err)
			}
		}
	})
}

// TestTablesDoNotOutliveTheirPicture: a frame without Huffman tables has the
// standard ones, whatever the frame before it had.
func TestTablesDoNotOutliveTheirPicture(t *testing.T) {
	bare, whole := withoutTables(t, jpegOf(t, scene(64, 64))), jpegOf(t, scene(64, 64))
	engines(t, func(t *testing.T, s *Scaler) {
		to := &Target{Width: 20, Height: 20}
		want, _ := tensorOf(t, s, to, Image{Format: JPEG, Data: whole})
		tensorOf(t, s, to, Image{Format: JPEG, Data: testdata(t, "444.jpg")}) // has optimized ones
		if got, _ := tensorOf(t, s, to, Image{Format: JPEG, Data: bare}); !bytes.Equal(got, want) {
			t.Error("another picture without tables")
		}
	})
}
