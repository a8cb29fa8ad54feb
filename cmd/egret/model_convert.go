package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/internal/chart"
	"github.com/egret-edge/egret/tflite"
	"github.com/egret-edge/egret/tflite/requant"
)

type convertFlags struct {
	out, to, verify, plot string
	native, asJSON        bool
	inputs                int
	agreement             float64
	timeout               time.Duration
	on                    runsOn
}

func newModelConvert() *cobra.Command {
	var f convertFlags
	cmd := &cobra.Command{
		Use:   "convert IN -o OUT",
		Short: "Turn a uint8 model into an int8 or float32 one, and compare the two",
		Long: `Turn a quantized model of TensorFlow 1 (uint8) into one that the processor's fast
kernels take, run both on the same pictures, and write it if they agree. Pictures
are the golden samples of IN and those in the folder --verify, or else a few drawings,
each shown in many variations. Nothing is trained: docs/CONVERSION.md explains the
arithmetic.

OUT is a .tflite file, or a folder that gets the labels and samples of IN too.`,
		Example: `  egret model convert models/mobilenet_v1_1.0_224_quant -o fast.tflite
  egret model convert models/ssd_mobilenet_v1_quant -o models/ssd_int8/1 --verify pictures/ --plot convert.svg
  egret model convert old.tflite -o new.tflite --to float32 --threads 1 --json`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error { return convert(cmd, f, args[0]) }),
	}
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "output", "o", "", "the .tflite `file` or new folder to write (required)")
	fl.StringVar(&f.to, "to", agent.ToInt8, "`type` to convert to: int8 or float32")
	fl.StringVar(&f.verify, "verify", "", "folder of `pictures` to compare on, besides the golden samples")
	fl.IntVar(&f.inputs, "inputs", 480, "pictures and variations to compare on")
	fl.Float64Var(&f.agreement, "min-agreement", 0.98, "lowest `share` to write at: of equal best classes where the original leads by 0.08, or of boxes found")
	fl.BoolVar(&f.native, "native-border", false, "int8 inputs and outputs instead of uint8: for programs that ask for it")
	f.on.flags(cmd, "auto", "auto")
	fl.DurationVar(&f.timeout, "timeout", 20*time.Second, "how long one answer may take")
	fl.StringVar(&f.plot, "plot", "", "draw a bar chart into this SVG `file`")
	fl.BoolVar(&f.asJSON, "json", false, "print the results as JSON")
	_ = cmd.MarkFlagRequired("output")
	return cmd
}

// check finds wrong usage.
func (f *convertFlags) check() error {
	switch {
	case f.to != agent.ToInt8 && f.to != agent.ToFloat32:
		return usageError{fmt.Errorf("--to %q: give int8 or float32", f.to)}
	case f.native && f.to != agent.ToInt8:
		return usageError{errors.New("--native-border goes with --to int8: a float's border would need another normalisation")}
	case f.inputs < 1:
		return usageError{fmt.Errorf("--inputs %d: give at least 1", f.inputs)}
	case !(f.agreement >= 0 && f.agreement <= 1):
		return usageError{fmt.Errorf("--min-agreement %v: give 0 to 1", f.agreement)}
	case f.timeout < time.Second:
		return usageError{fmt.Errorf("--timeout %v: give at least 1s", f.timeout)}
	}
	if filepath.Ext(f.out) == ".tflite" {
		if err := canWrite(f.out); err != nil {
			return err
		}
	} else if _, err := os.Lstat(f.out); err == nil {
		return usageError{fmt.Errorf("%s exists: name a new folder, or a .tflite file", f.out)}
	}
	return errors.Join(f.on.check(), canWrite(f.plot))
}

// conversion is the command's result.
type conversion struct {
	Output     string           `json:"output"` // empty: not written
	Report     requant.Report   `json:"report"`
	Comparison agent.Comparison `json:"comparison"`
}

func convert(cmd *cobra.Command, f convertFlags, in string) error {
	if tflite.Version() == "" {
		return tflite.ErrNoInference
	}
	if err := f.check(); err != nil {
		return err
	}
	b, err := agent.OpenModel(configs.Model{Path: in})
	if err != nil {
		return err
	}
	pictures, err := f.pictures(b)
	if err != nil {
		return err
	}
	// Beside the output, so that it can be moved there in one step.
	if err := os.MkdirAll(filepath.Dir(f.out), 0o755); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM) // so that dir is removed
	defer stop()
	dir, err := os.MkdirTemp(filepath.Dir(f.out), ".egret-convert-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // it may become the output
		return err
	}
	converted, report, err := agent.Convert(b, f.to, requant.Options{NativeBorder: f.native}, dir)
	if err != nil {
		return fmt.Errorf("convert %s: %w", in, err)
	}
	c, err := f.compare(ctx, cmd, b, converted, pictures)
	if ctx.Err() != nil {
		return errors.New("interrupted: nothing is written")
	}
	if err != nil {
		return err
	}
	result := conversion{Report: report, Comparison: c}
	refused := f.judge(c)
	if refused == nil {
		if err := f.write(converted, dir); err != nil {
			return err
		}
		result.Output = f.out
	}
	if err := f.print(cmd.OutOrStdout(), b, result); err != nil {
		return err
	}
	return refused
}

// pictures are what the models are compared on; none are egret's drawings.
func (f *convertFlags) pictures(b *tflite.Bundle) ([]string, error) {
	files := agent.GoldenPictures(b)
	if f.verify != "" {
		more, err := agent.Pictures(f.verify)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	return files, nil
}

func (f *convertFlags) compare(ctx context.Context, cmd *cobra.Command, original, converted *tflite.Bundle, pictures []string) (agent.Comparison, error) {
	bar := newProgress(cmd.ErrOrStderr(), f.inputs, true)
	req := agent.Comparing{Pictures: pictures, Inputs: f.inputs, Timeout: f.timeout, Watch: func() { _ = bar.Add(1) }}
	for _, s := range []struct {
		side   *agent.Side
		bundle *tflite.Bundle
	}{{&req.Original, original}, {&req.Converted, converted}} {
		opts, err := f.on.options(cmd, s.bundle)
		if err != nil {
			return agent.Comparison{}, err
		}
		*s.side = agent.Side{Bundle: s.bundle, Delegate: opts.Delegate, Threads: opts.Threads}
	}
	c, err := agent.Compare(ctx, req)
	_ = bar.Finish()
	return c, err
}

// judge says why a model is not written.
func (f *convertFlags) judge(c agent.Comparison) error {
	share, ok := c.Share()
	switch {
	case !ok && f.agreement > 0:
		return errors.New("not written: the original is sure of nothing in these pictures, which proves nothing: give others with --verify")
	case share < f.agreement:
		return fmt.Errorf("not written: the models agree on %.2f%% of what the original is sure of, and --min-agreement is %.2f%%", 100*share, 100*f.agreement)
	}
	return nil
}

// write puts the converted model to its place, whole or not at all.
func (f *convertFlags) write(b *tflite.Bundle, dir string) error {
	if filepath.Ext(f.out) == ".tflite" {
		if err := os.Rename(b.ModelPath, f.out); err != nil {
			return fmt.Errorf("write %s: %w", f.out, err)
		}
		return nil
	}
	if b.Path() != b.Dir { // a bare file in its folder
		if err := os.Rename(b.ModelPath, filepath.Join(dir, "model.tflite")); err != nil {
			return err
		}
	}
	if err := os.Rename(dir, f.out); err != nil {
		return fmt.Errorf("write %s: %w", f.out, err)
	}
	return nil
}

func (f *convertFlags) print(w io.Writer, b *tflite.Bundle, r conversion) error {
	c := r.Comparison
	if f.plot != "" {
		err := writeFile(f.plot, func(w io.Writer) error {
			return chart.Bars(w, b.Name, "milliseconds per Invoke (median) on the same inputs; shorter is better", []chart.Bar{
				{Label: fmt.Sprintf("original, %s × %d", c.Original.Delegate, c.Original.Threads), Value: c.Original.InvokeP50},
				{Label: fmt.Sprintf("%s, %s × %d", f.to, c.Converted.Delegate, c.Converted.Threads), Value: c.Converted.InvokeP50, Series: 1, Mark: fmt.Sprintf("%.1f times as fast", c.Speedup)},
			})
		})
		if err != nil {
			return err
		}
	}
	if f.asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	fmt.Fprintf(w, "%d of %d weight channels rounded anew, %d operators, %d QUANTIZE and %d DEQUANTIZE added\n\n", r.Report.Rescaled, r.Report.Channels, r.Report.Operators, r.Report.Quantize, r.Report.Dequantize)
	fmt.Fprintf(w, "%-10s %-14s %9s %9s %9s %10s\n", "MODEL", "RUNS ON", "P50 ms", "P95 ms", "SIZE MB", "MEMORY MB")
	for _, s := range []struct {
		name string
		side agent.CompareSide
	}{{"original", c.Original}, {f.to, c.Converted}} {
		fmt.Fprintf(w, "%-10s %-14s %9.2f %9.2f %9.2f %10.1f\n", s.name, fmt.Sprintf("%s × %d", s.side.Delegate, s.side.Threads), s.side.InvokeP50, s.side.InvokeP95, float64(s.side.SizeBytes)/1e6, float64(s.side.Memory)/1e6)
	}
	pictures := "pictures"
	if c.Drawn > 0 {
		pictures = "drawings (it has no golden samples, and there is no --verify)"
	}
	fmt.Fprintf(w, "\n%.2f times as fast, on %d inputs made of %d %s\n", c.Speedup, c.Inputs, c.Pictures-c.Failed, pictures)
	if c.Task == tflite.Detect {
		fmt.Fprintf(w, "boxes found: %d of %d with a score of 0.5 or more, %d too much, mean IoU %.3f\n", c.Matched, c.Boxes, c.Extra, c.IoU)
	} else {
		fmt.Fprintf(w, "same best class: %.2f%% of all, %.2f%% of the %d where the original leads by %.2f\nscores: largest difference %.3f, mean of the largest %.4f\n",
			100*c.Top1, 100*c.ClearTop1, c.Clear, agent.ClearLead, c.ScoreMax, c.ScoreMean)
	}
	if r.Output == "" {
		return nil
	}
	_, err := fmt.Fprintf(w, "\nwritten: %s\n", r.Output)
	return err
}
