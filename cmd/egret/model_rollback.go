package main

import "github.com/spf13/cobra"

func newModelRollback() *cobra.Command {
	var f orderFlags
	var factory bool
	cmd := &cobra.Command{
		Use:   "rollback NAME",
		Short: "Go back to the version before at once, or end an update under way",
		Long: `Go back to the version that served before, at once; to the factory model with
--factory or when there is no version before. While a new version is on its way
or on trial, that ends and what served before it stays.

The version that is gone back from does not come again by the same rollout. A pin
to it is taken away.`,
		Example: `  egret model rollback colours
  egret model rollback colours --factory`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			s, st, err := f.open(args[0])
			if err != nil {
				return err
			}
			o, err := s.Rollback(st, factory)
			if err != nil {
				return err
			}
			return f.await(cmd, s, o)
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&factory, "factory", false, "to the factory model: what the configured path says by itself")
	return cmd
}
