package main

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/agent/checkup"
)

// verdicts are the levels as people see them: what fails catches the eye.
var verdicts = map[checkup.Level]string{checkup.OK: "ok  ", checkup.Warn: "warn", checkup.Fail: "FAIL"}

func newDoctor() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check models, cameras, broker, device and service: one verdict line each",
		Long: `Check everything that the configuration names: each model is loaded and runs its
golden samples, each camera gives a frame, the broker accepts us. And what is
around the agent: accelerators, disk, memory, voltage and heat, clock, and the
systemd service with its sandbox. A bad verdict says what to do.

It changes nothing and may be used while the service runs: it then asks the
agent how its cameras are. As root it sees more: who has a camera or a port, and
whether the service's own user may open what root can.

ok: as it should be. warn: works, and may not for long or not as well as it
could. FAIL: does not work; exit code 1 if any check fails.`,
		Example: `  sudo egret doctor
  egret doctor --config configs/demo.yaml`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			cfg, err := agent.LoadConfig(path)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			enc := json.NewEncoder(w)
			ok := agent.Doctor(cmd.Context(), cfg, agent.DoctorOptions{ConfigPath: path, Log: slog.New(slog.DiscardHandler)}, func(c agent.Check) {
				if asJSON {
					_ = enc.Encode(c) // nobody reads on when this fails; the exit code still tells
					return
				}
				fmt.Fprintf(w, "%s  %-16s %s\n", verdicts[c.Level], c.Name, c.Detail)
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
