package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/tflite"
)

// bench is the measurement of one model, or of delivery.
type bench struct {
	options
	bundle  *tflite.Bundle
	suffix  string // of the results' names
	choice  agent.Choice
	results []result
}

// measure takes all figures of one model. Those of the first have the plain
// names; the whole agent is measured with it only.
func measure(ctx context.Context, o options, path string, first bool) ([]result, error) {
	b, err := tflite.OpenBundle(path)
	if err != nil {
		return nil, err
	}
	m := &bench{options: o, bundle: b}
	if !first {
		m.suffix = "@" + b.Name
	}
	if o.dir, err = os.MkdirTemp(o.dir, "model-"); err != nil {
		return nil, err
	}
	m.options = o
	steps := []func(context.Context) error{m.auto, m.overhead, m.allocs, m.peer}
	if first {
		steps = append(steps, m.whole)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return m.results, nil
}

// add notes a result; atMost tells on which side of the budget it shall be.
func (m *bench) add(name string, value float64, unit string, budget *float64, atMost bool) {
	ok := budget == nil || atMost && value <= *budget || !atMost && value >= *budget
	m.results = append(m.results, result{Name: name + m.suffix, Value: value, Unit: unit, Budget: budget, OK: ok})
	fmt.Printf("  %-60s %8.3f %s\n", name+m.suffix, value, unit)
}

func budget(v float64) *float64 { return &v }

// auto has the agent choose, and then measures every choice there is, in
// turns.
func (m *bench) auto(ctx context.Context) (err error) {
	probe := agent.Prober{Program: m.egret}.Probe
	cores := runtime.GOMAXPROCS(0)
	if m.choice, err = (&agent.Tuner{Probe: probe, Cores: cores}).Choose(ctx, m.bundle, []string{"auto"}, 0); err != nil {
		return err
	}
	fmt.Printf("%s: auto chose %s with %d threads (%s)\n", m.bundle.Name, m.choice.Delegate, m.choice.Threads, m.choice.Summary())
	// In each round all are measured one after the other and compared with the
	// chosen one: from round to round the machine may change its speed.
	ratios := map[string][]float64{}
	chosen := key(m.choice.Delegate, m.choice.Threads)
	for range 7 {
		times := map[string]float64{}
		for _, d := range agent.Candidates() {
			for n := 1; n <= cores; n++ {
				if r := probe(ctx, agent.ProbeRequest{Model: m.bundle.Path(), Delegate: d, Threads: n, Budget: turn}); r.OK {
					times[key(d, n)] = r.InvokeP50
				}
			}
		}
		for k, t := range times {
			ratios[k] = append(ratios[k], t/times[chosen])
		}
	}
	best := 1.0
	for _, r := range ratios {
		best = min(best, median(r))
	}
	m.add("auto_over_best", best, "speed ratio", budget(0.95), false)
	if m.choice.Threads > 1 {
		m.add("auto_threads_over_one", median(ratios[key(m.choice.Delegate, 1)]), "speed ratio", budget(1), false)
	}
	return nil
}

func key(delegate string, threads int) string { return delegate + "×" + strconv.Itoa(threads) }

// overhead is what a frame costs beyond its Invoke, on the chosen delegate with
// one thread: with more threads than that there is no core left to decode on
// while the model runs.
func (m *bench) overhead(ctx context.Context) error {
	raw, err := m.startRaw(ctx, 1)
	if err != nil {
		return err
	}
	defer raw.end()
	h, err := m.harness(1)
	if err != nil {
		return err
	}
	defer h.Close()
	one, err := raw.run(3)
	if err != nil {
		return err
	}
	n := max(3, int(turn/one))
	h.Pipelined(m.frame, 1)
	if err := h.Drain(); err != nil {
		return err
	}
	var serial, pipelined []float64
	for range 14 {
		s, err := m.against(raw, n, h, func() time.Duration { return serially(h, m, n) })
		if err != nil {
			return err
		}
		p, err := m.against(raw, n, h, func() time.Duration { return h.Pipelined(m.frame, n) })
		if err != nil {
			return err
		}
		serial, pipelined = append(serial, s), append(pipelined, p)
	}
	budgets := [2]float64{1.06, 1.03}
	if m.choice.Delegate == tflite.XNNPACK {
		budgets = [2]float64{1.18, 1.05}
	}
	m.add("overhead_serial_640", median(serial), "× Invoke", &budgets[0], true)
	m.add("overhead_pipelined_640", median(pipelined), "× Invoke", &budgets[1], true)
	m.add("throughput_over_invoke", 1/median(pipelined), "× 1/Invoke", budget(0.97), false)
	return nil
}

func serially(h *agent.Harness, m *bench, n int) time.Duration {
	start := time.Now()
	for range n {
		h.Serial(m.frame)
	}
	return time.Since(start)
}

// against measures work on n frames between two turns of the baseline, and is
// the ratio to their mean.
func (m *bench) against(raw *process, n int, h *agent.Harness, work func() time.Duration) (float64, error) {
	before, err := raw.run(n)
	if err != nil {
		return 0, err
	}
	took := work() / time.Duration(n)
	if err := h.Drain(); err != nil {
		return 0, err
	}
	after, err := raw.run(n)
	return float64(took) / (float64(before+after) / 2), err
}

// allocs counts Go's allocations on the steady path.
func (m *bench) allocs(context.Context) error {
	h, err := m.harness(1)
	if err != nil {
		return err
	}
	defer h.Close()
	serially(h, m, 5)
	const n = 30
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	serially(h, m, n)
	runtime.ReadMemStats(&after)
	// Whole ones per frame, as testing.AllocsPerRun counts: the outbox takes
	// memory for its records a hundred at a time.
	m.add("allocs_per_frame", float64((after.Mallocs-before.Mallocs)/n), "allocations", budget(0), true)
	return nil
}

// peer measures the naive loop against egret as it would run by itself.
func (m *bench) peer(ctx context.Context) error {
	naive, err := start(ctx, m.naive, m.bundle.ModelPath, filepath.Join(filepath.Dir(m.dir), "frame.jpg"))
	if err != nil {
		return err
	}
	defer naive.end()
	h, err := m.harness(m.choice.Threads)
	if err != nil {
		return err
	}
	defer h.Close()
	h.Pipelined(m.frame, 3)
	one, err := naive.run(1)
	if err != nil {
		return err
	}
	n := max(2, int(turn/one))
	var ratios []float64
	for range 8 {
		before, err := naive.run(n)
		if err != nil {
			return err
		}
		took := h.Pipelined(m.frame, 2*n) / time.Duration(2*n)
		if err := h.Drain(); err != nil {
			return err
		}
		ratios = append(ratios, float64(before)/float64(took))
	}
	m.add("naive_over_egret", median(ratios), "time ratio", nil, false)
	return nil
}

func (m *bench) harness(threads int) (*agent.Harness, error) {
	dir, err := os.MkdirTemp(m.dir, "harness-")
	if err != nil {
		return nil, err
	}
	return agent.NewHarness(m.bundle, tflite.Options{Delegate: m.choice.Delegate, Threads: threads}, dir)
}

func (m *bench) startRaw(ctx context.Context, threads int) (*process, error) {
	return start(ctx, m.raw, m.bundle.ModelPath, m.choice.Delegate, strconv.Itoa(threads))
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// quantile is the value below which the share q of v lies.
func quantile(v []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}
