package agent

import (
	"encoding/binary"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors/pixel"
)

// gate is a camera's motion gate: it holds frames back that look like the last
// one that was let through. Its zero value lets everything through.
//
// Frames are compared as the model sees them, by the mean green of a grid of
// cells: single pixels' noise averages out, and a person at the far end of a
// street still fills one cell by a fifth.
type gate struct {
	skipped atomic.Uint64

	mu     sync.Mutex // guards all following fields
	cfg    configs.Motion
	passed time.Time // when a frame was last let through
	last   grid
	now    grid
}

// gridSide is the number of cells along each side.
const gridSide = 16

// grid is the mean brightness of each cell, 0 to 1.
type grid [gridSide * gridSide]float32

// set changes the settings; the next frame is let through.
func (g *gate) set(cfg configs.Motion) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cfg, g.passed = cfg, time.Time{}
}

// forget has the next frame let through: the last one gave no prediction.
func (g *gate) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passed = time.Time{}
}

// open tells whether the frame that was captured at the time and made into the
// tensor is worth an Invoke.
func (g *gate) open(at time.Time, target *pixel.Target, view pixel.View, tensor []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.cfg.Enabled {
		return true
	}
	g.now.measure(target, tensor)
	silence := time.Duration(g.cfg.MaxSilence)
	due := g.passed.IsZero() || silence > 0 && at.Sub(g.passed) >= silence
	if !due && g.change(view) < float32(g.cfg.Threshold) {
		g.skipped.Add(1)
		return false
	}
	g.passed, g.last = at, g.now
	return true
}

// change is the largest change of a cell that no mask covers.
func (g *gate) change(view pixel.View) (most float32) {
	for i := range g.now {
		d := g.now[i] - g.last[i]
		if d = max(d, -d); d > most && !g.masked(i, view) {
			most = d
		}
	}
	return most
}

// masked tells whether a cell touches a mask, which is given in the frame's
// coordinates.
func (g *gate) masked(cell int, view pixel.View) bool {
	x, y := float32(cell%gridSide)/gridSide, float32(cell/gridSide)/gridSide
	b := view.Frame([4]float32{x, y, x + 1./gridSide, y + 1./gridSide})
	for _, m := range g.cfg.Masks {
		if len(m) == 4 && float64(b[0]) < m[2] && float64(b[2]) > m[0] && float64(b[1]) < m[3] && float64(b[3]) > m[1] {
			return true
		}
	}
	return false
}

// measure takes the mean of the tensor's green values, back from how the
// model's input encodes them.
func (g *grid) measure(t *pixel.Target, tensor []byte) {
	var value [256]float32 // of a byte
	size := t.Encoding.Size()
	black, white := encoded(t.Encoding, 0), encoded(t.Encoding, 255)
	scale := 1 / (white - black)
	if size == 1 {
		for i := range value {
			v := float32(i)
			if t.Encoding.Bytes == nil {
				v = float32(byte(i) ^ t.Encoding.Flip)
			} else if black < 0 { // int8
				v = float32(int8(i))
			}
			value[i] = (v - black) * scale
		}
	}
	for cell := range g {
		x0, x1 := span(cell%gridSide, t.Width)
		y0, y1 := span(cell/gridSide, t.Height)
		sum, n := float32(0), 0
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				at := (3*(y*t.Width+x) + 1) * size
				if size == 1 {
					sum += value[tensor[at]]
				} else {
					sum += (math.Float32frombits(binary.NativeEndian.Uint32(tensor[at:])) - black) * scale
				}
				n++
			}
		}
		g[cell] = sum / float32(max(n, 1))
	}
}

// span is the pixels of cell i along a side of n pixels; a picture with fewer
// pixels than cells repeats them.
func span(i, n int) (from, to int) {
	from = i * n / gridSide
	return from, max((i+1)*n/gridSide, from+1)
}

// encoded is the tensor's value of a green pixel. A plain or flipped byte is
// taken back before, so it is the pixel itself.
func encoded(e pixel.Encoding, p byte) float32 {
	switch {
	case e.Floats != nil:
		return e.Floats[1][p]
	case e.Bytes == nil:
		return float32(p)
	case int8(e.Bytes[1][0]) < int8(e.Bytes[1][255]) && e.Bytes[1][0] > e.Bytes[1][255]:
		return float32(int8(e.Bytes[1][p]))
	}
	return float32(e.Bytes[1][p])
}
