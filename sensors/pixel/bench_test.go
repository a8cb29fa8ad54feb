package pixel

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkTensor is one camera frame to a model's 224×224, with the ratio to
// the scaler in Go in the same run.
func BenchmarkTensor(b *testing.B) {
	for _, size := range []struct{ w, h int }{{640, 480}, {1280, 720}} {
		m := photo(b, size.w, size.h)
		for _, img := range []Image{{Format: JPEG, Data: jpegOf(b, m, 85)}, rawOf(m, YUYV, 0), rawOf(m, NV12, 0), rawOf(m, I420, 0), rawOf(m, RGB24, 0)} {
			b.Run(fmt.Sprintf("%s/%dx%d", img.Format, size.w, size.h), func(b *testing.B) {
				t := &Target{Width: 224, Height: 224}
				dst := make([]byte, t.Bytes())
				run := func(s *Scaler) {
					if _, err := s.Tensor(dst, t, img); err != nil {
						b.Fatal(err)
					}
				}
				inGo := Scaler{inGo: true}
				run(&inGo)
				const rounds = 5
				start := time.Now()
				for range rounds {
					run(&inGo)
				}
				baseline := time.Since(start) / rounds
				var s Scaler
				defer s.Close()
				run(&s)
				b.ReportAllocs()
				for b.Loop() {
					run(&s)
				}
				b.ReportMetric(float64(baseline)/float64(b.Elapsed())*float64(b.N), "x-Go")
			})
		}
	}
}
