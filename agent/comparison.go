package agent

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

// Side is one of two models that are compared, and what it runs on.
type Side struct {
	Bundle   *tflite.Bundle
	Delegate string
	Threads  int
}

// Comparing is what Compare is asked.
type Comparing struct {
	Original, Converted Side
	// Pictures are files. With Drawings, or when there are none, egret's own
	// drawings come behind them. Each is shown as it is and in variations (crops,
	// mirrored, other brightness, noise) until there are Inputs in all.
	Pictures []string
	Drawings bool
	Inputs   int
	// Budget ends it early once there are Least inputs; 0 does not.
	Budget time.Duration
	Least  int
	// Timeout bounds each answer, and the start of each process.
	Timeout time.Duration
	// Watch is called after each input; may be nil.
	Watch func()
}

// Comparison is how a converted model does beside its original. The two run in
// processes of their own and see each input one after the other, so that their
// times compare on a machine whose speed changes.
type Comparison struct {
	Original  CompareSide `json:"original"`
	Converted CompareSide `json:"converted"`
	// Speedup is the original's median Invoke as a multiple of the converted's.
	Speedup  float64 `json:"speedup"`
	Pictures int     `json:"pictures"`
	Drawn    int     `json:"drawn"`  // of them, egret's own drawings
	Failed   int     `json:"failed"` // pictures that could not be read
	Inputs   int     `json:"inputs"`
	Agreement
}

// CompareSide is one model's part.
type CompareSide struct {
	Digest    string  `json:"digest"`
	SizeBytes int64   `json:"size_bytes"`
	Delegate  string  `json:"delegate"`
	Threads   int     `json:"threads"`
	Operators int     `json:"operators,omitempty"`
	Delegated int     `json:"delegated,omitempty"`
	InvokeP50 float64 `json:"invoke_ms_p50"`
	InvokeP95 float64 `json:"invoke_ms_p95"`
	Memory    uint64  `json:"memory_bytes"` // the process's most

	process *companion
	times   []time.Duration
}

// varied is how many pictures are held at once.
const varied = 8

// Compare shows both models the same inputs.
func Compare(ctx context.Context, req Comparing) (c Comparison, err error) {
	pictures := req.pictures()
	sides := []*CompareSide{&c.Original, &c.Converted}
	for i, s := range []Side{req.Original, req.Converted} {
		if err := sides[i].start(ctx, s, req.Timeout); err != nil {
			return c, err
		}
		defer sides[i].process.close()
	}
	c.Pictures, c.Drawn = len(pictures), len(pictures)-len(req.Pictures)
	var tally agreementTally
	began := time.Now()
	enough := func() bool { return req.Budget > 0 && c.Inputs >= req.Least && time.Since(began) > req.Budget }
	// A few at a time, each in turn: their memory is bounded, and those that
	// are compared when the time is up are of several.
	for first := 0; first < len(pictures) && !enough(); first += varied {
		some := pictures[first:min(first+varied, len(pictures))]
		shown := make([]*variations, len(some))
		for i, open := range some {
			if shown[i], err = open(uint64(first + i)); err != nil {
				c.Failed++
				shown[i] = nil
			}
		}
		for k := range (req.Inputs + len(pictures) - 1) / len(pictures) {
			for i, v := range shown {
				// The first pictures take what does not divide evenly.
				n := (req.Inputs + len(pictures) - 1 - first - i) / len(pictures)
				if v == nil || k >= max(n, 1) || enough() {
					continue
				}
				answers, err := c.show(ctx, v.next(k))
				if err != nil {
					return c, err
				}
				tally.add(answers[0].Results, answers[1].Results)
				c.Inputs++
				if req.Watch != nil {
					req.Watch()
				}
			}
		}
	}
	if c.Inputs == 0 {
		return c, fmt.Errorf("none of %d pictures could be read", c.Pictures)
	}
	for _, s := range sides {
		slices.Sort(s.times)
		s.InvokeP50, s.InvokeP95 = percentile(s.times, 0.5)/1e3, percentile(s.times, 0.95)/1e3
	}
	c.Speedup = c.Original.InvokeP50 / c.Converted.InvokeP50
	c.Agreement = tally.sum()
	return c, nil
}

// pictures open the variations of one picture each, which the seed decides.
func (req Comparing) pictures() (all []func(seed uint64) (*variations, error)) {
	for _, file := range req.Pictures {
		all = append(all, func(seed uint64) (*variations, error) { return newVariations(file, seed) })
	}
	if len(all) == 0 || req.Drawings {
		for _, at := range drawings {
			all = append(all, func(seed uint64) (*variations, error) { return variationsOf(draw(at), seed) })
		}
	}
	return all
}

func (s *CompareSide) start(ctx context.Context, side Side, timeout time.Duration) (err error) {
	none := 0.0
	req := ProbeRequest{
		Model: side.Bundle.Path(), Delegate: side.Delegate, Threads: side.Threads,
		// A hundred results: what comes behind them has no score to speak of.
		TopK: 100, Threshold: &none, Runs: 3,
	}
	if side.Bundle.Converted != "" {
		req.Converted, req.File = side.Bundle.Converted, side.Bundle.ModelPath
	}
	s.process, err = startCompanion(ctx, req, timeout)
	if err != nil {
		return fmt.Errorf("model %s: %w", side.Bundle.ModelPath, err)
	}
	r := s.process.report
	if !r.OK {
		s.process.close()
		return fmt.Errorf("model %s: %s", side.Bundle.ModelPath, r.Reason)
	}
	s.Digest, s.Delegate, s.Threads, s.Operators, s.Delegated = side.Bundle.Digest, r.Delegate, r.Threads, r.Operators, r.Delegated
	if file, err := os.Stat(side.Bundle.ModelPath); err == nil {
		s.SizeBytes = file.Size()
	}
	return nil
}

// show has both look at an input.
func (c *Comparison) show(ctx context.Context, img pixel.Image) (answers [2]frameAnswer, err error) {
	for i, s := range []*CompareSide{&c.Original, &c.Converted} {
		if answers[i], err = s.process.answer(ctx, img); err != nil {
			return answers, err
		}
		s.times = append(s.times, time.Duration(answers[i].InvokeUs*1e3))
		s.Memory = max(s.Memory, answers[i].Memory)
	}
	return answers, nil
}
