package agent

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/ota/update"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// tapPatience is how long a frame may take to come; then the worker is looked
// for anew: a reload may have replaced it.
const tapPatience = 5 * time.Second

// invokePatience is how long the answer of one that came may take: it waits for
// an Invoke under way and for its own. One that hangs does not answer.
const invokePatience = time.Minute

// shadow compares a new model, in a process of its own, with the one that
// serves.
type shadow struct {
	model   string // the bundle's name
	frames  int    // to compare
	workers func(model string) []*worker
	hold    func(reason string)
	step    func(done, of int)

	agreed         int
	before, after  []float64 // the first result's scores
	present, fresh []float64 // Invoke times, µs
}

// manySkipped frames in a row that cannot be compared are worth a word.
const manySkipped = 10

// run compares frames until there are enough. The process is c, whose delegate
// is alike the present model's when comparable is set.
func (s *shadow) run(ctx context.Context, c *companion, comparable bool, p *payload.Proof) error {
	skipped := 0 // in a row
	alone := 0   // frames that the new model answered and the present one did not
	for p.Frames = 0; p.Frames < s.frames; {
		t, err := s.next(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		a, err := c.answer(ctx, t.held.frame.Image)
		if t.err != nil && err == nil && plausible(a.Results) == nil {
			if alone++; alone >= s.frames {
				return nil // a model that fails cannot keep its successor away
			}
		}
		if errors.Is(err, errPicture) || t.err != nil {
			if skipped++; skipped == manySkipped {
				reason := err
				if t.err != nil {
					reason = fmt.Errorf("the present model fails: %w", t.err)
				}
				s.hold(fmt.Sprintf("waits for frames that can be compared: %v", reason))
			}
			if err := sleep(ctx, time.Since(began)); err != nil {
				return err
			}
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return update.Refuse("on live frame %d: %v", p.Frames+1, err)
		}
		if err := plausible(a.Results); err != nil {
			return update.Refuse("on live frame %d: %v", p.Frames+1, err)
		}
		s.compare(t, a)
		skipped = 0
		s.hold("")
		p.Frames++
		p.Memory = max(p.Memory, a.Memory)
		s.step(p.Frames, s.frames)
		// At most half of the time: the present model shall not suffer.
		if err := sleep(ctx, time.Since(began)); err != nil {
			return err
		}
	}
	s.fill(comparable, p)
	return nil
}

// manyMissed times tapPatience without a frame are worth a word: there are
// cameras with a picture in ten seconds.
const manyMissed = 6

// next waits for a frame with the present model's answer.
func (s *shadow) next(ctx context.Context) (*tapped, error) {
	for missed := 1; ; missed++ {
		workers := s.workers(s.model)
		got, err := s.tap(ctx, workers)
		if got != nil || err != nil {
			return got, err
		}
		if len(workers) == 0 {
			s.hold("waits for frames: no camera has this model")
		} else if missed >= manyMissed {
			s.hold("waits for frames: none came")
		}
	}
}

// tap waits for one of the workers' frames; nil when none came in time.
func (s *shadow) tap(ctx context.Context, workers []*worker) (*tapped, error) {
	t := newTap()
	for _, w := range workers {
		w.tap.Store(t)
	}
	t.open.Store(true)
	defer func() {
		for _, w := range workers {
			w.tap.Store(nil)
		}
	}()
	timer := time.NewTimer(tapPatience)
	defer timer.Stop()
	for range 2 {
		select {
		case got := <-t.taken:
			return got, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
		}
		if t.open.CompareAndSwap(true, false) {
			return nil, nil // no frame came, and none is taken any more
		}
		timer.Reset(invokePatience)
	}
	return nil, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// plausible tells what no healthy model answers.
func plausible(results []tflite.Result) error {
	for _, r := range results {
		if !(r.Score >= 0 && r.Score <= 1) {
			return fmt.Errorf("it gives the score %v", r.Score)
		}
		for _, v := range r.Box {
			if math.IsNaN(float64(v)) {
				return errors.New("it gives a box that is no number")
			}
		}
	}
	return nil
}

func (s *shadow) compare(t *tapped, a frameAnswer) {
	if sameFirst(t.results, a.Results) {
		s.agreed++
	}
	s.before, s.after = append(s.before, firstScore(t.results)), append(s.after, firstScore(a.Results))
	s.present, s.fresh = append(s.present, float64(t.invoke.Nanoseconds())/1e3), append(s.fresh, a.InvokeUs)
}

// sameFirst: both see the same first, by its label where both have one, or both
// see nothing.
func sameFirst(a, b []tflite.Result) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	if a[0].Label != "" && b[0].Label != "" {
		return a[0].Label == b[0].Label
	}
	return a[0].Index == b[0].Index
}

func firstScore(results []tflite.Result) float64 {
	if len(results) == 0 {
		return 0
	}
	return float64(results[0].Score)
}

// fill works out the figures.
func (s *shadow) fill(comparable bool, p *payload.Proof) {
	agreement, shift := float64(s.agreed)/float64(p.Frames), distance(s.before, s.after)
	p.Agreement, p.ScoreShift = &agreement, &shift
	if now := median(s.present); comparable && now > 0 {
		slowdown := median(s.fresh) / now
		p.Slowdown = &slowdown
	}
}

// median of values; 0 without any.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// distance is the two-sample Kolmogorov-Smirnov statistic: the largest
// difference between two empirical distributions, 0 to 1.
func distance(a, b []float64) float64 {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	most, i, k := 0.0, 0, 0
	for i < len(a) && k < len(b) {
		at := min(a[i], b[k])
		for i < len(a) && a[i] <= at {
			i++
		}
		for k < len(b) && b[k] <= at {
			k++
		}
		most = max(most, math.Abs(float64(i)/float64(len(a))-float64(k)/float64(len(b))))
	}
	return most
}

// sameLabels tells whether two bundles, with the labels that the configuration
// gives them, name the same classes.
func sameLabels(m configs.Model, a, b string) bool {
	x, err := OpenModel(configs.Model{Path: a, Labels: m.Labels})
	if err != nil {
		return false
	}
	y, err := OpenModel(configs.Model{Path: b, Labels: m.Labels})
	return err == nil && slices.Equal(x.Labels, y.Labels)
}
