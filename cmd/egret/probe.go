package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/tflite"
)

func newProbe() *cobra.Command {
	req := agent.ProbeRequest{Threads: 1}
	var timeout time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Try a model on a delegate in a process of its own",
		Long: `Load a model with a delegate and a number of threads in a process of its own, run
its golden samples and time its Invokes. A delegate that crashes, hangs or
refuses is reported in one line, and the exit code is then 1.

The agent does this before it runs anything new. "egret probe -" is the process
itself: it reads a request as JSON from standard input and answers in JSON.`,
		Example: `  egret probe --delegate xnnpack --threads 2
  egret probe --model models/ssd_mobilenet_v1_quant --delegate external:/usr/lib/libvx_delegate.so --json`,
		Args: cobra.MatchAll(cobra.MaximumNArgs(1), func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] != "-" {
				return fmt.Errorf("probe takes no argument %q: name the model with --model", args[0])
			}
			return nil
		}),
		RunE: work(func(cmd *cobra.Command, args []string) (err error) {
			if tflite.Version() == "" {
				return tflite.ErrNoInference
			}
			if len(args) == 1 {
				return agent.ServeProbe(cmd.InOrStdin(), cmd.OutOrStdout())
			}
			if err := checkDelegate(req.Delegate, req.Threads); err != nil {
				return err
			}
			if req.Runs < 1 {
				return usageError{fmt.Errorf("--runs %d: give at least 1", req.Runs)}
			}
			if timeout < time.Second {
				return usageError{fmt.Errorf("--timeout %v: give at least 1s", timeout)}
			}
			if req.Model, err = agent.FindModel(req.Model); err != nil {
				return err
			}
			r := agent.Prober{Timeout: timeout}.Probe(cmd.Context(), req)
			return printProbe(cmd.OutOrStdout(), r, asJSON)
		}),
	}
	fl := cmd.Flags()
	modelFlag(cmd, &req.Model)
	fl.StringVar(&req.Delegate, "delegate", "cpu", "delegate `spec`: cpu, xnnpack, edgetpu, gpu, external:/path.so?option=value")
	fl.IntVar(&req.Threads, "threads", 1, "threads of the delegate")
	fl.IntVar(&req.Runs, "runs", 50, "Invokes to time at most")
	fl.DurationVar(&timeout, "timeout", 20*time.Second, "how long the trial may take")
	fl.BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

func modelFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "model", "m", "", "model `path`: a bundle folder or a .tflite file (default: MobileNet v1 where it is installed)")
}

// runsOn is what a command's --delegate and --threads ask for.
type runsOn struct {
	delegate, threads string
}

func (r *runsOn) flags(cmd *cobra.Command, delegate, threads string) {
	cmd.Flags().StringVar(&r.delegate, "delegate", delegate, "delegate `spec`: auto, cpu, xnnpack, edgetpu, gpu, external:/path.so?option=value")
	cmd.Flags().StringVar(&r.threads, "threads", threads, "threads of the delegate, or auto")
}

// check finds wrong usage.
func (r *runsOn) check() error {
	if _, err := configs.ParseThreads(r.threads); err != nil {
		return usageError{fmt.Errorf("--threads: %w", err)}
	}
	if r.delegate == "auto" {
		return nil
	}
	if _, err := tflite.ParseDelegate(r.delegate); err != nil {
		return usageError{fmt.Errorf("--delegate: %w", err)}
	}
	return nil
}

// options are the delegate and threads for a model: measured where auto is
// asked for, and then remembered in the user's cache folder. A delegate's
// library is tried in a process of its own first.
func (r *runsOn) options(cmd *cobra.Command, b *tflite.Bundle) (tflite.Options, error) {
	n, err := configs.ParseThreads(r.threads)
	builtIn := r.delegate == tflite.CPU || r.delegate == tflite.XNNPACK
	if err != nil || tflite.Version() == "" || builtIn && n > 0 {
		return tflite.Options{Delegate: r.delegate, Threads: int(n)}, err
	}
	dir, err := os.UserCacheDir()
	if err == nil {
		dir = filepath.Join(dir, "egret")
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		dir = "" // measured each time
	}
	t := agent.NewTuner(configs.Default().Inference, dir, nil)
	t.Converter = nil // the commands look at the model that they are given
	c, err := t.Choose(cmd.Context(), b, []string{r.delegate}, int(n))
	if err != nil {
		return tflite.Options{}, err
	}
	for _, p := range c.Passed {
		if p.Spec == r.delegate { // it was asked for by name
			return tflite.Options{}, fmt.Errorf("--delegate %s: %s", r.delegate, p.Reason)
		}
	}
	return tflite.Options{Delegate: c.Delegate, Threads: c.Threads}, nil
}

// open finds the model of a command and what to run it on; labels, when not
// empty, replace its own.
func (r *runsOn) open(cmd *cobra.Command, model, labels string) (*tflite.Bundle, tflite.Options, error) {
	path, err := agent.FindModel(model)
	if err != nil {
		return nil, tflite.Options{}, err
	}
	b, err := agent.OpenModel(configs.Model{Path: path, Labels: labels})
	if err != nil {
		return nil, tflite.Options{}, err
	}
	opts, err := r.options(cmd, b)
	return b, opts, err
}

// checkDelegate checks --delegate and --threads.
func checkDelegate(spec string, threads int) error {
	if _, err := tflite.ParseDelegate(spec); err != nil {
		return usageError{fmt.Errorf("--delegate: %w", err)}
	}
	if threads < 1 || threads > configs.MaxThreads {
		return usageError{fmt.Errorf("--threads %d: give a whole number from 1 to %d", threads, configs.MaxThreads)}
	}
	return nil
}

func printProbe(w io.Writer, r agent.ProbeReport, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
		if !r.OK {
			return errSaid
		}
		return nil
	}
	if !r.OK {
		return errors.New(r.Reason)
	}
	_, err := fmt.Fprintf(w, "%s with %d threads: Invoke %.2f ms (p50), %.2f ms (p95) in %d runs, loaded in %.0f ms", r.Delegate, r.Threads, r.InvokeP50, r.InvokeP95, r.Runs, r.LoadMs)
	if r.Operators > 0 {
		_, _ = fmt.Fprintf(w, ", %d of %d operators delegated", r.Delegated, r.Operators)
	}
	_, _ = fmt.Fprintf(w, ", %d golden samples right\n", r.Golden)
	return err
}
