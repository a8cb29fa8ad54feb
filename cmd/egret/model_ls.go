package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/configs"
)

// openShelf is what is on the device that the configuration at path is for.
func openShelf(path string) (*agent.Shelf, error) {
	cfg, err := configs.Load(path)
	if err != nil {
		return nil, err
	}
	return agent.OpenShelf(cfg)
}

func newModelLs() *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls [NAME]",
		Short: "List the versions of the models on this device, and what serves",
		Long: `List the versions of each configured model that are on this device: those in the
configured folder (factory) and those that came over the air (store); which one
serves, is on trial, is what a rollback goes back to, is pinned or the canary;
and why one was refused. It changes nothing, and needs no running agent.`,
		Example: `  egret model ls
  egret model ls colours --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			s, err := openShelf(config)
			if err != nil {
				return err
			}
			all := s.All()
			if len(args) > 0 {
				st, err := s.Find(args[0])
				if err != nil {
					return err
				}
				all = []*agent.Stock{st}
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(all)
			}
			return printStock(cmd.OutOrStdout(), all)
		}),
	}
	configFlag(cmd, &config)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array of the models")
	return cmd
}

func printStock(w io.Writer, all []*agent.Stock) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MODEL\tVERSION\tWHERE\tSTATE\tRELEASE\tREFUSED")
	for _, st := range all {
		for _, v := range st.Versions {
			version := "-" // a bare file has none
			if v.Version > 0 || v.Path[len(v.Path)-1] == '0' {
				version = fmt.Sprint(v.Version)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", st.Name, version, v.Where, orDash(strings.Join(v.State, ", ")), orDash(v.Release), orDash(v.Failed))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, st := range all {
		if u := st.Update; u != nil {
			line := fmt.Sprintf("update: %s version %d: %s since %s", st.Name, u.Version, strings.ReplaceAll(string(u.State), "_", " "), u.Since.Local().Format("2006-01-02 15:04:05"))
			if u.Reason != "" {
				line += ": " + u.Reason
			}
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
	}
	return nil
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
