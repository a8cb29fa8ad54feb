package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// background runs what blocks until its context ends. The function returned
// ends it, waits, and gives what went wrong.
func background(ctx context.Context, runs ...func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	errs := make([]error, len(runs))
	var all sync.WaitGroup
	for i, run := range runs {
		all.Go(func() { errs[i] = run(ctx) })
	}
	return func() error {
		cancel()
		all.Wait()
		return errors.Join(errs...)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
