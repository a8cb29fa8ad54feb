package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/egret-edge/egret/internal/backoff"
	"github.com/egret-edge/egret/tflite"
)

// recovery is how a worker goes on without its delegate, and how it comes back
// to it.
type recovery struct {
	// spare opens the model on the CPU, at once.
	spare func() (predictor, error)
	// revive opens it on a delegate that is better than the present one, if
	// one works again.
	revive func(context.Context) (predictor, error)
	// missing tells whether there is a better one to wait for.
	missing func() bool
}

// comeback is how a worker loses its delegate and gets it back. It belongs to
// the worker's goroutine.
type comeback struct {
	worker *worker
	delay  backoff.Backoff
	since  time.Time        // when the present model came
	again  <-chan time.Time // when to try; nil when not waiting
	// revived gets what try found; nil when nothing works yet.
	revived chan predictor
	waiting bool // for a better delegate
	spared  bool // the delegate was lost
}

func newComeback(w *worker) *comeback {
	b := &comeback{
		worker: w, delay: backoff.Backoff{Min: 30 * time.Second, Max: time.Hour},
		since: time.Now(), revived: make(chan predictor, 1),
	}
	if b.waiting = w.recovery != nil && w.recovery.missing(); b.waiting {
		b.again = time.After(b.delay.Next())
	}
	return b
}

// lost tells an error that the delegate is to blame for, while there is
// something to go on with.
func (b *comeback) lost(err error) bool {
	return errors.Is(err, tflite.ErrDelegate) && b.worker.recovery != nil && !b.spared
}

// spare goes on without the delegate.
func (b *comeback) spare(reason error) {
	b.spared = true
	b.worker.dropBatches() // they are on the same one
	b.worker.fallBack(reason)
	if !b.waiting {
		b.waiting = true
		b.delay.Lasted(time.Since(b.since))
		b.again = time.After(b.delay.Next())
	}
}

// try looks for a better delegate, beside the worker.
func (b *comeback) try(ctx context.Context, parts *sync.WaitGroup) {
	b.again = nil
	parts.Go(func() { b.worker.tryAgain(ctx, b.revived) })
}

// came puts what try found in the place of what runs.
func (b *comeback) came(m predictor) {
	if m == nil {
		b.again = time.After(b.delay.Next())
		return
	}
	w := b.worker
	w.swap(m)
	b.spared, b.since = false, time.Now()
	w.log.Info("a preferred delegate works again", "delegate", w.info.Load().Delegate)
	if b.waiting = w.recovery.missing(); b.waiting {
		b.again = time.After(b.delay.Next())
	}
}

// swap puts a model of the same tensors in the place of the present one.
func (w *worker) swap(m predictor) {
	old := w.model
	w.adopt(m)
	w.close(old)
}

// fallBack replaces a lost delegate; the frame that showed the loss has
// failed, the next one is answered.
func (w *worker) fallBack(reason error) {
	before := w.info.Load().Delegate
	m, err := w.recovery.spare()
	if err != nil {
		w.log.Error("the delegate is lost and the model does not run without it", "delegate", before, "reason", reason, "error", err)
		return
	}
	w.swap(m)
	w.log.Warn("the delegate is lost, going on without it", "delegate", before, "now", w.info.Load().Delegate, "reason", reason)
}

// tryAgain sends a model on the preferred delegate, or nil when that does not
// work yet.
func (w *worker) tryAgain(ctx context.Context, to chan<- predictor) {
	m, err := w.recovery.revive(ctx)
	if err != nil {
		w.log.Debug("no preferred delegate works yet", "error", err)
		m = nil
	}
	to <- m
}
