package api

import (
	"sync/atomic"
	"time"
)

// answerBounds are the upper bounds of the histogram of answers, in seconds.
var answerBounds = []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10}

// traffic counts requests by route. Its routes do not change after newTraffic.
type traffic struct {
	names  []string // in the order of metrics
	routes map[string]*routeTraffic
}

// routeTraffic is one route's. Any goroutine may use it.
type routeTraffic struct {
	classes [6]atomic.Uint64 // by the status's first digit; 0: no answer
	buckets [8]atomic.Uint64 // not cumulative; the last has what is above all bounds
	nanos   atomic.Int64
}

func newTraffic(names []string) *traffic {
	t := &traffic{names: names, routes: map[string]*routeTraffic{}}
	for _, n := range names {
		t.routes[n] = &routeTraffic{}
	}
	return t
}

func (t *traffic) route(name string) *routeTraffic { return t.routes[name] }

// count takes in an answer.
func (t *routeTraffic) count(status int, took time.Duration) {
	t.classes[min(max(status/100, 0), 5)].Add(1)
	t.nanos.Add(int64(took))
	i := 0
	for i < len(answerBounds) && took.Seconds() > answerBounds[i] {
		i++
	}
	t.buckets[i].Add(1)
}

// histogram is what was counted, as Prometheus has it.
func (t *routeTraffic) histogram() Histogram {
	h := Histogram{Counts: make([]uint64, len(answerBounds)), Sum: float64(t.nanos.Load()) / 1e9}
	for i := range t.buckets {
		h.Count += t.buckets[i].Load()
		if i < len(h.Counts) {
			h.Counts[i] = h.Count
		}
	}
	return h
}
