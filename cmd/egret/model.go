package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/tflite"
)

func newModel() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Look at models, move them, and choose what serves on this device",
		Args:  knownCommand,
		RunE:  showHelp,
	}
	cmd.AddCommand(newModelInfo(), newModelConvert(), newModelPack(), newModelUnpack(), newModelPull(),
		newModelLs(), newModelPin(), newModelPromote(), newModelRollback(), newModelRm())
	return cmd
}

func newModelInfo() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "info PATH",
		Short:   "Print a model's identity, tensors and labels",
		Example: "  egret model info models/mobilenet_v1_1.0_224_quant",
		Args:    cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			b, err := agent.OpenModel(configs.Model{Path: args[0]})
			if err != nil {
				return err
			}
			m, err := tflite.Load(b, tflite.Options{})
			if err != nil {
				return err
			}
			defer m.Close()
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(m.Info())
			}
			return printInfo(cmd.OutOrStdout(), b, m.Info())
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printInfo(w io.Writer, b *tflite.Bundle, i tflite.Info) error {
	fmt.Fprintf(w, "name      %s\nversion   %d\nfile      %s\ndigest    %s\ntask      %s\nlabels    %d\nlibrary   TensorFlow Lite %s\n",
		i.Name, i.Version, b.ModelPath, i.Digest, i.Task, i.Labels, i.Library)
	for _, t := range i.Inputs {
		fmt.Fprintf(w, "input     %s\n", t)
	}
	for _, t := range i.Outputs {
		if _, err := fmt.Fprintf(w, "output    %s\n", t); err != nil {
			return err
		}
	}
	return nil
}
