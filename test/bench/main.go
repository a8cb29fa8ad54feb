// Command bench measures egret against what its parts take by themselves, and
// against the loop that one writes first. Each figure is a ratio or difference
// to a baseline of the same run, in turns of a second or less: machines are
// shared and change their speed from minute to minute.
//
// It is run by `make bench`; docs/PERFORMANCE.md explains the figures.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/egret-edge/egret/agent"
)

// result is one line of bench/results.json.
type result struct {
	Name   string   `json:"name"`
	Value  float64  `json:"value"`
	Unit   string   `json:"unit"`
	Budget *float64 `json:"budget"` // nil: no budget, for information
	OK     bool     `json:"ok"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	do := asChild()
	if len(os.Args) > 1 && os.Args[1] == "probe" { // the agent tries models with its own program
		do = func(context.Context) error { return agent.ServeProbe(os.Stdin, os.Stdout) }
	}
	if do == nil {
		do = run
	}
	if err := do(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o options
	flag.StringVar(&o.raw, "raw", "", "the compiled baseline")
	flag.StringVar(&o.naive, "naive", "", "the compiled peer")
	flag.StringVar(&o.egret, "egret", "bin/egret", "the program")
	flag.StringVar(&o.out, "out", "bench/results.json", "where the results go")
	flag.StringVar(&o.more, "models", "", "folder with a bundle, or with several, to measure besides the default ones")
	flag.StringVar(&o.only, "only", "", "measure nothing but this: models, delivery, updates, api or convert")
	flag.Parse()
	if !slices.Contains([]string{"", "models", "delivery", "updates", "api", "convert"}, o.only) {
		return fmt.Errorf("-only %s: there is models, delivery, updates, api and convert", o.only)
	}
	dir, err := os.MkdirTemp("", "egret-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o.dir = dir
	fmt.Printf("%d cores, %s/%s\n", runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH)
	var results []result
	for _, part := range []struct {
		name string
		run  func(context.Context, options) ([]result, error)
	}{{"models", models}, {"delivery", delivery}, {"updates", updates}, {"api", api}, {"convert", conversions}} {
		if o.only != "" && o.only != part.name {
			continue
		}
		rs, err := part.run(ctx, o)
		if err != nil {
			return err
		}
		results = append(results, rs...)
	}
	return report(o.out, results)
}

// models takes the figures of the models.
func models(ctx context.Context, o options) ([]result, error) {
	// The default models come first: their figures have the plain names.
	bundles := []string{"models/mobilenet_v1_1.0_224_quant", "models/ssd_mobilenet_v1_quant"}
	more, err := bundlesIn(o.more)
	if err != nil {
		return nil, err
	}
	if o.frame, err = frame640(filepath.Join(o.dir, "frame.jpg")); err != nil {
		return nil, err
	}
	generated, err := smallBundle(o.dir)
	if err != nil {
		return nil, err
	}
	bundles = append(append(bundles, generated), more...)
	var results []result
	for i, path := range bundles {
		rs, err := measure(ctx, o, path, i == 0)
		if err != nil {
			return nil, fmt.Errorf("model %s: %w", path, err)
		}
		results = append(results, rs...)
	}
	return results, nil
}

// report prints the table and writes the file. A budget that is not met is no
// error of the measurement: the table says so, and the exit code is 0.
func report(path string, results []result) error {
	fmt.Printf("\n%-62s %10s  %-14s %10s\n", "NAME", "VALUE", "UNIT", "BUDGET")
	for _, r := range results {
		budget, verdict := "", ""
		if r.Budget != nil {
			budget = fmt.Sprintf("%.2f", *r.Budget)
			if verdict = "ok"; !r.OK {
				verdict = "OVER"
			}
		}
		fmt.Printf("%-62s %10.3f  %-14s %10s %s\n", r.Name, r.Value, r.Unit, budget, verdict)
	}
	data, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	fmt.Println("written:", path)
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// turn is how long one side is measured before the other's turn: shorter than a
// shared machine takes to change its speed.
const turn = 200 * time.Millisecond
