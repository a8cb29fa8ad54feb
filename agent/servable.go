package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

// servables are the models of the agent as TensorFlow Serving's calls know
// them: by their names in the configuration. It implements serving.Models.
type servables struct {
	view     func() snapshot
	deadline func() time.Duration
	counts   requestCounts
}

// requestCounts counts requests, for any goroutine.
type requestCounts struct{ answered, refused, late, failed atomic.Uint64 }

func (c *requestCounts) get() api.Requests {
	return api.Requests{Answered: c.answered.Load(), Refused: c.refused.Load(), Late: c.late.Load(), Failed: c.failed.Load()}
}

// count sorts a request by how it ended.
func (c *requestCounts) count(err error) {
	switch {
	case err == nil:
		c.answered.Add(1)
	case errors.Is(err, serving.ErrFull):
		c.refused.Add(1)
	case errors.Is(err, serving.ErrDeadline):
		c.late.Add(1)
	case errors.Is(err, context.Canceled):
	default:
		c.failed.Add(1)
	}
}

// baseName is a worker's model without the version that is named behind it.
func (w *worker) baseName() string {
	name, _, _ := strings.Cut(w.name, "@")
	return name
}

// versionLabel is the label under which a worker's version is called.
func (w *worker) versionLabel() string {
	switch _, label, beside := strings.Cut(w.name, "@"); {
	case !beside:
		return configs.Stable
	case label == configs.Canary:
		return configs.Canary
	}
	return ""
}

// Versions implements serving.Models.
func (s *servables) Versions(model string) []serving.Version {
	var all []serving.Version
	for _, w := range s.view().workers {
		if w.baseName() != model {
			continue
		}
		number, label := w.info.Load().Version, w.versionLabel()
		i := slices.IndexFunc(all, func(v serving.Version) bool { return v.Number == number })
		if i < 0 {
			i = len(all)
			all = append(all, serving.Version{Number: number, State: "AVAILABLE"})
		}
		if label != "" && !slices.Contains(all[i].Labels, label) {
			all[i].Labels = append(all[i].Labels, label)
		}
	}
	slices.SortFunc(all, func(a, b serving.Version) int { return b.Number - a.Number })
	return all
}

// Find implements serving.Models.
func (s *servables) Find(sel serving.Selector) (serving.Model, error) {
	w := s.find(sel)
	if w == nil {
		return nil, serving.ErrNotFound
	}
	return &servable{all: s, selector: sel, worker: w, info: *w.info.Load()}, nil
}

// find is the worker for what a call names: the one that waits least, one that
// cameras share before one that a camera has for itself.
func (s *servables) find(sel serving.Selector) (best *worker) {
	for _, w := range s.view().workers {
		switch {
		case w.baseName() != sel.Model,
			sel.Version != nil && w.info.Load().Version != *sel.Version,
			sel.Label != "" && w.versionLabel() != sel.Label,
			sel.Version == nil && sel.Label == "" && w.beside():
			continue
		}
		if best == nil || (best.owner != "" && w.owner == "") || (best.owner == "") == (w.owner == "") && w.desk.waiting.Load() < best.desk.waiting.Load() {
			best = w
		}
	}
	return best
}

// servable is one version of a model, as it was found.
type servable struct {
	all      *servables
	selector serving.Selector
	worker   *worker
	info     tflite.Info
}

// Info implements serving.Model.
func (s *servable) Info() tflite.Info { return s.info }

// Target implements serving.Model.
func (s *servable) Target() pixel.Target { return s.worker.feeder.target }

// Labels implements serving.Model.
func (s *servable) Labels() []string { return s.worker.labels }

// Predict implements serving.Model.
func (s *servable) Predict(ctx context.Context, examples [][]byte, answers []serving.Answer) (err error) {
	defer func() { s.all.counts.count(err) }()
	ctx, cancel := context.WithTimeoutCause(ctx, s.all.deadline(), serving.ErrDeadline)
	defer cancel()
	w := s.worker
	for {
		err := w.desk.ask(ctx, examples, answers)
		if !errors.Is(err, serving.ErrGone) {
			return err
		}
		// Its successor is loaded and about to take over.
		if w, err = s.successor(ctx, w); err != nil {
			return err
		}
	}
}

// successor waits for what takes the place of a worker that has ended.
// ErrGone when it is another model: its tensors may be others.
func (s *servable) successor(ctx context.Context, old *worker) (*worker, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	patience := time.After(successorPatience)
	for {
		w := s.all.find(s.selector)
		switch {
		case w == nil:
			return nil, serving.ErrGone
		case w != old && w.info.Load().Digest == s.info.Digest:
			return w, nil
		case w != old:
			return nil, serving.ErrGone
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-patience:
			return nil, serving.ErrGone
		case <-tick.C:
		}
	}
}

// successorPatience is how long a swap takes at most: the last Invoke of all
// models and the end of the cameras that go.
const successorPatience = 5 * time.Second
