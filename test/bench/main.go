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
	"time"
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
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
	flag.Parse()
	// The default models come first: their figures have the plain names.
	bundles := []string{"models/mobilenet_v1_1.0_224_quant", "models/ssd_mobilenet_v1_quant"}
	more, err := bundlesIn(o.more)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "egret-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o.dir = dir
	if o.frame, err = frame640(filepath.Join(dir, "frame.jpg")); err != nil {
		return err
	}
	generated, err := smallBundle(dir)
	if err != nil {
		return err
	}
	bundles = append(append(bundles, generated), more...)

	fmt.Printf("%d cores, %s/%s\n", runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH)
	var results []result
	for i, path := range bundles {
		rs, err := measure(ctx, o, path, i == 0)
		if err != nil {
			return fmt.Errorf("model %s: %w", path, err)
		}
		results = append(results, rs...)
	}
	return report(o.out, results)
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
