package agent

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/agent/api/serving"
)

// desk is where requests for predictions wait for a worker, in the order in
// which they came. ask may be called by any
// goroutine, the others by the worker's.
type desk struct {
	queue   int           // examples that may wait
	timeout time.Duration // how long the first one waits for a batch to fill
	bell    chan struct{} // something waits; capacity 1

	waiting atomic.Int32 // examples; what run looks at before it takes the lock

	mu     sync.Mutex // guards all following fields
	closed bool
	batch  int // examples of one Invoke at most
	waits  []*order
	inHand []example // what take gave last
}

// order is a request: examples to be run, and room for their answers. It
// belongs to the desk until done has been received from.
type order struct {
	examples [][]byte
	answers  []serving.Answer
	came     time.Time
	since    time.Time // it came, or its last example ended; the worker's
	next     int       // the first example that was not begun
	open     int       // examples in hand
	err      error
	done     chan error // capacity 1
}

// example is one tensor of an order, and the place of its answer.
type example struct {
	*order
	at int
}

func (e example) tensor() []byte          { return e.examples[e.at] }
func (e example) answer() *serving.Answer { return &e.answers[e.at] }

func newDesk(queue, batch int, timeout time.Duration) *desk {
	return &desk{queue: queue, batch: max(batch, 1), timeout: timeout, bell: make(chan struct{}, 1)}
}

// ask has the examples run, and returns when they are, when ctx is done or when
// the desk closes.
func (d *desk) ask(ctx context.Context, examples [][]byte, answers []serving.Answer) error {
	now := time.Now()
	o := &order{examples: examples, answers: answers, came: now, since: now, done: make(chan error, 1)}
	if err := d.enter(o); err != nil {
		return err
	}
	d.ring()
	if d.timeout > 0 {
		t := time.AfterFunc(d.timeout, d.ring)
		defer t.Stop()
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		d.withdraw(o, context.Cause(ctx))
		return <-o.done // what is in hand still uses the memory
	}
}

func (d *desk) enter(o *order) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch n := int(d.waiting.Load()); {
	case d.closed:
		return serving.ErrGone
	case n+len(o.examples) > d.queue:
		return serving.ErrFull
	}
	d.waits = append(d.waits, o)
	d.waiting.Add(int32(len(o.examples)))
	return nil
}

// ring wakes the worker; it never blocks.
func (d *desk) ring() {
	select {
	case d.bell <- struct{}{}:
	default:
	}
}

// withdraw ends an order with err: at once, or when what is in hand is done.
func (d *desk) withdraw(o *order, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end(o, err)
}

// end takes what was not begun of an order out of the queue.
func (d *desk) end(o *order, err error) {
	if o.err == nil {
		o.err = err
	}
	if left := len(o.examples) - o.next; left > 0 {
		o.next = len(o.examples)
		d.waiting.Add(int32(-left))
		d.forget(o)
	}
	if o.open == 0 {
		select {
		case o.done <- o.err:
		default: // it was told already
		}
	}
}

func (d *desk) forget(o *order) {
	for i, w := range d.waits {
		if w == o {
			d.waits = slices.Delete(d.waits, i, i+1) // which leaves no pointer behind, as append would
			return
		}
	}
}

// take gives the examples that shall be run now: none while a batch may still
// fill, several when they make more than half of one, else a single one.
func (d *desk) take(now time.Time) []example {
	if d.waiting.Load() == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	waiting := int(d.waiting.Load())
	if waiting == 0 || d.batch > 1 && waiting < d.batch && now.Sub(d.waits[0].came) < d.timeout {
		return nil
	}
	n := 1
	if 2*waiting > d.batch { // a batch takes as long as if it were full
		n = min(waiting, d.batch)
	}
	d.inHand = d.inHand[:0]
	for len(d.inHand) < n {
		o := d.waits[0]
		d.inHand = append(d.inHand, example{o, o.next})
		o.open++
		if o.next++; o.next == len(o.examples) {
			d.waits = slices.Delete(d.waits, 0, 1)
		}
	}
	d.waiting.Add(int32(-n))
	return d.inHand
}

// answered tells that what take gave was run, and clears it.
func (d *desk) answered(examples []example, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range examples {
		e.open--
		if err != nil || e.order.err != nil || e.next == len(e.examples) {
			d.end(e.order, err)
		}
	}
	clear(examples) // or the memory of the last ones would stay for as long as nobody asks
}

// close refuses everything from now on, what waits included.
func (d *desk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for len(d.waits) > 0 {
		d.end(d.waits[0], serving.ErrGone)
	}
}

// single has examples run one by one from now on.
func (d *desk) single() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.batch = 1
}
