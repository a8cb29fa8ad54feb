// Command soak runs the real agent for a long time at full rate with faults all
// the time, and judges whether it stays as it is: memory, goroutines, file
// descriptors, threads, what it writes to the flash, and what it delivers.
//
// It is run by `make soak`; docs/TESTING.md explains what it does and its bounds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the command line's.
type options struct {
	egret, out, plot, log string
	lasts                 time.Duration
	seed                  uint64
}

func main() {
	do, ok := asCamera()
	if !ok {
		do = soakOrReplot
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soakOrReplot() error {
	var o options
	flag.StringVar(&o.egret, "egret", "bin/egret", "the program")
	flag.StringVar(&o.out, "out", "bench/soak.json", "where the results go")
	flag.StringVar(&o.plot, "plot", "bench/soak.svg", "where the plot goes")
	flag.StringVar(&o.log, "log", "bench/soak.log", "where the agent's log goes")
	flag.DurationVar(&o.lasts, "for", time.Hour, "how long the agent runs")
	flag.Uint64Var(&o.seed, "seed", 0, "of the faults; 0: another one each time")
	again := flag.Bool("judge", false, "judge and draw the results of -out again, and run nothing")
	flag.Parse()
	if *again {
		return judgeAgain(o)
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return soak(ctx, o)
}

// sleep waits for d, or until ctx is done, which is its error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
