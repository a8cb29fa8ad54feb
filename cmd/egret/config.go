package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/configs"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, print or describe the configuration",
		Args:  knownCommand,
		RunE:  showHelp,
	}
	cmd.AddCommand(newConfigCheck(), newConfigPrint(), newConfigSchema())
	return cmd
}

func newConfigCheck() *cobra.Command {
	return &cobra.Command{
		Use:     "check FILE…",
		Short:   "Check configuration files; a wrong one gives one line per mistake",
		Example: "  egret config check /etc/egret/egret.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			var all configs.Errors
			for _, path := range args {
				_, err := agent.LoadConfig(path)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", path)
					continue
				}
				errs, ok := err.(configs.Errors)
				if !ok {
					return err
				}
				all = append(all, errs...)
			}
			if len(all) > 0 {
				return all
			}
			return nil
		}),
	}
}

func newConfigPrint() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:     "print",
		Short:   "Print the configuration in effect, defaults filled in, secrets left out",
		Example: "  egret config print --config configs/demo.yaml",
		Args:    cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			cfg, err := configs.Load(path)
			if err != nil {
				return err
			}
			out, err := cfg.YAML()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		}),
	}
	configFlag(cmd, &path)
	return cmd
}

func newConfigSchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the configuration's JSON Schema, for editors",
		Example: "  egret config schema > egret.schema.json",
		Args:    cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			out, err := configs.Schema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", out)
			return err
		}),
	}
}
