package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/egret-edge/egret/internal/chart"
)

// draw makes the plot: what was measured all the time as a line, the calm windows
// as points.
func (r *result) draw(path string) (err error) {
	panels := []chart.Panel{
		r.panel("resident memory, MiB", "rss", mib), r.windowPanel("live heap, MiB", "heap", mib),
		r.panel("goroutines", "goroutines", 1), r.panel("file descriptors", "fds", 1),
		r.panel("threads", "threads", 1), r.panel("state folder, MiB", "state_bytes", mib),
		r.panel("predictions waiting on disk", "stored", 1), r.rate("predictions a second", "produced", 1),
		r.rate("frames a second", "captured", 1), r.rate("to the flash, KiB a second", "flash_written", 1<<10),
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	title := fmt.Sprintf("%.0f minutes of faults: %d of them, and %d reloads, after the warm-up", r.Seconds/60, total(r.Faults, ""), total(r.Reloads, ""))
	return chart.Panels(f, title, "minutes; grey: the warm-up; points: calm windows, which are what is judged", r.Warmup/60, panels)
}

func (r *result) windowPanel(title, series string, scale float64) chart.Panel {
	p := chart.Panel{Title: title}
	for _, w := range r.Windows {
		p.Dots = append(p.Dots, chart.XY{X: w.At / 60, Y: w.Values[series] / scale})
	}
	return p
}

func (r *result) panel(title, series string, scale float64) chart.Panel {
	p := r.windowPanel(title, series, scale)
	for _, s := range r.Samples {
		p.Line = append(p.Line, chart.XY{X: s.At / 60, Y: s.Values[series] / scale})
	}
	return p
}

// rate is how fast a counter grows, over some samples; a camera that is removed takes its frames with it.
func (r *result) rate(title, series string, scale float64) chart.Panel {
	p := chart.Panel{Title: title}
	const over = 6
	for i := over; i < len(r.Samples); i++ {
		a, b := r.Samples[i-over], r.Samples[i]
		if b.At > a.At {
			p.Line = append(p.Line, chart.XY{X: b.At / 60, Y: max(0, b.Values[series]-a.Values[series]) / (b.At - a.At) / scale})
		}
	}
	return p
}
