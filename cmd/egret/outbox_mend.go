package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/sync/outbox"
)

func newOutboxRetry() *cobra.Command {
	var config, stateDir string
	var all bool
	cmd := &cobra.Command{
		Use:   "retry {SEQ… | --all}",
		Short: "Put dead letters back into the queue, behind what waits there",
		Example: `  egret outbox retry 137 138
  egret outbox retry --all`,
		RunE: work(func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usageError{errors.New("name dead letters by their numbers (egret outbox ls --dead), or say --all")}
			}
			var seqs []uint64
			for _, arg := range args {
				seq, err := strconv.ParseUint(arg, 10, 64)
				if err != nil {
					return usageError{fmt.Errorf("%q is not the number of a dead letter: egret outbox ls --dead shows them", arg)}
				}
				seqs = append(seqs, seq)
			}
			path, err := outboxPath(config, stateDir)
			if err != nil {
				return err
			}
			n, err := outbox.Retry(path, seqs...)
			if err != nil {
				return outboxHint(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "put %d dead letters back into the queue: the agent sends them when it runs again\n", n)
			return err
		}),
	}
	outboxFlags(cmd, &config, &stateDir)
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters")
	return cmd
}

func newOutboxVerify() *cobra.Command {
	var config, stateDir, file string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read all of the file and say what is damaged, one line per finding",
		Example: `  egret outbox verify
  egret outbox verify --file /var/lib/egret/outbox.db.damaged-1763632800`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			path, err := file, error(nil)
			if file == "" {
				if path, err = outboxPath(config, stateDir); err != nil {
					return err
				}
			}
			w, found := cmd.OutOrStdout(), false
			v, err := outbox.Verify(path, func(text string) {
				found = true
				fmt.Fprintln(w, text)
			})
			if err != nil {
				return outboxHint(err)
			}
			if found {
				return errSaid
			}
			_, err = fmt.Fprintf(w, "no damage found in %s: %d blocks, %d records, %d dead letters\n", path, v.Blocks, v.Records, v.DeadLetters)
			return err
		}),
	}
	outboxFlags(cmd, &config, &stateDir)
	cmd.Flags().StringVar(&file, "file", "", "another outbox `file`, such as one that was set aside")
	return cmd
}
