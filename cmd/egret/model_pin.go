package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
)

func newModelPin() *cobra.Command {
	var f orderFlags
	var off, canary bool
	cmd := &cobra.Command{
		Use:   "pin NAME {VERSION | --off}",
		Short: "Have a version serve and nothing replace it, or give it the label canary",
		Long: `Have a version serve once it has proved itself, and nothing replace it: no rollout
and no newer version in the folder. --off ends that.

With --canary the version gets the label canary instead: cameras whose
configuration says model: NAME@canary run it, beside what serves. It is not
tried first.`,
		Example: `  egret model pin colours 2
  egret model pin colours --off
  egret model pin colours 3 --canary
  egret model pin colours --canary --off`,
		Args: cobra.RangeArgs(1, 2),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			if off == (len(args) == 2) {
				return usageError{errors.New("give a version or --off: egret model ls shows the versions")}
			}
			version := 0
			if !off {
				var err error
				if version, err = versionArg(args[1]); err != nil {
					return err
				}
			}
			s, st, err := f.open(args[0])
			if err != nil {
				return err
			}
			var o *agent.Order
			switch {
			case off && canary:
				o, err = s.NoCanary(st)
			case off:
				o, err = s.Unpin(st)
			case canary:
				o, err = s.Canary(st, version)
			default:
				o, err = s.Pin(st, version)
			}
			if err != nil {
				return err
			}
			return f.await(cmd, s, o)
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&off, "off", false, "take the pin, or with --canary the label, away")
	cmd.Flags().BoolVar(&canary, "canary", false, "the label canary instead of the pin")
	return cmd
}
