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
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "egret %s\n%sTensorFlow Lite %s\n%s %s/%s\n", version, origin(), native, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		}),
	}
}

// origin is the line that says which commit the program was built from, or
// nothing when the build did not say.
func origin() string {
	if commit == "" {
		return ""
	}
	return fmt.Sprintf("commit %.12s, %s\n", commit, date)
}
