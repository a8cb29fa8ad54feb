package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/payload"
)

// defaultConfig is where the package installs the configuration.
const defaultConfig = "/etc/egret/egret.yaml"

func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", defaultConfig, "configuration `file`")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // only fails for a flag that does not exist
}

func newRun() *cobra.Command {
	var path string
	var show, tune bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent until it is told to stop",
		Long: `Run the agent in the foreground, as systemd does.

SIGINT and SIGTERM end it in order: capture, inference, delivery, store. SIGHUP
reads the configuration again: everything is built first and swapped second, and
a file that is wrong changes nothing. The dashboard is at the address of
api.listen: http://127.0.0.1:8080/ unless the configuration says otherwise.`,
		Example: "  egret run --config configs/demo.yaml --print",
		Args:    cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			return runAgent(cmd, path, show, tune)
		}),
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&tune, "tune", false, "measure delegates and threads anew, whatever is remembered")
	cmd.Flags().BoolVar(&show, "print", false, "print a line per prediction to standard output")
	return cmd
}

func runAgent(cmd *cobra.Command, path string, show, tune bool) error {
	// Go ends a panic, and the watchdog's SIGABRT, with exit code 2, by which the
	// unit takes a configuration to be wrong and does not start again. So both end
	// by the signal itself.
	debug.SetTraceback("crash")
	cfg, err := configs.Load(path) // for the log's format only; the agent reads it anew
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once, as people expect of Ctrl-C.
	defer context.AfterFunc(ctx, stop)()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	level := new(slog.LevelVar)
	opts := agent.Options{
		ConfigPath: path, Version: version,
		Built: built(),
		Log:   newLog(cmd.ErrOrStderr(), cfg.Log.Format, level), Level: level, Reload: hup, Tune: tune,
	}
	if show {
		out := cmd.OutOrStdout()
		opts.OnPrediction = func(p *payload.Prediction) { printPrediction(out, p) }
	}
	return agent.Run(ctx, opts)
}

func newLog(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	if os.Getenv("JOURNAL_STREAM") != "" { // the journal stamps lines itself
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// printPrediction writes the line that a person reads.
func printPrediction(w io.Writer, p *payload.Prediction) {
	var b strings.Builder
	for i, r := range p.Results {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %.2f", r.Label, r.Score)
		if r.Box != nil {
			fmt.Fprintf(&b, " [%.2f %.2f %.2f %.2f]", r.Box[0], r.Box[1], r.Box[2], r.Box[3])
		}
	}
	if len(p.Results) == 0 {
		b.WriteString("nothing above the threshold")
	}
	fmt.Fprintf(w, "%s  %-10s %6.1f ms  %s\n", p.Time.Local().Format("15:04:05.000"), p.Camera, float64(p.Latency.Invoke)/1000, b.String())
}
