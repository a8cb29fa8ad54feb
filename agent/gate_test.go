package agent

import (
	"testing"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors/pixel"
)

// scene is a grey frame with a square of another brightness.
func scene(background, square byte, x0, y0, x1, y1 int) pixel.Image {
	const side = 64
	img := pixel.Image{Format: pixel.RGB24, Width: side, Height: side, Data: make([]byte, side*side*3)}
	for y := range side {
		for x := range side {
			v := background
			if x >= x0 && x < x1 && y >= y0 && y < y1 {
				v = square
			}
			for c := range 3 {
				img.Data[3*(y*side+x)+c] = v
			}
		}
	}
	return img
}

// encodings are the ways in which a tensor may hold the same picture.
func encodings() map[string]pixel.Encoding {
	floats, inverse, signed := new([3][256]float32), new([3][256]byte), new([3][256]byte)
	for c := range 3 {
		for p := range 256 {
			floats[c][p] = float32(p)/127.5 - 1
			inverse[c][p] = byte(200 - p/2)
			signed[c][p] = byte(int8(p/2 - 64))
		}
	}
	return map[string]pixel.Encoding{"uint8": {}, "int8": {Flip: 0x80}, "float": {Floats: floats}, "inverse": {Bytes: inverse}, "signed table": {Bytes: signed}}
}

func TestMotionGate(t *testing.T) {
	const s = time.Second
	still, far := scene(100, 100, 0, 0, 0, 0), scene(100, 200, 40, 40, 48, 48)
	clock := scene(100, 255, 0, 0, 16, 8)
	frames := []struct {
		at   time.Duration
		img  pixel.Image
		open bool
	}{
		{0, still, true}, // nothing to compare with
		{s, still, false},
		{2 * s, scene(104, 104, 0, 0, 0, 0), false}, // less than the threshold
		{3 * s, far, true},
		{4 * s, far, false},
		{5 * s, still, true},                        // it left
		{6 * s, clock, false},                       // under the mask
		{14 * s, clock, false},                      // nine seconds of silence
		{15 * s, clock, true},                       // ten
		{16 * s, scene(140, 140, 0, 0, 0, 0), true}, // the light went on
	}
	for name, e := range encodings() {
		t.Run(name, func(t *testing.T) {
			var g gate
			g.set(configs.Motion{Enabled: true, Threshold: 0.06, MaxSilence: configs.Duration(10 * s), Masks: [][]float64{{0, 0, 0.3, 0.15}}})
			target := pixel.Target{Width: 48, Height: 48, Encoding: e}
			tensor := make([]byte, target.Bytes())
			var scaler pixel.Scaler
			defer scaler.Close()
			skipped := uint64(0)
			for i, f := range frames {
				view, err := scaler.Tensor(tensor, &target, f.img)
				if err != nil {
					t.Fatal(err)
				}
				if got := g.open(time.Unix(1000, 0).Add(f.at), &target, view, tensor); got != f.open {
					t.Errorf("frame %d: open %v, want %v", i, got, f.open)
				}
				if !f.open {
					skipped++
				}
			}
			if g.skipped.Load() != skipped {
				t.Errorf("counted %d, want %d", g.skipped.Load(), skipped)
			}
		})
	}
}

func TestMotionGateOff(t *testing.T) {
	var g gate
	target := pixel.Target{Width: 1, Height: 1}
	for range 3 {
		if !g.open(time.Now(), &target, pixel.View{X1: 1, Y1: 1}, make([]byte, 3)) {
			t.Fatal("a gate that is off held a frame back")
		}
	}
	g.set(configs.Motion{Enabled: true, Threshold: 0.5}) // max_silence 0: never
	open := 0
	for i := range 3 {
		if g.open(time.Unix(int64(i*1e6), 0), &target, pixel.View{X1: 1, Y1: 1}, make([]byte, 3)) {
			open++
		}
	}
	if open != 1 {
		t.Errorf("%d of 3 still frames let through, want the first", open)
	}
}

// A frame that gave no prediction was not seen: the next one like it is.
func TestMotionGateForgets(t *testing.T) {
	g := gate{cfg: configs.Motion{Enabled: true, Threshold: 0.5}}
	target := pixel.Target{Width: 1, Height: 1}
	open := func() bool { return g.open(time.Now(), &target, pixel.View{X1: 1, Y1: 1}, make([]byte, 3)) }
	if !open() || open() {
		t.Fatal("want the first frame let through, and not the second")
	}
	g.forget()
	if !open() || open() {
		t.Error("want one more let through after a failure")
	}
}

// TestPaceRaised: a faster rate holds at once, however long the slower one
// would have waited.
func TestPaceRaised(t *testing.T) {
	var p pace
	p.limit(0.01)
	now := time.Now()
	if !p.admit(now) || p.admit(now.Add(time.Second)) {
		t.Fatal("the slow rate does not hold")
	}
	p.limit(10)
	admitted := 0
	for i := range 100 {
		if p.admit(now.Add(2*time.Second + time.Duration(i)*20*time.Millisecond)) {
			admitted++
		}
	}
	if admitted < 19 || admitted > 21 {
		t.Errorf("%d frames in 2 s, want 20", admitted)
	}
}

func TestPace(t *testing.T) {
	for _, tt := range []struct {
		name        string
		fps, camera float64
		frames      int
		least, most int
	}{
		{"no limit", 0, 30, 300, 300, 300},
		{"a third", 10, 30, 300, 98, 102},
		{"no divisor", 12, 30, 300, 118, 122},
		{"a slower camera", 15, 5, 50, 50, 50},
		{"the same rate", 15, 15, 150, 149, 150},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p pace
			p.limit(tt.fps)
			admitted, start := 0, time.Now()
			for i := range tt.frames {
				jitter := time.Duration(i%3-1) * time.Millisecond
				if p.admit(start.Add(time.Duration(float64(i)/tt.camera*1e9) + jitter)) {
					admitted++
				}
			}
			if admitted < tt.least || admitted > tt.most || int(p.skipped.Load()) != tt.frames-admitted {
				t.Errorf("admitted %d and skipped %d of %d, want %d to %d", admitted, p.skipped.Load(), tt.frames, tt.least, tt.most)
			}
		})
	}
}

func TestGovernor(t *testing.T) {
	const s = time.Second
	at := func(c float64) *float64 { return &c }
	yes, no := true, false
	g := &governor{cfg: configs.Governor{SlowAt: 75, Hysteresis: 5}, log: quiet}
	start := time.Now()
	for i, tt := range []struct {
		at        time.Duration
		celsius   *float64
		throttled *bool
		want      int32
	}{
		{0, at(60), &no, 100},
		{2 * s, at(75), &no, 75},   // slower at once
		{4 * s, at(80), &no, 75},   // heat needs time to show
		{12 * s, at(80), &no, 50},  // still hot
		{20 * s, at(73), &no, 50},  // between the two limits nothing changes
		{200 * s, at(73), &no, 50}, // however long
		{202 * s, at(69), &no, 75}, // cool, and the level has lasted
		{204 * s, at(69), &no, 75},
		{240 * s, at(69), &no, 100},
		{300 * s, at(50), &yes, 75}, // the board throttles: voltage, say
		{302 * s, nil, nil, 75},
		{400 * s, nil, nil, 100}, // no sensors, nothing known
	} {
		if got := g.step(start.Add(tt.at), tt.celsius, tt.throttled); got != tt.want {
			t.Errorf("step %d: duty %d, want %d", i, got, tt.want)
		}
	}
	for range 100 { // as slow as it gets
		start = start.Add(time.Minute)
		g.step(start.Add(400*s), at(99), &yes)
	}
	if got := duties[g.level]; got != duties[len(duties)-1] {
		t.Errorf("duty %d after an hour of heat", got)
	}
}
