package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newModelPromote() *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use:   "promote NAME [VERSION]",
		Short: "Have a version serve once it has proved itself; without a version, the canary",
		Long: `Have a version that is on this device serve, once it has proved itself as every new
model must: in a process of its own, beside the present model, and on trial. The
version with the label canary is taken when none is named, and loses the label.

A rollout that asked for another version is over for this device; the next one is
followed again.`,
		Example: `  egret model promote colours
  egret model promote colours 3`,
		Args: cobra.RangeArgs(1, 2),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			version := -1 // the canary's
			if len(args) == 2 {
				var err error
				if version, err = versionArg(args[1]); err != nil {
					return err
				}
			}
			s, st, err := f.open(args[0])
			if err != nil {
				return err
			}
			o, already, err := s.Promote(st, version)
			switch {
			case err != nil:
				return err
			case o == nil:
				_, err = fmt.Fprintln(cmd.OutOrStdout(), already)
				return err
			}
			return f.await(cmd, s, o)
		}),
	}
	f.add(cmd)
	return cmd
}
