package sensors

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
)

// pattern is a test picture: a colour gradient with a white square that moves
// four pixels a frame. Frame n has the same bytes in every run.
type pattern struct {
	spec          string
	width, height int
	fps           float64
	frames        uint64 // 0: without end
}

func openPattern(rest string) (Source, error) {
	if rest != "" && rest[0] != '?' {
		return nil, fmt.Errorf("pattern takes no path: write pattern:?size=640x480&fps=10")
	}
	raw := ""
	if rest != "" {
		raw = rest[1:]
	}
	q, err := parseParams(raw, "size", "fps", "frames")
	if err != nil {
		return nil, err
	}
	p := &pattern{spec: "pattern:" + rest}
	if p.width, p.height, err = q.size(640, 480); err != nil {
		return nil, err
	}
	if p.fps, err = q.fps(10, true); err != nil {
		return nil, err
	}
	if s := q.values.Get("frames"); s != "" {
		if p.frames, err = strconv.ParseUint(s, 10, 63); err != nil {
			return nil, fmt.Errorf("frames is %q: want a whole number", s)
		}
	}
	return p, nil
}

func (p *pattern) String() string { return p.spec }

func (p *pattern) Run(ctx context.Context, emit func(*Frame)) error {
	f := Frame{Image: pixel.Image{Format: pixel.RGB24, Width: p.width, Height: p.height, Data: make([]byte, p.width*p.height*3)}}
	pace := newPace(p.fps)
	defer pace.stop()
	for n := uint64(1); p.frames == 0 || n <= p.frames; n++ {
		if err := pace.wait(ctx); err != nil {
			return err
		}
		p.paint(f.Image.Data, n)
		f.Seq, f.Time = n, time.Now()
		emit(&f)
	}
	return ErrEnd
}

// paint draws frame n.
func (p *pattern) paint(pix []byte, n uint64) {
	side := max(1, min(p.width, p.height)/4)
	left := int(n * 4 % uint64(p.width))
	i := 0
	for y := range p.height {
		for x := range p.width {
			if d := x - left; d >= 0 && d < side && y < side {
				pix[i], pix[i+1], pix[i+2] = 255, 255, 255
			} else {
				pix[i], pix[i+1], pix[i+2] = byte(x*255/p.width), byte(y*255/p.height), 128
			}
			i += 3
		}
	}
}

// pace lets frames through at a steady rate, the first after one interval.
type pace struct{ tick *time.Ticker }

func newPace(fps float64) *pace {
	if fps <= 0 {
		return &pace{}
	}
	t := time.NewTicker(interval(fps))
	return &pace{tick: t}
}

func (p *pace) wait(ctx context.Context) error {
	if p.tick == nil {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.tick.C:
		return ctx.Err()
	}
}

func (p *pace) stop() {
	if p.tick != nil {
		p.tick.Stop()
	}
}
