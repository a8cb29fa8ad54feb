package agent

import (
	"context"
	"errors"
	"runtime"
	"slices"

	"github.com/egret-edge/egret/tflite"
)

// Sweep is what `egret bench` finds out about a model on this device.
type Sweep struct {
	Model   string        `json:"model"`
	Digest  string        `json:"digest"`
	Library string        `json:"library"`
	Cores   int           `json:"cores"`
	Runs    []ProbeReport `json:"runs"`
	// Refused says why a conversion that was timed is not chosen.
	Refused []string `json:"refused,omitempty"`
	// Auto is what `delegate: auto, threads: auto` would run it on; of
	// delegates that were named, the fastest, and empty when none works.
	Auto SweepChoice `json:"auto"`
}

// SweepChoice is a delegate and a number of threads.
type SweepChoice struct {
	Delegate string `json:"delegate"`
	Threads  int    `json:"threads"`
	// Converted is the type that the model is converted to; empty: it runs as
	// it is.
	Converted string  `json:"converted,omitempty"`
	InvokeP50 float64 `json:"invoke_ms_p50"`
}

// Measure tries the delegates, none meaning those of auto, with one thread and
// more, up to t.Cores, each in a process of its own, and with t.Converter the
// model's conversions too; it chooses as auto does, these figures being its first
// round. t's memory is not used.
func Measure(ctx context.Context, t Tuner, b *tflite.Bundle, delegates []string) (Sweep, error) {
	s := Sweep{Model: b.Name, Digest: b.Digest, Library: tflite.Version(), Cores: runtime.GOMAXPROCS(0)}
	if len(delegates) == 0 {
		delegates = Candidates()
	}
	known := map[way]ProbeReport{}
	note := func(r ProbeReport) {
		s.Runs = append(s.Runs, r)
		if t.Watch != nil {
			t.Watch(r)
		}
	}
	try := func(w way) error {
		for _, w.threads = range threadCounts(0, t.Cores) {
			req := t.request(b, w)
			req.Budget = 0 // a longer look than the agent's
			r := t.Probe(ctx, req)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			known[w] = r
			if note(r); !r.OK {
				break
			}
		}
		return nil
	}
	for _, d := range delegates {
		if err := try(way{delegate: d}); err != nil {
			return s, err
		}
	}
	if t.Converter != nil && slices.Contains(delegates, tflite.XNNPACK) {
		for _, to := range []string{ToInt8, ToFloat32} {
			_, err := t.make(ctx, b, to)
			if errors.Is(err, errNeedless) {
				break
			} else if err != nil && ctx.Err() == nil {
				note(ProbeReport{Spec: tflite.XNNPACK, Threads: 1, Converted: to, Reason: err.Error()})
				continue
			}
			if err := try(way{delegate: tflite.XNNPACK, converted: to}); err != nil {
				return s, err
			}
		}
	}
	probe := t.Probe
	t.Memory, t.Watch = nil, nil
	t.Probe = func(ctx context.Context, req ProbeRequest) ProbeReport {
		w := way{delegate: req.Delegate, threads: req.Threads, converted: req.Converted}
		if r, ok := known[w]; ok {
			delete(known, w) // the next round is another measurement
			return r
		}
		return probe(ctx, req)
	}
	var c Choice
	best, ok := t.sweep(ctx, &c, b, delegates, 0)
	if s.Refused = c.Refused; ok {
		s.Auto = SweepChoice{Delegate: best.Spec, Threads: best.Threads, Converted: best.Converted, InvokeP50: best.InvokeP50}
	}
	return s, ctx.Err()
}
