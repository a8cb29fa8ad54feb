package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

type classifyFlags struct {
	model, labels    string
	topK             int
	threshold        float64
	on               runsOn
	asJSON, asCSV    bool
	hasTopK, hasThld bool
}

func newClassify() *cobra.Command {
	var f classifyFlags
	cmd := &cobra.Command{
		Use:   "classify PATH…",
		Short: "Run a model on pictures: files, folders, or - for standard input",
		Long: `Run a model on pictures and print what it sees. A folder stands for all pictures
in it and below it (JPEG, PNG, BMP, WebP); - reads one from standard input.
The model is loaded once. A picture that cannot be read is said on standard
error and the others go on; the exit code is then 1.`,
		Example: `  egret classify photo.jpg
  egret classify --model models/ssd_mobilenet_v1_quant --json holiday/ > found.jsonl
  curl -s http://camera/still.jpg | egret classify -`,
		Args: cobra.MinimumNArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			f.hasTopK, f.hasThld = cmd.Flags().Changed("top-k"), cmd.Flags().Changed("threshold")
			return classify(cmd, f, args)
		}),
	}
	fl := cmd.Flags()
	modelFlag(cmd, &f.model)
	fl.StringVar(&f.labels, "labels", "", "labels `file`, instead of the model's own")
	fl.IntVarP(&f.topK, "top-k", "k", 3, "results per picture at most")
	fl.Float64VarP(&f.threshold, "threshold", "t", 0.1, "lowest score to show, 0 to 1")
	f.on.flags(cmd, "cpu", "1")
	fl.BoolVar(&f.asJSON, "json", false, "print one prediction object per line")
	fl.BoolVar(&f.asCSV, "csv", false, "print comma-separated values")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	return cmd
}

func classify(cmd *cobra.Command, f classifyFlags, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	path, err := agent.FindModel(f.model)
	if err != nil {
		return err
	}
	bundle, err := agent.OpenModel(configs.Model{Path: path, Labels: f.labels})
	if err != nil {
		return err
	}
	opts, err := f.options(cmd, bundle)
	if err != nil {
		return err
	}
	c, err := agent.NewClassifier(bundle, opts, configs.Default().Device)
	if err != nil {
		return err
	}
	defer c.Close()

	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	var files []string
	failed := 0
	for _, arg := range args {
		found, err := agent.Pictures(arg)
		if err != nil {
			fmt.Fprintln(stderr, "egret:", err)
			failed++
		}
		files = append(files, found...)
	}
	out := newPredictionWriter(stdout, f)
	bar := newProgress(stderr, len(files), !isTerminal(stdout)) // or it would run into the results
	start, invokes := time.Now(), time.Duration(0)
	err = c.Each(cmd.Context(), files, cmd.InOrStdin(), func(file string, p payload.Prediction, err error) error {
		_ = bar.Add(1) // a bar that cannot be drawn is no reason to stop
		if err != nil {
			fmt.Fprintf(stderr, "egret: %s: %v\n", file, err)
			failed++
			return nil
		}
		invokes += time.Duration(p.Latency.Invoke) * time.Microsecond
		return out.write(p)
	})
	took := time.Since(start)
	if err = errors.Join(err, out.flush()); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if n := len(files) - failed; n > 1 {
		fmt.Fprintf(stderr, "%d pictures in %.3f s, %.2f times their Invokes (%.3f s)\n", n, took.Seconds(), took.Seconds()/invokes.Seconds(), invokes.Seconds())
	}
	if failed > 0 {
		return errSaid
	}
	return nil
}

func (f classifyFlags) check() error {
	if f.topK < 1 || f.topK > 1000 {
		return usageError{fmt.Errorf("--top-k %d: give a whole number from 1 to 1000", f.topK)}
	}
	if !(f.threshold >= 0 && f.threshold <= 1) {
		return usageError{fmt.Errorf("--threshold %v: give a score from 0 to 1", f.threshold)}
	}
	return f.on.check()
}

func (f classifyFlags) options(cmd *cobra.Command, b *tflite.Bundle) (tflite.Options, error) {
	o, err := f.on.options(cmd, b)
	o.Logger = slog.New(slog.DiscardHandler)
	if f.hasTopK {
		o.TopK = f.topK
	}
	if f.hasThld {
		o.Threshold = &f.threshold
	}
	return o, err
}

// predictionWriter prints predictions in the chosen form.
type predictionWriter struct {
	write func(payload.Prediction) error
	flush func() error
}

func newPredictionWriter(w io.Writer, f classifyFlags) predictionWriter {
	nothing := func() error { return nil }
	switch {
	case f.asJSON:
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return predictionWriter{func(p payload.Prediction) error { return enc.Encode(p) }, nothing}
	case f.asCSV:
		cw := csv.NewWriter(w)
		header := cw.Write([]string{"file", "index", "label", "score", "x0", "y0", "x1", "y1", "invoke_us"})
		return predictionWriter{
			func(p payload.Prediction) error {
				for _, r := range p.Results {
					if err := cw.Write(csvRow(p, r)); err != nil {
						return err
					}
				}
				cw.Flush() // so that a reader of the pipe sees each picture at once
				return cw.Error()
			},
			func() error { cw.Flush(); return header },
		}
	}
	header := sync.OnceFunc(func() {
		fmt.Fprintf(w, "%-28s  %-24s  %5s  %-25s  %s\n", "PICTURE", "LABEL", "SCORE", "BOX x0 y0 x1 y1", "INVOKE")
	})
	return predictionWriter{func(p payload.Prediction) error { header(); return writeRows(w, p) }, nothing}
}

func csvRow(p payload.Prediction, r payload.Result) []string {
	row := []string{p.File, strconv.Itoa(r.Index), r.Label, fmt.Sprintf("%.4f", r.Score), "", "", "", "", strconv.FormatInt(p.Latency.Invoke, 10)}
	if r.Box != nil {
		for i, v := range r.Box {
			row[4+i] = fmt.Sprintf("%.4f", v)
		}
	}
	return row
}

func writeRows(w io.Writer, p payload.Prediction) error {
	name, invoke := filepath.Base(p.File), fmt.Sprintf("%.1f ms", float64(p.Latency.Invoke)/1000)
	if len(p.Results) == 0 {
		_, err := fmt.Fprintf(w, "%-28s  %-24s  %5s  %-25s  %s\n", name, "(nothing above threshold)", "", "", invoke)
		return err
	}
	for i, r := range p.Results {
		box := ""
		if r.Box != nil {
			box = fmt.Sprintf("%.3f %.3f %.3f %.3f", r.Box[0], r.Box[1], r.Box[2], r.Box[3])
		}
		if i > 0 {
			name, invoke = "", ""
		}
		if _, err := fmt.Fprintf(w, "%-28s  %-24s  %5.3f  %-25s  %s\n", name, r.Label, r.Score, box, invoke); err != nil {
			return err
		}
	}
	return nil
}

// newProgress is a bar on the terminal for long work, silent when there is none
// or it is not wanted.
func newProgress(stderr io.Writer, n int, wanted bool) *progressbar.ProgressBar {
	if n < 2 || !wanted || !isTerminal(stderr) {
		return progressbar.DefaultSilent(int64(n))
	}
	return progressbar.NewOptions(n, progressbar.OptionSetWriter(stderr), progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionClearOnFinish())
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
