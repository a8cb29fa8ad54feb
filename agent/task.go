package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// task is one long-lived part that runs in a goroutine of its own until it is
// ended.
type task struct {
	name   string
	bound  time.Duration // how long end waits
	cancel context.CancelFunc
	done   chan struct{}
}

// tasks starts the daemon's parts. All start here, so that none outlives the
// daemon unnoticed.
type tasks struct {
	log *slog.Logger
	// failed gets the first error of a part that ended before it was told to.
	failed chan error
}

func newTasks(log *slog.Logger) *tasks {
	return &tasks{log: log, failed: make(chan error, 1)}
}

// start runs fn until the task is ended. A part must not end by itself, with
// an error or without: if it does, the reason arrives on failed.
func (ts *tasks) start(name string, bound time.Duration, fn func(context.Context) error) *task {
	ctx, cancel := context.WithCancel(context.Background())
	t := &task{name: name, bound: bound, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		err := fn(ctx)
		switch {
		case ctx.Err() == nil:
			if err == nil {
				err = errors.New("ended without a reason")
			}
			select {
			case ts.failed <- fmt.Errorf("%s: %w", name, err):
			default: // one reason is enough to stop
			}
		case err != nil && !errors.Is(err, context.Canceled):
			ts.log.Warn("part ended with an error", "part", name, "error", err)
		}
	}()
	return t
}

// end stops a task (nil is none) and waits for it within its bound. One that
// does not end is left behind and named, so that the parts after it, the store
// above all, still end in order.
func (ts *tasks) end(t *task) { ts.endAll([]*task{t}) }

// endAll ends several at once, so that their bounds do not add up.
func (ts *tasks) endAll(all []*task) {
	began := time.Now()
	for _, t := range all {
		if t != nil {
			t.cancel()
		}
	}
	for _, t := range all {
		if t != nil {
			ts.await(t, t.bound-time.Since(began))
		}
	}
}

func (ts *tasks) await(t *task, left time.Duration) {
	timer := time.NewTimer(max(left, time.Millisecond)) // what has ended is seen to have
	defer timer.Stop()
	select {
	case <-t.done:
	case <-timer.C:
		ts.log.Error("part did not end in time, going on without it", "part", t.name, "bound", t.bound)
	}
}
