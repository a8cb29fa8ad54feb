package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/internal/chart"
	"github.com/egret-edge/egret/tflite"
)

type benchFlags struct {
	model     string
	delegates []string
	threads   int
	timeout   time.Duration
	asJSON    bool
	plot      string
}

func newBench() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a model on every delegate and number of threads of this device",
		Long: `Time a model's Invokes on every delegate that this device may have, with one
thread and more, each in a process of its own, and recommend a configuration:
what auto chooses, or the fastest of the delegates that are named. A uint8 model is
timed converted to int8 and float32 too (egret model convert --help). A delegate
that does not work is a row with the reason.`,
		Example: `  egret bench
  egret bench --model models/ssd_mobilenet_v1_quant --plot bench.svg
  egret bench --delegate external:/usr/lib/libvx_delegate.so --delegate cpu --json`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error { return bench(cmd, f) }),
	}
	fl := cmd.Flags()
	modelFlag(cmd, &f.model)
	fl.StringArrayVar(&f.delegates, "delegate", nil, "delegate `spec`; may be given again (default: those that auto tries)")
	fl.IntVar(&f.threads, "max-threads", 0, "most threads to try (default: the cores)")
	fl.DurationVar(&f.timeout, "timeout", 20*time.Second, "how long one trial may take")
	fl.BoolVar(&f.asJSON, "json", false, "print the results as JSON")
	fl.StringVar(&f.plot, "plot", "", "draw a bar chart into this SVG `file`")
	return cmd
}

func bench(cmd *cobra.Command, f benchFlags) error {
	if tflite.Version() == "" {
		return tflite.ErrNoInference
	}
	if f.threads < 0 || f.threads > configs.MaxThreads {
		return usageError{fmt.Errorf("--max-threads %d: give a whole number from 1 to %d", f.threads, configs.MaxThreads)}
	}
	if f.timeout < time.Second {
		return usageError{fmt.Errorf("--timeout %v: give at least 1s", f.timeout)}
	}
	for _, d := range f.delegates {
		if err := checkDelegate(d, 1); err != nil {
			return err
		}
	}
	if err := canWrite(f.plot); err != nil {
		return err
	}
	path, err := agent.FindModel(f.model)
	if err != nil {
		return err
	}
	b, err := agent.OpenModel(configs.Model{Path: path})
	if err != nil {
		return err
	}
	inf := configs.Default().Inference
	inf.ProbeTimeout = configs.Duration(f.timeout)
	t := agent.NewTuner(inf, "", nil)
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM) // so that dir is removed
	defer stop()
	dir, err := os.MkdirTemp("", "egret-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t.Converter = &agent.Converter{Dir: dir, Timeout: f.timeout}
	cores := t.Cores
	if f.threads > 0 {
		t.Cores = f.threads // auto keeps to it as well
	}
	out := cmd.OutOrStdout()
	if !f.asJSON {
		fmt.Fprintf(out, "%s, TensorFlow Lite %s, %d cores\n\n%-24s %8s %12s %12s %10s  %s\n", b.Name, tflite.Version(), cores, "DELEGATE", "THREADS", "P50 ms", "P95 ms", "LOAD ms", "OPERATORS")
		t.Watch = func(r agent.ProbeReport) { printRun(out, r) }
	}
	s, err := agent.Measure(ctx, *t, b, f.delegates)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	if f.plot != "" {
		if err := writeFile(f.plot, func(w io.Writer) error { return plotSweep(w, s) }); err != nil {
			return err
		}
	}
	if f.asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
	if s.Auto.Delegate == "" {
		return errors.New("none of these runs the model")
	}
	if f.asJSON {
		return nil
	}
	for _, why := range s.Refused {
		fmt.Fprintf(out, "\nnot chosen: %s", why)
	}
	if len(s.Refused) > 0 {
		fmt.Fprintln(out)
	}
	what := "auto chooses this; to fix it"
	if len(f.delegates) > 0 {
		what = "the fastest of these"
	}
	convert := "off"
	if s.Auto.Converted != "" {
		convert = "auto  # it runs as " + s.Auto.Converted
	}
	_, err = fmt.Fprintf(out, "\n%s:\n\ninference:\n  delegate: %s\n  threads: %d\n  convert: %s\n", what, s.Auto.Delegate, s.Auto.Threads, convert)
	return err
}

func printRun(w io.Writer, r agent.ProbeReport) {
	if !r.OK {
		fmt.Fprintf(w, "%-24s %8d  %s\n", runName(r), r.Threads, r.Reason)
		return
	}
	taken := "all on the CPU"
	if r.Delegated > 0 {
		taken = fmt.Sprintf("%d of %d delegated", r.Delegated, r.Operators)
	}
	fmt.Fprintf(w, "%-24s %8d %12.2f %12.2f %10.0f  %s\n", runName(r), r.Threads, r.InvokeP50, r.InvokeP95, r.LoadMs, taken)
}

// runName is a delegate with what the model was converted to.
func runName(r agent.ProbeReport) string {
	if r.Converted == "" {
		return r.Spec
	}
	return r.Spec + ", " + r.Converted
}

func plotSweep(w io.Writer, s agent.Sweep) error {
	var bars []chart.Bar
	var series []string
	for _, r := range s.Runs {
		if !r.OK {
			continue
		}
		name := runName(r)
		if !slices.Contains(series, name) {
			series = append(series, name)
		}
		b := chart.Bar{Label: fmt.Sprintf("%s × %d", name, r.Threads), Value: r.InvokeP50, Series: slices.Index(series, name)}
		if r.Spec == s.Auto.Delegate && r.Threads == s.Auto.Threads && r.Converted == s.Auto.Converted {
			b.Mark = "← auto"
		}
		bars = append(bars, b)
	}
	return chart.Bars(w, s.Model, "milliseconds per Invoke (median), by delegate × threads; shorter is better", bars)
}
