package agent

import (
	"context"
	"fmt"

	"github.com/egret-edge/egret/tflite"
)

// Sweep is what `egret bench` finds out about a model on this device.
type Sweep struct {
	Model   string        `json:"model"`
	Digest  string        `json:"digest"`
	Library string        `json:"library"`
	Cores   int           `json:"cores"`
	Runs    []ProbeReport `json:"runs"`
	// Auto is what `delegate: auto, threads: auto` would run it on.
	Auto SweepChoice `json:"auto"`
}

// SweepChoice is a delegate and a number of threads.
type SweepChoice struct {
	Delegate  string  `json:"delegate"`
	Threads   int     `json:"threads"`
	InvokeP50 float64 `json:"invoke_ms_p50"`
}

// Measure tries every delegate with one thread and more, up to t.Cores, each in
// a process of its own, and has auto choose from the same figures. t's memory
// is not used.
func Measure(ctx context.Context, t Tuner, b *tflite.Bundle, delegates []string) (Sweep, error) {
	s := Sweep{Model: b.Name, Digest: b.Digest, Library: tflite.Version(), Cores: t.Cores}
	known := map[string]ProbeReport{}
	for _, d := range delegates {
		for _, n := range threadCounts(0, t.Cores) {
			r := t.Probe(ctx, ProbeRequest{Model: b.Path(), Delegate: d, Threads: n})
			if ctx.Err() != nil {
				return s, ctx.Err()
			}
			s.Runs = append(s.Runs, r)
			known[fmt.Sprint(d, n)] = r
			if t.Watch != nil {
				t.Watch(r)
			}
			if !r.OK {
				break
			}
		}
	}
	probe := t.Probe
	t.Memory, t.Watch = nil, nil
	t.Probe = func(ctx context.Context, req ProbeRequest) ProbeReport {
		if r, ok := known[fmt.Sprint(req.Delegate, req.Threads)]; ok {
			return r
		}
		return probe(ctx, req)
	}
	c, err := t.Choose(ctx, b, []string{auto}, 0)
	if err != nil {
		return s, err
	}
	s.Auto = SweepChoice{Delegate: c.Delegate, Threads: c.Threads, InvokeP50: c.Report.InvokeP50}
	return s, nil
}
