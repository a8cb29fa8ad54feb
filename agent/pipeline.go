package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// Bounds of the shutdown; with the publisher's they stay well within the
// unit's TimeoutStopSec.
const (
	cameraBound = 2 * time.Second
	workerBound = 3 * time.Second // a slow model's Invoke cannot be interrupted
)

// pipeline is the running set of cameras and workers. One goroutine, the
// agent's, builds, changes and ends it; telemetry and the watchdog read it
// through snapshot.
type pipeline struct {
	tasks *tasks
	// tuner chooses what models run on; its Log is not used.
	tuner func(configs.Inference) *Tuner
	// cpuOnly passes over every other delegate.
	cpuOnly bool
	log     *slog.Logger
	rec     *recorder
	clock   func() payload.Clock
	holders holders
	events  *events // nil when nobody can listen
	// probed are choices that were made outside of a plan, by Tuner.key.
	probed map[string]Choice

	workers []*runningWorker
	cameras []*runningCamera
}

type runningWorker struct {
	*worker   // nil until it is opened
	opener    *opener
	cfg       configs.Model
	inference configs.Inference
	requests  configs.Requests
	camera    string // whose own interpreter it is; empty when shared
	task      *task
}

type runningCamera struct {
	*camera
	task *task
}

// plan is a configuration with everything that can fail already done: models
// loaded and warmed, sources parsed. Parts that did not change are the running
// ones.
type plan struct {
	workers []*runningWorker
	cameras []*runningCamera
	configs []configs.Camera // of cameras, in the same order
	serves  []*runningWorker // of cameras, in the same order
	trials  *trials
}

// prepare builds what cfg asks for beside what runs, and changes nothing.
func (p *pipeline) prepare(ctx context.Context, cfg configs.Config) (pl *plan, err error) {
	pl = &plan{trials: newTrials()}
	maps.Copy(pl.trials.choices, p.probed)
	defer func() {
		if err != nil {
			pl.discard()
			pl = nil
		}
	}()
	models := map[string]configs.Model{}
	for _, m := range cfg.Models {
		models[m.Name] = m
	}
	for _, cc := range cfg.Cameras {
		c, err := p.prepareCamera(cc)
		if err != nil {
			return pl, err
		}
		m, named := models[cc.Model]
		if !named {
			m = cfg.Models[0]
		}
		w, err := p.planWorker(ctx, pl, m, cc, cfg)
		if err != nil {
			return pl, err
		}
		pl.cameras = append(pl.cameras, c)
		pl.configs = append(pl.configs, cc)
		pl.serves = append(pl.serves, w)
	}
	// A model that serves no camera is loaded all the same: it was asked for.
	for _, m := range cfg.Models {
		if slices.ContainsFunc(pl.workers, func(w *runningWorker) bool { return w.cfg.Name == m.Name }) {
			continue
		}
		if _, err := p.planWorker(ctx, pl, m, configs.Camera{}, cfg); err != nil {
			return pl, err
		}
	}
	// Only now: while a model has a device, no trial process gets it.
	for _, w := range pl.workers {
		if w.worker == nil {
			if err := p.openWorker(ctx, w); err != nil {
				return pl, err
			}
		}
	}
	return pl, nil
}

// planWorker finds the worker for a camera in the plan, or adds it.
func (p *pipeline) planWorker(ctx context.Context, pl *plan, m configs.Model, cc configs.Camera, cfg configs.Config) (*runningWorker, error) {
	owner := ""
	if cc.Interpreter == "own" {
		owner = cc.Name
	}
	for _, w := range pl.workers {
		if w.cfg.Name == m.Name && w.camera == owner {
			return w, nil
		}
	}
	w, err := p.chooseWorker(ctx, pl.trials, m, owner, cfg)
	if err != nil {
		return nil, err
	}
	pl.workers = append(pl.workers, w)
	return w, nil
}

// discard closes what a plan that will not be applied has loaded.
func (pl *plan) discard() {
	for _, w := range pl.workers {
		if w.task == nil && w.worker != nil {
			w.dropBatches()
			_ = w.model.Close() // it never ran; the plan's own error is the one to report
		}
	}
}

// chooseWorker returns the running worker when its model file and its settings
// are the same, else a new one that knows what it will run on.
func (p *pipeline) chooseWorker(ctx context.Context, tried *trials, m configs.Model, owner string, cfg configs.Config) (*runningWorker, error) {
	inf, requests := cfg.Inference, asked(cfg.API)
	if _, err := tflite.OpenBundle(m.Path); err != nil {
		return nil, &modelError{m.Name, err}
	}
	bundle, err := OpenModel(m)
	if err != nil {
		return nil, err
	}
	for _, w := range p.workers {
		if w.cfg == m && w.camera == owner && w.inference == inf && w.requests == requests && w.info.Load().Digest == bundle.Digest {
			return w, nil
		}
	}
	t := p.tuner(inf)
	t.trials = tried
	if len(p.workers) > 0 && t.Memory != nil {
		// Other models work on the same cores meanwhile: good enough for now,
		// not for every start from here on.
		t.Memory.ReadOnly = true
	}
	o := &opener{bundle: bundle, opts: LoadOptions(m, p.log.With("model", m.Name)), inf: inf, tuner: t, open: openModel, holders: &p.holders}
	if p.cpuOnly {
		o.inf.Delegate = configs.DelegateList(tflite.CPU)
		t.Converter = nil
	}
	if err := o.choose(ctx); err != nil {
		return nil, &modelError{m.Name, err}
	}
	return &runningWorker{opener: o, cfg: m, camera: owner, inference: inf, requests: requests}, nil
}

// openWorker loads and warms what was chosen.
func (p *pipeline) openWorker(ctx context.Context, w *runningWorker) error {
	model, err := w.opener.first()
	if err != nil && w.cfg.Labels == "" {
		return &modelError{w.cfg.Name, err} // else the labels may be to blame
	} else if err != nil {
		return err
	}
	p.say(w.cfg.Name, w.opener.choice)
	w.worker = newWorker(w.cfg.Name, model, p.rec, p.clock, p.log)
	w.labels = w.opener.bundle.Labels
	w.owner, w.recovery = w.camera, w.opener.recovery()
	w.priority = w.requests.Priority
	w.desk = newDesk(w.requests.Queue, 1, 0)
	if n := w.requests.MaxBatchSize; n > 1 {
		if w.batched, err = w.opener.batches(ctx, n, model); err != nil {
			p.log.Info("requests are run one by one: the model takes no batches", "model", w.name, "reason", err)
			return nil
		}
		w.desk = newDesk(w.requests.Queue, n, time.Duration(w.requests.BatchTimeout))
	}
	return nil
}

// asked is how models take requests: none without an interface to ask by.
func asked(api configs.API) configs.Requests {
	if !api.Enabled && !api.GRPC.Enabled {
		return configs.Requests{}
	}
	return api.Requests
}

// say logs what a model runs on, and why.
func (p *pipeline) say(model string, c Choice) {
	for _, r := range c.Passed {
		if c.repeated {
			break // said already
		}
		p.log.Warn("delegate passed over", "model", model, "delegate", specName(r.Spec), "threads", r.Threads, "reason", r.Reason)
	}
	how := "measured"
	if c.Remembered {
		how = "remembered"
	}
	p.log.Info("delegate chosen", "model", model, "delegate", specName(c.Delegate), "threads", c.Threads, "how", how, "table", c.Summary())
	if v := c.Conversion; v != nil {
		p.log.Info("model runs converted", "model", model, "to", v.To, "invoke_ms", fmt.Sprintf("%.2f", v.ConvertedMs), "original_ms", fmt.Sprintf("%.2f", v.OriginalMs),
			"times_as_fast", fmt.Sprintf("%.1f", v.OriginalMs/v.ConvertedMs), "same_answers", fmt.Sprintf("%.1f%% of %d", 100*v.Agreement, v.Sure))
	} else if !c.repeated {
		for _, why := range c.Refused {
			p.log.Info("model runs as it is, not converted", "model", model, "reason", why)
		}
	}
}

func (p *pipeline) prepareCamera(cc configs.Camera) (*runningCamera, error) {
	for _, c := range p.cameras {
		if c.name == cc.Name && c.cfg.Source == cc.Source && c.cfg.StallTimeout == cc.StallTimeout {
			return c, nil
		}
	}
	log := p.log.With("camera", cc.Name)
	src, err := sensors.Open(cc.Source, sensors.Options{Logger: log})
	if err != nil {
		return nil, fmt.Errorf("camera %q: %w", cc.Name, err)
	}
	c := &camera{name: cc.Name, log: log, events: p.events}
	c.sup = &sensors.Supervisor{
		Source: src, Camera: cc.Name, StallTimeout: time.Duration(cc.StallTimeout), Logger: p.log,
	}
	return &runningCamera{camera: c}, nil
}

// apply makes a plan the running state. It cannot fail, and loses no frame
// that a camera which stays has delivered: the slots stay, and the new worker
// takes over where the old one leaves.
func (p *pipeline) apply(pl *plan) {
	var gone []*task
	for _, c := range p.cameras {
		if !slices.Contains(pl.cameras, c) {
			gone = append(gone, c.task)
			c.live.close()
		}
	}
	// Before their successors start: a V4L2 device has one owner at a time.
	p.tasks.endAll(gone)

	serves := map[*worker][]*camera{}
	for i, c := range pl.cameras {
		c.configure(pl.configs[i])
		w := pl.serves[i].worker
		c.worker.Store(w)
		serves[w] = append(serves[w], c.camera)
	}
	// Before their successors begin, or a camera's answers would come out of
	// order; a frame waits in its slot for as long as the last Invoke takes.
	var replaced []*task
	for _, w := range p.workers {
		if !slices.Contains(pl.workers, w) {
			w.task.bound = w.patience()
			replaced = append(replaced, w.task)
		}
	}
	p.tasks.endAll(replaced)
	for _, w := range pl.workers {
		w.serve(serves[w.worker])
		if w.task == nil {
			w.task = p.tasks.start("model "+w.name, workerBound, w.run)
		}
	}
	for _, c := range pl.cameras {
		if c.task == nil {
			c.task = p.tasks.start("camera "+c.name, cameraBound, c.run)
		}
	}
	p.workers, p.cameras = pl.workers, pl.cameras
}

// patience is how long a worker that is replaced is waited for: what it has in
// hand and what is decoded by then, on a device on which the model takes
// seconds.
func (w *worker) patience() time.Duration {
	times := w.invokes.latest()
	if len(times) == 0 {
		return workerBound
	}
	return max(workerBound, min(4*times[len(times)-1], 20*time.Second))
}

// run supervises the camera's source. A source that came to its end leaves
// the camera standing, so that its last state stays visible and it can be
// restarted.
func (c *camera) run(ctx context.Context) error {
	for {
		err := c.sup.Run(ctx, c.emit)
		if !errors.Is(err, sensors.ErrEnd) {
			return err
		}
		c.log.Info("source ended")
		if !c.sup.Restarted(ctx) {
			return nil
		}
	}
}

// stop ends capture first, then inference.
func (p *pipeline) stop() {
	var all []*task
	for _, c := range p.cameras {
		all = append(all, c.task)
		c.live.close()
	}
	p.tasks.endAll(all)
	all = all[:0]
	for _, w := range p.workers {
		all = append(all, w.task)
	}
	p.tasks.endAll(all)
}
