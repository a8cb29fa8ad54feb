package agent

import (
	"context"
	"fmt"
	"runtime"

	"github.com/egret-edge/egret/tflite"
)

// Sweep is what `egret bench` finds out about a model on this device.
type Sweep struct {
	Model   string        `json:"model"`
	Digest  string        `json:"digest"`
	Library string        `json:"library"`
	Cores   int           `json:"cores"`
	Runs    []ProbeReport `json:"runs"`
	// Auto is what `delegate: auto, threads: auto` would run it on; of
	// delegates that were named, the fastest, and empty when none works.
	Auto SweepChoice `json:"auto"`
}

// SweepChoice is a delegate and a number of threads.
type SweepChoice struct {
	Delegate  string  `json:"delegate"`
	Threads   int     `json:"threads"`
	InvokeP50 float64 `json:"invoke_ms_p50"`
}

// Measure tries the delegates, none meaning those of auto, with one thread and
// more, up to t.Cores, each in a process of its own, and chooses as auto does,
// these figures being its first round. t's memory is not used.
func Measure(ctx context.Context, t Tuner, b *tflite.Bundle, delegates []string) (Sweep, error) {
	s := Sweep{Model: b.Name, Digest: b.Digest, Library: tflite.Version(), Cores: runtime.GOMAXPROCS(0)}
	if len(delegates) == 0 {
		delegates = Candidates()
	}
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
		name := fmt.Sprint(req.Delegate, req.Threads)
		if r, ok := known[name]; ok {
			delete(known, name) // the next round is another measurement
			return r
		}
		return probe(ctx, req)
	}
	best, ok := t.sweep(ctx, &Choice{}, b, delegates, 0)
	if ok {
		s.Auto = SweepChoice{Delegate: best.Spec, Threads: best.Threads, InvokeP50: best.InvokeP50}
	}
	return s, ctx.Err()
}
