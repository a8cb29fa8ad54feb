package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/tflite"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the native library's and the platform",
		Example: "  egret version",
		Args:    cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			native := tflite.Version()
			if native == "" {
				native = "none (built without inference)"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "egret %s\nTensorFlow Lite %s\n%s %s/%s\n", version, native, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		}),
	}
}
