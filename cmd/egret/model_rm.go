package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newModelRm() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "rm NAME VERSION",
		Short: "Remove a version that came over the air and that nothing needs",
		Long: `Remove a version from the store at once. The agent does so by itself when nothing
needs a version any more. What serves, is on its way, is gone back to, is pinned,
is the canary or is named by the configuration stays, and so does what is in the
configured folder.`,
		Example: "  egret model rm colours 2",
		Args:    cobra.ExactArgs(2),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			version, err := versionArg(args[1])
			if err != nil {
				return err
			}
			s, err := openShelf(config)
			if err != nil {
				return err
			}
			st, err := s.Find(args[0])
			if err == nil {
				err = s.Remove(st, version)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "removed version %d of %s\n", version, st.Name)
			return err
		}),
	}
	configFlag(cmd, &config)
	return cmd
}
