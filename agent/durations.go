package agent

import (
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/egret-edge/egret/agent/api"
)

// durations keeps the latest Invoke times for percentiles. Its zero value is
// ready; any goroutine may use it.
type durations struct {
	mu      sync.Mutex
	ring    [256]time.Duration // time i of all is at i modulo its length
	drained int                // of count, by drain
	// Of all times ever; buckets counts those up to each of api.InvokeBounds.
	sum     time.Duration
	count   int
	buckets [bucketCount]uint64
}

// bucketCount is that of api.InvokeBounds; a test holds it.
const bucketCount = 11

func (d *durations) add(t time.Duration) {
	d.mu.Lock()
	d.ring[d.count%len(d.ring)] = t
	d.sum += t
	d.count++
	if i := sort.SearchFloat64s(api.InvokeBounds, t.Seconds()); i < len(d.buckets) {
		d.buckets[i]++
	}
	d.mu.Unlock()
}

// drain returns the times since the last call, the latest 256 at most, in no
// order.
func (d *durations) drain() (times []time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := max(d.drained, d.count-len(d.ring)); i < d.count; i++ {
		times = append(times, d.ring[i%len(d.ring)])
	}
	d.drained = d.count
	return times
}

// latest gives the latest 256 times at most, sorted, whatever was drained.
func (d *durations) latest() []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	times := slices.Clone(d.ring[:min(d.count, len(d.ring))])
	slices.Sort(times)
	return times
}

// recent is latest in microseconds.
func (d *durations) recent() []float64 {
	var us []float64
	for _, t := range d.latest() {
		us = append(us, float64(t.Nanoseconds())/1e3)
	}
	return us
}

// histogram is of all times since the start.
func (d *durations) histogram() api.Histogram {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := api.Histogram{Counts: make([]uint64, len(d.buckets)), Count: uint64(d.count), Sum: d.sum.Seconds()}
	n := uint64(0)
	for i, here := range d.buckets {
		n += here
		h.Counts[i] = n
	}
	return h
}

// mean is of all times since the start; 0 without any.
func (d *durations) mean() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sum / time.Duration(max(d.count, 1))
}
