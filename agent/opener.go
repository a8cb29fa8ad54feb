package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

// opener opens one configured model in the ways that it may have to run, best
// first: on what was passed over at the start and may come back, on the choice,
// and on the CPU.
type opener struct {
	bundle  *tflite.Bundle
	opts    tflite.Options
	inf     configs.Inference
	tuner   *Tuner
	open    func(*tflite.Bundle, tflite.Options) (predictor, error)
	holders *holders

	choice Choice

	mu sync.Mutex // guards all following fields
	// ways are those that are not the CPU, best first; at is the one that the
	// model runs on, len(ways) on the CPU.
	ways []way
	at   int
}

func openModel(b *tflite.Bundle, opts tflite.Options) (predictor, error) {
	m, err := tflite.Load(b, opts)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// choose finds what the model shall run on, by trials in processes of their
// own. Nothing is opened in this one: the trials of the next model may need the
// device.
func (o *opener) choose(ctx context.Context) (err error) {
	if o.choice, err = o.tuner.Choose(ctx, o.bundle, o.inf.Delegate.List(), int(o.inf.Threads)); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.choice.Passed {
		o.ways = append(o.ways, r.way())
	}
	o.at = len(o.ways)
	if o.choice.Delegate != tflite.CPU {
		o.ways = append(o.ways, o.choice.way())
	}
	return nil
}

// first opens the model on the choice. What worked in a process of its own and
// does not work here ends on the CPU.
func (o *opener) first() (predictor, error) {
	for i, r := range o.choice.Passed {
		if !o.heldHere(r) {
			continue
		}
		if m, err := o.on(r.way()); err == nil {
			o.choice.Delegate, o.choice.Threads, o.choice.Conversion = r.Spec, r.Threads, nil
			o.choice.Passed = o.choice.Passed[:i]
			o.runsOn(i)
			return m, nil
		}
	}
	w := o.choice.way()
	m, err := o.on(w)
	if err == nil || w.converted == "" && !errors.Is(err, tflite.ErrDelegate) {
		return m, err
	}
	o.choice.Passed = append(o.choice.Passed, ProbeReport{Spec: w.delegate, Threads: w.threads, Converted: w.converted, Reason: err.Error()})
	o.choice.Delegate, o.choice.Threads, o.choice.Conversion = tflite.CPU, o.spareThreads(), nil
	return o.spare()
}

// heldHere tells a device that another process cannot have because this one
// has it already from one that does not work.
func (o *opener) heldHere(r ProbeReport) bool {
	return !r.OK && !r.died && !r.untried && r.Converted == "" && o.holders.has(r.Spec)
}

// on opens the model in a way and warms it up.
func (o *opener) on(w way) (predictor, error) {
	// Another model's results under this one's name would be worse than none.
	if now, err := tflite.OpenBundle(o.bundle.Path()); err != nil {
		return nil, err
	} else if now.Digest != o.bundle.Digest {
		return nil, fmt.Errorf("model %s is another one now: reload the configuration to take it over", o.bundle.ModelPath)
	}
	opts := o.opts
	opts.Delegate, opts.Threads = w.delegate, w.threads
	b, err := o.tuner.bundle(o.bundle, w)
	if err != nil {
		return nil, err
	}
	m, err := o.open(b, opts)
	if err != nil {
		return nil, err
	}
	if err := warm(m); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return o.holders.hold(w.delegate, m), nil
}

// batches opens the model for n pictures at once on what it runs on, once a
// process of its own has shown that this works. Few models can; alone is the
// same for one picture.
func (o *opener) batches(ctx context.Context, n int, alone predictor) (batcher, error) {
	w := o.choice.way()
	req := o.tuner.request(o.bundle, w)
	req.Batch = n
	r := o.tuner.Probe(ctx, req)
	if !r.OK {
		return nil, errors.New(r.Reason)
	}
	if took := time.Duration(r.InvokeP50 * float64(time.Millisecond)); took > batchBound {
		return nil, fmt.Errorf("a batch of %d takes %v, more than %v: give a smaller max_batch_size", n, took.Round(time.Millisecond), batchBound)
	}
	opts := o.opts
	opts.Delegate, opts.Threads, opts.Batch = w.delegate, w.threads, n
	b, err := o.tuner.bundle(o.bundle, w)
	if err != nil {
		return nil, err
	}
	m, err := tflite.Load(b, opts)
	if err != nil {
		return nil, err
	}
	if err := alike(alone, m, n); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// batchBound is the longest Invoke of a batch: it cannot be interrupted, cameras
// wait for it, and both the end of a worker and the watchdog have bounds.
const batchBound = 2 * time.Second

// alike checks that the last picture of a full batch gets what it gets alone: a
// model may mix them up.
func alike(alone predictor, many batcher, n int) error {
	target := alone.Target()
	blank, noise := make([]byte, target.Bytes()), make([]byte, target.Bytes())
	rgb := make([]byte, target.Width*target.Height*3)
	for i := range rgb {
		rgb[i] = byte(i * i >> 8)
	}
	var scaler pixel.Scaler
	defer scaler.Close()
	picture := pixel.Image{Format: pixel.RGB24, Width: target.Width, Height: target.Height, Data: rgb}
	if _, err := scaler.Tensor(noise, &target, picture); err != nil {
		return err
	}
	var want tflite.Output
	if err := alone.Predict(noise, &want); err != nil {
		return err
	}
	tensors, outs := make([][]byte, n), make([]*tflite.Output, n)
	for i := range tensors {
		tensors[i], outs[i] = blank, &tflite.Output{}
	}
	tensors[n-1] = noise
	if err := many.PredictBatch(tensors, outs); err != nil {
		return err
	}
	got := outs[n-1].Results
	if len(got) != len(want.Results) || len(got) > 0 && (got[0].Index != want.Results[0].Index || apart(got[0].Score, want.Results[0].Score) > 0.02) {
		return fmt.Errorf("a picture of a batch gets another answer than alone: %v, alone %v", got, want.Results)
	}
	return nil
}

// spare opens the model on the CPU.
func (o *opener) spare() (predictor, error) {
	m, err := o.on(way{delegate: tflite.CPU, threads: o.spareThreads()})
	if err == nil {
		o.runsOn(len(o.ways))
	}
	return m, err
}

// spareThreads are those that were measured best for the CPU.
func (o *opener) spareThreads() int {
	var cpu []ProbeReport
	for _, r := range o.choice.Table {
		if r.OK && r.Spec == tflite.CPU && r.Converted == "" {
			cpu = append(cpu, r)
		}
	}
	if len(cpu) > 0 {
		return fastest(cpu).Threads
	}
	return max(int(o.inf.Threads), 1)
}

func (o *opener) runsOn(i int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at = i
}

// missing tells whether something better than what the model runs on may come
// back.
func (o *opener) missing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at > 0
}

// revive opens the model on the best of the ways before the present one that
// works again, which a trial process tells first.
func (o *opener) revive(ctx context.Context) (predictor, error) {
	o.mu.Lock()
	better := o.ways[:o.at]
	o.mu.Unlock()
	var errs error
	for i, w := range better {
		r := o.tuner.Probe(ctx, o.tuner.request(o.bundle, w))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !r.OK && !o.heldHere(r) {
			errs = errors.Join(errs, fmt.Errorf("%s: %s", specName(w.delegate), r.Reason))
			continue
		}
		m, err := o.on(w)
		if err == nil {
			o.runsOn(i)
			return m, nil
		}
		errs = errors.Join(errs, err)
	}
	return nil, errs
}

// recovery is for models that run, or would run, on more than the CPU.
func (o *opener) recovery() *recovery {
	if len(o.ways) == 0 {
		return nil
	}
	return &recovery{spare: o.spare, revive: o.revive, missing: o.missing}
}

// holders counts the models of this process by delegate. Some devices belong
// to one process at a time: while a model here has it, a trial process is
// refused, which says nothing of the device. A nil one counts nothing.
type holders struct {
	mu    sync.Mutex
	count map[string]int // by specification
}

func (h *holders) has(spec string) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count[spec] > 0
}

func (h *holders) add(spec string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count == nil {
		h.count = map[string]int{}
	}
	h.count[spec] += n
}

// hold counts the model until it is closed.
func (h *holders) hold(spec string, m predictor) predictor {
	if h == nil {
		return m
	}
	h.add(spec, 1)
	return &held{predictor: m, release: sync.OnceFunc(func() { h.add(spec, -1) })}
}

type held struct {
	predictor
	release func()
}

func (h *held) Close() error {
	defer h.release()
	return h.predictor.Close()
}
