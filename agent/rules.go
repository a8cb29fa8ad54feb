package agent

import (
	"slices"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/tflite"
)

// rules decides which of one camera's predictions are worth keeping. It is
// used by one goroutine at a time.
//
// A prediction counts with its results of at least MinScore. Without OnChange
// it is kept when it has any, but at most one per SampleEvery. With OnChange
// it is kept when its set of labels differs from the last kept one's and has
// differed for Hold (so that one odd frame is no event; an empty set is a
// change too: the object left), and besides once per SampleEvery.
type rules struct {
	cfg configs.Rules

	kept     bool // something has been kept yet
	lastKept time.Time
	labels   []int // the labels of the last kept prediction, sorted
	// candidate is a set that differs from labels, seen since candidateAt.
	candidate   []int
	candidateAt time.Time
	scratch     []int
}

// keep tells whether the results of a frame captured at now are kept, and
// remembers it if so. It allocates nothing once its slices have grown.
func (r *rules) keep(now time.Time, results []tflite.Result) bool {
	r.scratch = labelSet(r.scratch[:0], results, float32(r.cfg.MinScore))
	if r.due(now) && (len(r.scratch) > 0 || r.cfg.OnChange && r.cfg.SampleEvery > 0) {
		r.remember(now)
		return true
	}
	if !r.cfg.OnChange {
		return false
	}
	if r.kept && slices.Equal(r.scratch, r.labels) {
		r.candidate = r.candidate[:0]
		r.candidateAt = time.Time{}
		return false
	}
	if r.candidateAt.IsZero() || !slices.Equal(r.scratch, r.candidate) {
		r.candidate = append(r.candidate[:0], r.scratch...)
		r.candidateAt = now
	}
	if now.Sub(r.candidateAt) < time.Duration(r.cfg.Hold) {
		return false
	}
	r.remember(now)
	return true
}

// due tells whether time alone allows (or, with OnChange, asks for) keeping
// this one.
func (r *rules) due(now time.Time) bool {
	every := time.Duration(r.cfg.SampleEvery)
	if r.cfg.OnChange {
		return every > 0 && r.kept && now.Sub(r.lastKept) >= every
	}
	return every <= 0 || !r.kept || now.Sub(r.lastKept) >= every
}

func (r *rules) remember(now time.Time) {
	r.kept = true
	r.lastKept = now
	r.labels = append(r.labels[:0], r.scratch...)
	r.candidate = r.candidate[:0]
	r.candidateAt = time.Time{}
}

// labelSet appends the distinct class indices scored at least minScore, sorted.
func labelSet(dst []int, results []tflite.Result, minScore float32) []int {
	for i := range results {
		if results[i].Score >= minScore && !slices.Contains(dst, results[i].Index) {
			dst = append(dst, results[i].Index)
		}
	}
	slices.Sort(dst)
	return dst
}
