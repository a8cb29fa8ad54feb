package pixel

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// TestSameBytesEverywhere holds the two scalers to bytes that are written down
// here, for every processor: a model that was checked on one must see the same
// picture on another, whatever its vectors and its fused multiplications do.
// JPEG is not here: its bytes are libjpeg-turbo's.
func TestSameBytesEverywhere(t *testing.T) {
	want := map[string]map[Fit]uint32{
		"c":  {Stretch: 0x995536ae, Crop: 0xdde56956, Letterbox: 0x4193fec8},
		"go": {Stretch: 0x0b67aec7, Crop: 0xad1f5cc3, Letterbox: 0x8816810d},
	}
	sizes := []struct{ sw, sh, dw, dh int }{{320, 240, 112, 112}, {64, 48, 150, 130}, {161, 121, 97, 64}, {333, 17, 20, 40}, {500, 300, 9, 5}}
	engines(t, func(t *testing.T, s *Scaler) {
		for _, fit := range []Fit{Stretch, Crop, Letterbox} {
			sum := uint32(0)
			for _, f := range []Format{YUYV, NV12, I420, RGB24, Gray8} {
				for i, z := range sizes {
					img := noise(f, z.sw, z.sh)
					img.Colour = Colour{Matrix: Matrix(i % 2), Range: Range(i % 3)}
					got, _ := tensorOf(t, s, &Target{Width: z.dw, Height: z.dh, Fit: fit}, img)
					sum = crc32.Update(sum, crc32.IEEETable, got)
				}
			}
			engine := map[bool]string{false: "c", true: "go"}[s.inGo]
			if sum != want[engine][fit] {
				t.Errorf("%s, %s: CRC-32 %#08x, want %#08x", engine, fit, sum, want[engine][fit])
			}
		}
	})
}

// noise is a picture that is made without floating point.
func noise(f Format, w, h int) Image {
	cw, ch := (w+1)/2, (h+1)/2
	n, ok := map[Format]int{YUYV: 4 * cw * h, NV12: w*h + 2*cw*ch, I420: w*h + 2*cw*ch, RGB24: 3 * w * h, Gray8: w * h}[f]
	if !ok {
		panic(fmt.Sprint("no size for ", f))
	}
	data := make([]byte, n)
	rng := rand.New(rand.NewPCG(uint64(w), uint64(h)))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return Image{Format: f, Width: w, Height: h, Data: data}
}
