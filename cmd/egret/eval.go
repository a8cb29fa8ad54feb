package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/internal/chart"
)

type evalFlags struct {
	models    []string
	labels    string
	on        runsOn
	asJSON    bool
	plot      string
	confusion string
}

func newEval() *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use:   "eval DIR",
		Short: "Measure models on pictures whose classes are known",
		Long: `Run one model or several on pictures in folders that are named by their class (a
label of the model, or its number), and print accuracy, latency and size.`,
		Example: `  egret eval pictures/
  egret eval --model a.tflite --model b.tflite --labels labels.txt --plot eval.svg pictures/
  egret eval --confusion confusion.svg --json pictures/ > eval.json`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error { return eval(cmd, f, args[0]) }),
	}
	fl := cmd.Flags()
	fl.StringArrayVarP(&f.models, "model", "m", nil, "model `path`: a bundle folder or a .tflite file; may be given again (default: MobileNet v1 where it is installed)")
	fl.StringVar(&f.labels, "labels", "", "labels `file`, instead of the models' own")
	f.on.flags(cmd, "auto", "auto")
	fl.BoolVar(&f.asJSON, "json", false, "print the results as JSON")
	fl.StringVar(&f.plot, "plot", "", "draw accuracy against latency into this SVG `file`")
	fl.StringVar(&f.confusion, "confusion", "", "draw the first model's confusion matrix into this SVG `file`")
	return cmd
}

func eval(cmd *cobra.Command, f evalFlags, dir string) error {
	if err := f.on.check(); err != nil {
		return err
	}
	for _, file := range []string{f.plot, f.confusion} {
		if err := canWrite(file); err != nil {
			return err
		}
	}
	examples, err := agent.FindExamples(dir)
	if err != nil {
		return err
	}
	if len(f.models) == 0 {
		f.models = []string{""}
	}
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	bar := newProgress(stderr, examples.Len()*len(f.models), true)
	var all []agent.Evaluation
	for _, m := range f.models {
		b, opts, err := f.on.open(cmd, m, f.labels)
		if err != nil {
			return err
		}
		e, err := agent.Evaluate(cmd.Context(), b, opts, examples, func(file string, err error) {
			if err != nil {
				fmt.Fprintf(stderr, "egret: %s: %v\n", file, err)
			}
			_ = bar.Add(1)
		})
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	_ = bar.Finish()
	if f.asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(all)
	} else {
		err = printEvaluations(stdout, all)
	}
	if err = errors.Join(err, plotEvaluations(f, all)); err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(e agent.Evaluation) bool { return e.Failed > 0 }) {
		return errSaid // each on a line of its own
	}
	return nil
}

func plotEvaluations(f evalFlags, all []agent.Evaluation) error {
	if f.plot != "" {
		var points []chart.Point
		for _, e := range all {
			points = append(points, chart.Point{Label: fmt.Sprintf("%s on %s × %d", e.Model, e.Delegate, e.Threads), X: e.InvokeP50, Y: 100 * e.Top1})
		}
		err := writeFile(f.plot, func(w io.Writer) error {
			return chart.Points(w, "Accuracy against latency", "milliseconds per Invoke (median)", "top-1 in %", points)
		})
		if err != nil {
			return err
		}
	}
	if f.confusion == "" {
		return nil
	}
	e := all[0]
	return writeFile(f.confusion, func(w io.Writer) error {
		return chart.Matrix(w, e.Model, "true class", "seen as", e.Classes, e.Seen, e.Counts)
	})
}

func printEvaluations(w io.Writer, all []agent.Evaluation) error {
	fmt.Fprintf(w, "%-28s %-12s %9s %9s %7s %7s %7s %9s %9s %9s %9s %9s\n", "MODEL", "RUNS ON", "SIZE MB", "PICTURES", "FAILED", "TOP-1", "TOP-5", "P50 ms", "P95 ms", "P99 ms", "DECODE", "PER s")
	for _, e := range all {
		if _, err := fmt.Fprintf(w, "%-28s %-12s %9.2f %9d %7d %6.1f%% %6.1f%% %9.2f %9.2f %9.2f %9.2f %9.1f\n", e.Model, fmt.Sprintf("%s × %d", e.Delegate, e.Threads), float64(e.SizeBytes)/1e6, e.Pictures, e.Failed,
			100*e.Top1, 100*e.Top5, e.InvokeP50, e.InvokeP95, e.InvokeP99, e.DecodeP50, e.PerSecond); err != nil {
			return err
		}
		for i, class := range e.Classes {
			for j, n := range e.Counts[i] {
				if n > 0 && i != j {
					fmt.Fprintf(w, "  %s taken for %s: %d\n", class, e.Seen[j], n)
				}
			}
		}
	}
	return nil
}
