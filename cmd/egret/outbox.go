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
	"github.com/egret-edge/egret/sync/payload"
)

func newOutbox() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "Look at the predictions that wait on this device (while the agent is stopped)",
		Args:  knownCommand,
		RunE:  showHelp,
	}
	cmd.AddCommand(newOutboxStat(), newOutboxLs(), newOutboxExport(), newOutboxRetry(), newOutboxVerify())
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
		return fmt.Errorf("%w: its account is in the telemetry topic; to read or change the file, stop the agent first", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: has an agent ever run with this state_dir?", err)
	case errors.Is(err, outbox.ErrNoLetter):
		return fmt.Errorf("%w: egret outbox ls --dead shows their numbers", err)
	case errors.Is(err, outbox.ErrDamaged):
		return fmt.Errorf("%w: egret outbox verify tells more, egret outbox export --file prints what can be read, and the agent's next start saves it", err)
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
			s, err := outbox.Summarize(path)
			if err != nil {
				return outboxHint(err)
			}
			acc, w := agent.Account(s.Stats), cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(w).Encode(struct {
					payload.Account
					DeadLetters     uint64 `json:"dead_letters"`
					DeadLetterBytes uint64 `json:"dead_letter_bytes"`
					FileBytes       int64  `json:"file_bytes"`
				}{acc, s.DeadLetters, s.DeadLetterBytes, s.FileBytes})
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
			fmt.Fprintf(w, "dead letters  %d (%d bytes)\nfile          %d bytes\n", s.DeadLetters, s.DeadLetterBytes, s.FileBytes)
			return nil
		}),
	}
	outboxFlags(cmd, &config, &stateDir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func outboxFlags(cmd *cobra.Command, config, stateDir *string) {
	configFlag(cmd, config)
	cmd.Flags().StringVar(stateDir, "state-dir", "", "state `folder`, instead of the configuration's")
}
