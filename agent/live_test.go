package agent

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/payload"
)

func jpegFrame(t testing.TB) *sensors.Frame {
	t.Helper()
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, image.NewGray(image.Rect(0, 0, 64, 48)), nil); err != nil {
		t.Fatal(err)
	}
	return &sensors.Frame{Time: time.Now(), Image: pixel.Image{Format: pixel.JPEG, Data: buf.Bytes()}}
}

// TestNobodyLooks: a frame then costs no copy, no encoding and no allocation.
func TestNobodyLooks(t *testing.T) {
	var l live
	f := jpegFrame(t)
	if n := testing.AllocsPerRun(100, func() {
		l.pass(f)
		if l.take(f) != nil {
			t.Error("a shot for nobody")
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func TestWhoLooksSeesTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l live
		release := make(chan struct{})
		var seen []uint64
		done := make(chan error)
		go func() {
			done <- l.watch(t.Context(), 0, func(p api.Picture) error {
				seen = append(seen, p.Prediction.Seq)
				<-release
				if p.Prediction.Seq == 9 {
					return errEnough
				}
				return nil
			})
		}()
		synctest.Wait()
		for seq := range uint64(10) { // the first is in hand while the others come
			s := l.take(jpegFrame(t))
			if s == nil {
				t.Fatal("no shot is wanted")
			}
			s.prediction = &payload.Prediction{Seq: seq}
			l.show(s)
			synctest.Wait()
			time.Sleep(liveInterval)
		}
		close(release)
		if err := <-done; !errors.Is(err, errEnough) || len(seen) != 2 || seen[0] != 0 || seen[1] != 9 {
			t.Errorf("saw %v, %v", seen, err)
		}
		if l.count.Load() != 0 {
			t.Error("who left is still counted")
		}
	})
}

func TestFramesWithoutInference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l live
		ctx, cancel := context.WithCancel(t.Context())
		var seen []time.Duration
		start := time.Now()
		done := make(chan error)
		go func() {
			done <- l.watch(ctx, 0, func(p api.Picture) error {
				if p.Prediction != nil {
					t.Error("a prediction of a frame that was not inferred")
				}
				seen = append(seen, time.Since(start))
				return nil
			})
		}()
		synctest.Wait()
		for range 30 { // three seconds of frames that the motion gate holds back
			l.pass(jpegFrame(t))
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil || len(seen) != 2 || seen[0] != time.Second || seen[1] != 2*time.Second {
			t.Errorf("saw frames after %v, %v", seen, err)
		}
	})
}

// TestRateOfWatching: a source at 30 frames a second is seen at 10.
func TestRateOfWatching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l live
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		done := make(chan error)
		go func() {
			done <- l.watch(ctx, time.Second/10, func(api.Picture) error { n++; return nil })
		}()
		synctest.Wait()
		for range 300 {
			if s := l.take(jpegFrame(t)); s != nil {
				l.show(s)
			}
			synctest.Wait()
			time.Sleep(time.Second / 30)
		}
		cancel()
		if err := <-done; err != nil || n < 70 || n > 105 {
			t.Errorf("%d pictures in 10 s, %v", n, err)
		}
	})
}

func TestCameraThatGoesAway(t *testing.T) {
	var l live
	done := make(chan error)
	go func() { done <- l.watch(t.Context(), 0, func(api.Picture) error { return nil }) }()
	for l.count.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	l.close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := l.watch(t.Context(), 0, func(api.Picture) error { return nil }); err != nil {
		t.Error(err)
	}
}

// TestPictures: what browsers show as it is is handed on untouched; the rest is
// made anew.
func TestPictures(t *testing.T) {
	plain := jpegFrame(t)
	with := func(segment ...byte) *sensors.Frame { // behind SOI
		f := *plain
		f.Image.Data = append(append(append([]byte(nil), plain.Image.Data[:2]...), segment...), plain.Image.Data[2:]...)
		return &f
	}
	exif := with(0xff, 0xe1, 0, 8, 'E', 'x', 'i', 'f', 0, 0)
	png, err := os.ReadFile("../samples/classify/peacock.png")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		frame *sensors.Frame
		same  bool
	}{
		"plain":          {plain, true},
		"with a comment": {with(0xff, 0xfe, 0, 4, 'h', 'i'), true},
		"with metadata":  {exif, false},
		"with a place":   {with(0xff, 0xed, 0, 4, 'U', 'S'), false},
		"with colours":   {with(0xff, 0xee, 0, 4, 'A', 'd'), true},
		"raw":            {rgbFrame(), false},
		"PNG":            {&sensors.Frame{Image: pixel.Image{Format: pixel.PNG, Data: png}}, false},
	} {
		p, err := newShot(c.frame).encoded(new(darkroom))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := bytes.Equal(p.JPEG, c.frame.Image.Data); got != c.same {
			t.Errorf("%s: handed on as it is: %v", name, got)
		}
		if config, err := jpeg.DecodeConfig(bytes.NewReader(p.JPEG)); err != nil || config.Width != p.Width || config.Height != p.Height {
			t.Errorf("%s: %d×%d, is %+v, %v", name, p.Width, p.Height, config, err)
		}
	}
	if _, err := newShot(&sensors.Frame{Image: pixel.Image{Format: pixel.JPEG, Data: []byte("\xff\xd8\xff")}}).encoded(new(darkroom)); err == nil {
		t.Error("a torn frame became a picture")
	}
}

func FuzzPlainJPEG(f *testing.F) {
	f.Add(jpegFrame(f).Image.Data)
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x02"))
	f.Add([]byte("\xff\xd8\xff\xff\xff\xff"))
	f.Add([]byte("\xff\xd8\xff\xc4\x00\x00\xff\xda\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if plainJPEG(data) && !bytes.Contains(data, []byte{0xff, 0xc4}) {
			t.Error("no tables, and plain")
		}
	})
}

func TestRate(t *testing.T) {
	var r rate
	now := time.Hour
	if v := r.perSecond(now); v != 0 {
		t.Errorf("%v before the first", v)
	}
	for range 1000 {
		now += time.Second / 100
		r.add(now)
	}
	if v := r.perSecond(now); v < 99 || v > 103 {
		t.Errorf("%v of a hundred a second", v)
	}
	if v := r.perSecond(now + rateWindow + time.Second); v != 0 {
		t.Errorf("%v when there were none for long", v)
	}
	r = rate{}
	for range 10 {
		now += time.Second / 2
		r.add(now)
	}
	if v := r.perSecond(now); v != 2 {
		t.Errorf("%v of two a second", v)
	}
}

func TestDurations(t *testing.T) {
	var d durations
	for i := range 300 {
		d.add(time.Duration(i+1) * time.Millisecond)
		if i == 99 {
			if got := d.drain(); len(got) != 100 || got[0] != time.Millisecond {
				t.Errorf("%d times drained, the first %v", len(got), got[0])
			}
			if got := d.latest(); len(got) != 100 || got[0] != time.Millisecond || got[99] != 100*time.Millisecond {
				t.Errorf("latest %v", got)
			}
		}
	}
	if got := d.drain(); len(got) != 200 {
		t.Errorf("%d times drained, want 200", len(got))
	}
	if got := d.latest(); len(got) != 256 || got[0] != 45*time.Millisecond || got[255] != 300*time.Millisecond {
		t.Errorf("latest %v to %v", got[0], got[len(got)-1])
	}
	h := d.histogram()
	if len(h.Counts) != len(api.InvokeBounds) || h.Count != 300 || h.Sum != 45.15 {
		t.Errorf("histogram %+v", h)
	}
	for i, bound := range api.InvokeBounds {
		if want := min(300, uint64(bound*1000)); h.Counts[i] != want {
			t.Errorf("%d took at most %v s, want %d", h.Counts[i], bound, want)
		}
	}
}
