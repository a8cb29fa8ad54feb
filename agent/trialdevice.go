package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/ota/update"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// trialDevice runs new models for the update machine, whose goroutine calls its
// methods.
type trialDevice struct {
	agent *Agent
	// choice is what the model that was probed last shall run on.
	choice Choice
	dir    string
	inf    configs.Inference // by which it was chosen
}

// Inspect implements update.Device.
func (d *trialDevice) Inspect(dir string) (digest string, err error) {
	b, err := tflite.OpenBundle(dir)
	if err != nil {
		return "", refuse(dir, err.Error())
	}
	return b.Digest, nil
}

// configured is the model of the configuration whose bundle has that name.
func (d *trialDevice) configured(ctx context.Context, model string) (configs.Config, configs.Model, error) {
	var found struct {
		cfg   configs.Config
		model configs.Model
	}
	err := d.agent.ask(ctx, func(context.Context) error {
		found.cfg = d.agent.cfg
		for _, c := range found.cfg.Models {
			if name, err := tflite.BundleName(c.Path); err == nil && name == model {
				found.model = c
				return nil
			}
		}
		return fmt.Errorf("no configured model is called %s", model)
	})
	if err != nil {
		return configs.Config{}, configs.Model{}, err
	}
	return found.cfg, found.model, nil
}

// Probe implements update.Device: the model runs its golden samples on each
// delegate that is tried.
func (d *trialDevice) Probe(ctx context.Context, dir string, p *payload.Proof) error {
	b, err := tflite.OpenBundle(dir)
	if err != nil {
		return update.Refuse("%v", err)
	}
	cfg, _, err := d.configured(ctx, b.Name)
	if err != nil {
		return err
	}
	c, t, err := d.choose(ctx, cfg, b)
	if err != nil {
		return err
	}
	r := t.Probe(ctx, t.request(b, c.way()))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.untried:
		return errors.New(r.Reason)
	case !r.OK:
		return refuse(dir, "on "+specName(c.Delegate)+": "+r.Reason)
	}
	p.Golden, p.Memory = r.Golden, r.Memory
	d.choice, d.dir, d.inf = c, dir, cfg.Inference
	key := NewTuner(cfg.Inference, cfg.StateDir, nil).key(b, cfg.Inference.Delegate.List(), int(cfg.Inference.Threads))
	return d.agent.ask(ctx, func(context.Context) error {
		d.agent.pipeline.probed = map[string]Choice{key: c}
		return nil
	})
}

// tuner chooses what a new model shall run on, and remembers nothing: other models
// work on the same cores meanwhile. A conversion must not be why a model is found
// to be too large.
func (d *trialDevice) tuner(cfg configs.Config) *Tuner {
	t := NewTuner(cfg.Inference, cfg.StateDir, d.agent.log)
	t.Memory.ReadOnly = true
	if most := uint64(cfg.Updates.MaxMemory); t.Converter != nil && most > 0 && (t.Converter.MaxMemory == 0 || most < t.Converter.MaxMemory) {
		t.Converter.MaxMemory = most
	}
	return t
}

// choose finds what a new model shall run on. A model that does not run is
// refused; other errors may be gone at the next attempt.
func (d *trialDevice) choose(ctx context.Context, cfg configs.Config, b *tflite.Bundle) (Choice, *Tuner, error) {
	t := d.tuner(cfg)
	c, err := t.Choose(ctx, b, cfg.Inference.Delegate.List(), int(cfg.Inference.Threads))
	switch {
	case ctx.Err() != nil:
		return c, t, ctx.Err()
	case err != nil && !errors.As(err, new(*passing)):
		return c, t, refuse(b.Dir, err.Error())
	}
	return c, t, err
}

// refuse is a Refusal in which the model is "it", and no path stands: the
// operator who reads it is not on the device.
func refuse(dir, reason string) error {
	for _, name := range []string{"model " + filepath.Join(dir, "model.tflite"), filepath.Join(dir, "model.tflite")} {
		reason = strings.ReplaceAll(reason, name, "it")
	}
	return update.Refuse("%s", strings.ReplaceAll(reason, dir+string(filepath.Separator), ""))
}

// Shadow implements update.Device.
func (d *trialDevice) Shadow(ctx context.Context, model, dir string, p *payload.Proof) (update.Shadowed, error) {
	cfg, m, err := d.configured(ctx, model)
	if err != nil {
		return update.Shadowed{}, err
	}
	c, comparable, err := d.companion(ctx, cfg, m, dir)
	if err != nil {
		return update.Shadowed{}, err
	}
	defer c.close()
	machine := d.agent.updates.machine
	s := &shadow{
		model: model, frames: cfg.Updates.ShadowFrames, workers: d.agent.stable, hold: machine.Hold,
		step: func(done, of int) { machine.Progress(int64(done), int64(of)) },
	}
	if err := s.run(ctx, c, comparable, p); err != nil {
		return update.Shadowed{}, err
	}
	same := false
	if now := machine.Serving(model); now != nil {
		same = sameLabels(m, now.Dir, dir)
	} else {
		same = sameLabels(m, m.Path, dir)
	}
	return update.Shadowed{InvokeUs: median(s.present), SameLabels: same}, nil
}

// companion starts the new model's process on what it shall run on, or else on
// the CPU: a device such as an accelerator may belong to the present model.
// comparable: it runs on what it would serve on.
func (d *trialDevice) companion(ctx context.Context, cfg configs.Config, m configs.Model, dir string) (_ *companion, comparable bool, err error) {
	b, err := tflite.OpenBundle(dir)
	if err != nil {
		return nil, false, update.Refuse("%v", err)
	}
	tries := []Choice{{Delegate: tflite.CPU, Threads: max(1, int(cfg.Inference.Threads))}}
	t := d.tuner(cfg)
	if d.dir == dir && d.inf == cfg.Inference && d.choice.Delegate != "" {
		tries = slices.Insert(tries, 0, d.choice)
	} else { // since it was probed the agent was restarted, or configured anew
		c, _, err := d.choose(ctx, cfg, b)
		if err != nil {
			return nil, false, err
		}
		tries = slices.Insert(tries, 0, c)
	}
	for i, try := range tries {
		req := t.request(b, try.way())
		req.Labels, req.TopK, req.Threshold, req.Fit = m.Labels, m.TopK, m.Threshold.Pointer(), m.Fit
		var c *companion
		if c, err = startCompanion(ctx, req, time.Duration(cfg.Inference.ProbeTimeout)); err != nil {
			if ctx.Err() != nil {
				return nil, false, ctx.Err()
			}
			err = refuse(dir, err.Error())
			continue
		}
		if c.report.OK {
			return c, i == 0, nil
		}
		err = refuse(dir, c.report.Reason)
		c.close()
	}
	return nil, false, err
}

// stable are the workers that serve for a bundle's name, without those of other
// versions beside it.
func (a *Agent) stable(model string) []*worker {
	var out []*worker
	for _, w := range a.view().workers {
		if w.info.Load().Name == model && !w.beside() {
			out = append(out, w)
		}
	}
	return out
}

// Apply implements update.Device.
func (d *trialDevice) Apply(ctx context.Context) error {
	a := d.agent
	return a.ask(ctx, func(ctx context.Context) error {
		pl, err := a.planTrial(ctx)
		if err != nil {
			return err
		}
		a.applyPlan(pl)
		a.announce("models swapped")
		return nil
	})
}

// planTrial is plan, but that a model on trial is refused instead of given up:
// the machine is asking.
func (a *Agent) planTrial(ctx context.Context) (*plan, error) {
	m := a.updates.machine
	if v, name := m.OnTrial(); v != nil {
		if err := damaged(v); err != nil {
			return nil, update.Refuse("%v", err)
		}
		pl, err := a.prepare(ctx, versions{machine: m, store: store.New(a.cfg.StateDir), log: a.log}, a.cfg, nil)
		var broken *modelError
		if errors.As(err, &broken) && !errors.As(err, new(*passing)) && ctx.Err() == nil {
			for _, c := range a.cfg.Models {
				if bundle, e := tflite.BundleName(c.Path); e == nil && bundle == name && c.Name == broken.model {
					return nil, update.Refuse("%v", broken.err)
				}
			}
		} else {
			return pl, err
		}
	}
	return a.plan(ctx, a.cfg, m)
}

// Bounds of a trial.
const (
	trialPeriod = 100 * time.Millisecond
	// vouchEvery is how often a prediction is kept whatever the rules say, so
	// that there is something for the broker to confirm.
	vouchEvery = 30 * time.Second
	// A model hangs when one Invoke takes so long, and so many times the one
	// before it.
	hangsAfter = 10 * time.Second
	hangFactor = 20
	// Of failed frames, a few and then one in ten end a trial.
	failedFew   = 3
	failedShare = 10
)

// Trial implements update.Device.
func (d *trialDevice) Trial(ctx context.Context, v store.Version, invokeUs float64, p *payload.Proof) error {
	a := d.agent
	var want int
	var enabled bool
	if err := a.ask(ctx, func(context.Context) error {
		want, enabled = a.cfg.Updates.TrialFrames, a.cfg.MQTT.Enabled
		return nil
	}); err != nil {
		return err
	}
	w := a.trialWorkers(v)
	if len(w) == 0 {
		return errors.New("the model on trial is not loaded")
	}
	answered, failed := totals(w)
	info := w[0].info.Load()
	a.confirmer.expect(payload.Model{Name: info.Name, Version: info.Version, Digest: info.Digest})
	defer a.confirmer.forget()
	tick := time.NewTicker(trialPeriod)
	defer tick.Stop()
	vouched, moved := time.Time{}, time.Now()
	for {
		now := a.trialWorkers(v)
		if !slices.Equal(now, w) { // a reload in between: their counts begin anew, its own goes on
			w = now
			answered, failed = totals(w)
			answered -= uint64(p.Answered)
			failed -= uint64(p.Failed)
		}
		n, bad := totals(w)
		if int(n-answered) != p.Answered {
			moved = time.Now()
		}
		p.Answered, p.Failed, p.Confirmed = int(n-answered), int(bad-failed), a.confirmer.confirmed()
		if err := judgeTrial(w, p, invokeUs); err != nil {
			return err
		}
		a.updates.machine.Progress(int64(min(p.Answered, want)), int64(want))
		enough, proved := p.Answered >= want, p.Confirmed || !enabled
		switch {
		case enough && proved:
			if now := median(invokeTimes(w)); invokeUs > 0 && now > 0 {
				slowdown := now / invokeUs
				p.Slowdown = &slowdown
			}
			if err := a.streak.restart(); err != nil {
				a.log.Warn("earlier crashes may be held against the new model", "error", err)
			}
			return nil
		case enough:
			a.updates.machine.Hold("waits for the broker to confirm a message that it made")
		case time.Since(moved) > manyMissed*tapPatience:
			a.updates.machine.Hold("waits for frames: none came")
		default:
			a.updates.machine.Hold("")
		}
		if !p.Confirmed && time.Since(vouched) > vouchEvery {
			vouched = time.Now()
			for _, x := range w {
				x.vouch.Store(true)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// trialWorkers are those that run v.
func (a *Agent) trialWorkers(v store.Version) []*worker {
	var out []*worker
	for _, w := range a.view().workers {
		if info := w.info.Load(); info.Digest == v.Digest && info.Version == v.Version && !w.beside() {
			out = append(out, w)
		}
	}
	return out
}

func totals(workers []*worker) (answered, failed uint64) {
	for _, w := range workers {
		answered += w.answered.Load()
		failed += w.failed.Load()
	}
	return answered, failed
}

func invokeTimes(workers []*worker) (us []float64) {
	for _, w := range workers {
		us = append(us, w.invokes.recent()...)
	}
	return us
}

// hangLimit is how long an Invoke on trial may take, when it took the model
// before it so long: less than what the watchdog allows, which would end the
// whole agent.
func hangLimit(invoke time.Duration) time.Duration {
	limit := max(hangsAfter, hangFactor*invoke)
	if dog, err := daemon.SdWatchdogEnabled(false); err == nil && dog > 0 {
		limit = min(limit, dog/2*8/10)
	}
	return limit
}

// judgeTrial tells what no model on trial may do.
func judgeTrial(workers []*worker, p *payload.Proof, invokeUs float64) error {
	if p.Failed >= failedFew && p.Failed*failedShare > p.Answered {
		return update.Refuse("%d of %d frames failed", p.Failed, p.Answered+p.Failed)
	}
	limit := hangLimit(time.Duration(invokeUs) * time.Microsecond)
	for _, w := range workers {
		if since := w.busySince.Load(); since != 0 && monotonic(time.Now())-time.Duration(since) > limit {
			return update.Refuse("it has worked on one frame for more than %v", limit)
		}
	}
	return nil
}
