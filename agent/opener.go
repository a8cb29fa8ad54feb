package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/tflite"
)

// opener opens one configured model in the ways that it may have to run.
type opener struct {
	bundle *tflite.Bundle
	opts   tflite.Options
	inf    configs.Inference
	tuner  *Tuner
	choice Choice
	open   func(*tflite.Bundle, tflite.Options) (predictor, error)
}

func openModel(b *tflite.Bundle, opts tflite.Options) (predictor, error) {
	m, err := tflite.Load(b, opts)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// on opens the model on a delegate and warms it up.
func (o *opener) on(delegate string, threads int) (predictor, error) {
	opts := o.opts
	opts.Delegate, opts.Threads = delegate, threads
	m, err := o.open(o.bundle, opts)
	if err != nil {
		return nil, err
	}
	if err := warm(m); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// preferred chooses by trial and opens the model on the choice. What worked in
// a process of its own and does not work here ends on the CPU.
func (o *opener) preferred(ctx context.Context) (predictor, error) {
	var err error
	if o.choice, err = o.tuner.Choose(ctx, o.bundle, o.inf.Delegate.List(), int(o.inf.Threads)); err != nil {
		return nil, err
	}
	m, err := o.on(o.choice.Delegate, o.choice.Threads)
	if !errors.Is(err, tflite.ErrDelegate) {
		return m, err
	}
	o.choice.Passed = append(o.choice.Passed, ProbeReport{Spec: o.choice.Delegate, Threads: o.choice.Threads, Reason: err.Error()})
	return o.spare()
}

// spare opens the model on the CPU, with the threads that were measured best
// for it.
func (o *opener) spare() (predictor, error) {
	threads := max(int(o.inf.Threads), 1)
	var cpu []ProbeReport
	for _, r := range o.choice.Table {
		if r.OK && r.Spec == tflite.CPU {
			cpu = append(cpu, r)
		}
	}
	if len(cpu) > 0 {
		threads = fastest(cpu).Threads
	}
	return o.on(tflite.CPU, threads)
}

// revive opens the model on its preferred delegate if that works, which a
// trial process tells first.
func (o *opener) revive(ctx context.Context) (predictor, error) {
	t := *o.tuner
	t.Memory, t.Watch = nil, nil
	c, err := t.Choose(ctx, o.bundle, o.inf.Delegate.List(), int(o.inf.Threads))
	if err != nil {
		return nil, err
	}
	if len(c.Passed) > 0 {
		return nil, fmt.Errorf("%s: %s", specName(c.Passed[0].Spec), c.Passed[0].Reason)
	}
	return o.on(c.Delegate, c.Threads)
}

// recovery is for models that run, or would run, on more than the CPU.
func (o *opener) recovery() *recovery {
	if o.choice.Delegate == tflite.CPU && len(o.choice.Passed) == 0 {
		return nil
	}
	return &recovery{spare: o.spare, revive: o.revive, lost: len(o.choice.Passed) > 0}
}
