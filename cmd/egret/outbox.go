package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/outbox"
)

func newOutbox() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "Look at the predictions that wait on this device (while the agent is stopped)",
		Args:  knownCommand,
		RunE:  showHelp,
	}
	cmd.AddCommand(newOutboxStat(), newOutboxExport())
	return cmd
}

// outboxPath is the outbox of the configuration, or of --state-dir.
func outboxPath(config, stateDir string) (string, error) {
	if stateDir == "" {
		cfg, err := configs.Load(config)
		if err != nil {
			return "", err
		}
		stateDir = cfg.StateDir
	}
	return filepath.Join(stateDir, agent.OutboxFile), nil
}

// outboxHint adds what to try to the errors that people meet.
func outboxHint(err error) error {
	switch {
	case errors.Is(err, outbox.ErrLocked):
		return fmt.Errorf("%w: its account is in the telemetry topic; to read the file, stop the agent first", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: has an agent ever run with this state_dir?", err)
	}
	return err
}

func newOutboxStat() *cobra.Command {
	var config, stateDir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "stat",
		Short:   "Print the delivery account",
		Example: "  egret outbox stat --config configs/demo.yaml",
		Args:    cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			path, err := outboxPath(config, stateDir)
			if err != nil {
				return err
			}
			s, err := outbox.Inspect(path)
			if err != nil {
				return outboxHint(err)
			}
			acc, w := agent.Account(s), cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(w).Encode(acc)
			}
			fmt.Fprintf(w, "produced      %d\nacknowledged  %d\nstored        %d (%d bytes)\nsent again    %d\n", acc.Produced, acc.Acknowledged, acc.Stored, acc.StoredBytes, acc.Duplicated)
			reasons := make([]string, 0, len(acc.Dropped))
			for r := range acc.Dropped {
				reasons = append(reasons, r)
			}
			sort.Strings(reasons)
			for _, r := range reasons {
				fmt.Fprintf(w, "dropped       %d (%s)\n", acc.Dropped[r], r)
			}
			return nil
		}),
	}
	outboxFlags(cmd, &config, &stateDir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newOutboxExport() *cobra.Command {
	var config, stateDir string
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Print the waiting predictions, oldest first, one JSON object per line",
		Example: "  egret outbox export --state-dir /var/lib/egret > waiting.jsonl",
		Args:    cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			path, err := outboxPath(config, stateDir)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			return outboxHint(outbox.Export(path, func(_ uint64, rec []byte) error {
				_, err := fmt.Fprintf(w, "%s\n", rec)
				return err
			}))
		}),
	}
	outboxFlags(cmd, &config, &stateDir)
	return cmd
}

func outboxFlags(cmd *cobra.Command, config, stateDir *string) {
	configFlag(cmd, config)
	cmd.Flags().StringVar(stateDir, "state-dir", "", "state `folder`, instead of the configuration's")
}
