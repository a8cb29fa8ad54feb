package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
)

// orderFlags are those of all commands that tell the agent what to do.
type orderFlags struct {
	config string
	wait   time.Duration
}

func (f *orderFlags) add(cmd *cobra.Command) {
	configFlag(cmd, &f.config)
	cmd.Flags().DurationVar(&f.wait, "wait", 10*time.Second, "how long to wait for the agent to obey; 0: not at all")
}

// open finds a model on the device.
func (f *orderFlags) open(name string) (*agent.Shelf, *agent.Stock, error) {
	if f.wait < 0 || f.wait > 24*time.Hour {
		return nil, nil, usageError{fmt.Errorf("--wait %v: give 0 to 24h", f.wait)}
	}
	s, err := openShelf(f.config)
	if err != nil {
		return nil, nil, err
	}
	st, err := s.Find(name)
	return s, st, err
}

// await says what becomes of an order.
func (f *orderFlags) await(cmd *cobra.Command, s *agent.Shelf, o *agent.Order) error {
	text := "ordered"
	if f.wait > 0 {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		var err error
		if text, err = s.Await(ctx, o, f.wait); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

// versionArg reads a version from the command line.
func versionArg(word string) (int, error) {
	v, err := strconv.ParseUint(word, 10, 31)
	if err != nil {
		return 0, usageError{fmt.Errorf("%q is no version: give a whole number, as egret model ls shows", word)}
	}
	return int(v), nil
}
