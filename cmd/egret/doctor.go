package main

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
)

func newDoctor() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check cameras, models, broker, disk and clock: one verdict line each",
		Long: `Check everything that the configuration names: each model is loaded and runs its
golden samples, each camera gives a frame, the broker accepts us, the state
folder can be written and the clock is set. Exit code 1 if any check fails.`,
		Example: "  egret doctor --config /etc/egret/egret.yaml",
		Args:    cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			cfg, err := agent.LoadConfig(path)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			enc := json.NewEncoder(w)
			ok := agent.Doctor(cmd.Context(), cfg, slog.New(slog.DiscardHandler), func(c agent.Check) {
				if asJSON {
					_ = enc.Encode(c) // nobody reads on when this fails; the exit code still tells
					return
				}
				verdict := "ok  "
				if !c.OK {
					verdict = "FAIL"
				}
				fmt.Fprintf(w, "%s  %-16s %s\n", verdict, c.Name, c.Detail)
			})
			if !ok {
				return errSaid
			}
			return nil
		}),
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per check and line")
	return cmd
}
