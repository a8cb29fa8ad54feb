// Command egret is an inference agent for the edge, and its operator's tool.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/internal/spelling"
	"github.com/egret-edge/egret/tflite"
)

// Set by the linker (see the Makefile): the version, the commit and its time.
var (
	version = "devel"
	commit  string
	date    string
)

// extra holds the commands that only some builds have (see man.go).
var extra []func() *cobra.Command

// The exit codes are a contract with scripts and service managers.
const (
	exitFailed      = 1 // failed at run time
	exitUsage       = 2 // wrong usage or configuration
	exitNoInference = 3 // built without inference
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return 0
	}
	if !errors.Is(err, errSaid) {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(stderr, "egret: "+line)
		}
	}
	return exitCode(err)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "egret",
		Short: "Inference agent for the edge: camera frames to predictions on MQTT",
		Long: `egret captures camera frames, runs a quantized TensorFlow Lite model on them,
keeps the results safe while the network is away and publishes them over MQTT.

Exit codes: 0 done; 1 failed at run time; 2 wrong usage or configuration;
3 built without inference.`,
		Example: `  egret run --config /etc/egret/egret.yaml
  egret classify photo.jpg
  egret doctor --config /etc/egret/egret.yaml`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          showHelp,
	}
	root.AddCommand(newRun(), newClassify(), newBench(), newEval(), newExplain(), newProbe(), newConfig(), newModel(), newOutbox(), newRepo(), newFleet(), newDoctor(), newVersion())
	for _, command := range extra {
		root.AddCommand(command())
	}
	return root
}

// knownCommand is for commands that only hold others: whatever word is left over
// names none of them.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	return fmt.Errorf("unknown command %q for %q: %s", args[0], cmd.CommandPath(), spelling.Hint(args[0], known))
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// errSaid ends the program with exit code 1 and no further words: the command
// has already said what failed.
var errSaid = errors.New("failed")

// failure marks an error that happened while a command did its work, as
// against wrong usage, which cobra finds before.
type failure struct{ err error }

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

// usageError is wrong usage that only the command itself can see.
type usageError struct{ error }

// work wraps a command's function so that its errors count as failures.
func work(fn func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := fn(cmd, args); err != nil {
			return failure{err}
		}
		return nil
	}
}

func exitCode(err error) int {
	var f failure
	var u usageError
	var c configs.Errors
	switch {
	case errors.Is(err, tflite.ErrNoInference):
		return exitNoInference
	case errors.As(err, &u), errors.As(err, &c), !errors.As(err, &f):
		return exitUsage
	}
	return exitFailed
}
