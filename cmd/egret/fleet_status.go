package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/egret-edge/egret/fleet"
	"github.com/egret-edge/egret/internal/spelling"
	"github.com/egret-edge/egret/sync/payload"
)

func newFleetStatus() *cobra.Command {
	var o fleetFlags
	var watch, asJSON bool
	var words []string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the rollout and where each device stands",
		Long: `Shows the rollout, how many devices it is for, and where each device stands.
With --watch it goes on: redrawn on a terminal, one line per change on a pipe.`,
		Example: `  egret fleet status --watch
  egret fleet status --only rejected,rolled_back
  egret fleet status --json`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			only, err := releaseStates(words)
			if err != nil {
				return usageError{err}
			}
			d, err := o.desk()
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd)
			defer stop()
			w := cmd.OutOrStdout()
			if watch {
				return fleetHint(d.Watch(ctx, liveView(w, d, asJSON, only)))
			}
			s, err := d.Status(ctx)
			if err != nil {
				return fleetHint(err)
			}
			if s = s.Only(only); asJSON {
				return json.NewEncoder(w).Encode(s)
			}
			return s.Print(w, fleet.Size{Columns: screenSize(w).Columns})
		}),
	}
	o.add(cmd)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on showing what changes")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringSliceVar(&words, "only", nil, "only devices in these `states`")
	return cmd
}

func liveView(w io.Writer, d *fleet.Desk, asJSON bool, only []payload.ReleaseState) func(fleet.Update) error {
	switch {
	case asJSON:
		return fleet.JSON(w, only)
	case isTerminal(w):
		return fleet.Screen(w, func() fleet.Size { return screenSize(w) }, only)
	}
	return fleet.Lines(w, d.Scope(), only)
}

// screenSize is 0 where there is no terminal.
func screenSize(w io.Writer) fleet.Size {
	if !isTerminal(w) {
		return fleet.Size{}
	}
	columns, rows, err := term.GetSize(int(w.(*os.File).Fd()))
	if err != nil {
		return fleet.Size{}
	}
	return fleet.Size{Columns: columns, Rows: rows}
}

func releaseStates(words []string) ([]payload.ReleaseState, error) {
	var only []payload.ReleaseState
	for _, word := range words {
		state := payload.ReleaseState(strings.TrimSpace(word))
		if !slices.Contains(fleet.States, state) {
			var known []string
			for _, s := range fleet.States {
				known = append(known, string(s))
			}
			return nil, fmt.Errorf("--only: there is no state %.40q: %s", word, spelling.Hint(word, known))
		}
		only = append(only, state)
	}
	return only, nil
}
