package main

import (
	"bufio"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/sync/outbox"
)

func newOutboxExport() *cobra.Command {
	var config, stateDir, file string
	var dead bool
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Print the waiting predictions, oldest first, one JSON object per line",
		Long: `Print the waiting predictions, oldest first, one JSON object per line.

With a FILE, such as an outbox.db.damaged-… that was set aside, it prints what
can be read of it, and ends with exit code 1 when that is not all.`,
		Example: `  egret outbox export --state-dir /var/lib/egret > waiting.jsonl
  egret outbox export /var/lib/egret/outbox.db.damaged-1763632800 > saved.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && file != "" {
				return usageError{errors.New("name the file once: as an argument or with --file")}
			}
			if len(args) > 0 {
				file = args[0]
			}
			w := bufio.NewWriter(cmd.OutOrStdout())
			record := func(_ uint64, rec []byte) error {
				_, err := fmt.Fprintf(w, "%s\n", rec)
				return err
			}
			letter := func(l outbox.Letter) error { return record(l.Seq, l.Record) }
			path, err := file, error(nil)
			if file == "" {
				path, err = outboxPath(config, stateDir)
			}
			switch {
			case err != nil:
			case file != "" && dead:
				err = rest(outbox.RecoverLetters(path, letter))
			case file != "":
				err = rest(outbox.Recover(path, record))
			case dead:
				err = outboxHint(outbox.DeadLetters(path, letter))
			default:
				err = outboxHint(outbox.Export(path, record))
			}
			return errors.Join(err, w.Flush())
		}),
	}
	outboxFlags(cmd, &config, &stateDir)
	cmd.Flags().StringVar(&file, "file", "", "an outbox `file`, which may be damaged")
	cmd.Flags().BoolVar(&dead, "dead", false, "the dead letters instead")
	return cmd
}

// rest says what of a damaged file was not printed.
func rest(r outbox.Recovered, err error) error {
	switch {
	case errors.Is(err, outbox.ErrDamaged):
		return fmt.Errorf("%w: nothing of this file can be read", err)
	case err != nil:
		return outboxHint(err)
	case r.Missing > 0 && r.Damage != nil:
		return fmt.Errorf("printed %d records, %d more cannot be read: %w", r.Records, r.Missing, r.Damage)
	case r.Missing > 0:
		return fmt.Errorf("printed %d records, %d more are missing", r.Records, r.Missing)
	case r.Damage != nil:
		return fmt.Errorf("printed %d records; there may have been more: %w", r.Records, r.Damage)
	}
	return nil
}
