package main

import (
	"fmt"
	"image/png"
	"io"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
)

type explainFlags struct {
	model, labels, out string
	on                 runsOn
	options            agent.ExplainOptions
}

func newExplain() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain IMAGE -o OUT.png",
		Short: "Show where in a picture the model sees its top class",
		Long: `Move a grey square over the picture and watch the score of the model's top class:
where it falls, there the model looks. The result is a heat map over the
picture, bright where the square costs the most.`,
		Example: "  egret explain photo.jpg -o heat.png",
		Args:    cobra.ExactArgs(1),
		RunE:    work(func(cmd *cobra.Command, args []string) error { return explain(cmd, f, args[0]) }),
	}
	fl := cmd.Flags()
	modelFlag(cmd, &f.model)
	fl.StringVar(&f.labels, "labels", "", "labels `file`, instead of the model's own")
	fl.StringVarP(&f.out, "out", "o", "", "PNG `file` to write (required)")
	f.on.flags(cmd, "cpu", "1")
	fl.Float64Var(&f.options.Window, "window", 0.2, "side of the square, as a share of the picture")
	fl.IntVar(&f.options.Steps, "steps", 16, "places of the square along each side")
	_ = cmd.MarkFlagRequired("out") // only fails for a flag that does not exist
	return cmd
}

func explain(cmd *cobra.Command, f explainFlags, file string) error {
	if err := f.on.check(); err != nil {
		return err
	}
	if !(f.options.Window > 0 && f.options.Window <= 1) {
		return usageError{fmt.Errorf("--window %v: give a share above 0 and up to 1", f.options.Window)}
	}
	if f.options.Steps < 2 || f.options.Steps > 100 {
		return usageError{fmt.Errorf("--steps %d: give a whole number from 2 to 100", f.options.Steps)}
	}
	if err := canWrite(f.out); err != nil {
		return err
	}
	b, opts, err := f.on.open(cmd, f.model, f.labels)
	if err != nil {
		return err
	}
	bar := newProgress(cmd.ErrOrStderr(), f.options.Steps*f.options.Steps, true)
	f.options.Watch = func() { _ = bar.Add(1) }
	x, err := agent.Explain(cmd.Context(), b, opts, file, cmd.InOrStdin(), f.options)
	if err != nil {
		return err
	}
	_ = bar.Finish()
	if err := writeFile(f.out, func(w io.Writer) error { return png.Encode(w, x.Picture) }); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %.2f, under the square that costs the most %.2f: %s\n", x.Label, x.Score, x.Lowest, f.out)
	return err
}
