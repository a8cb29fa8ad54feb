package update

import (
	"context"
	"errors"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
)

// Run takes attempts from step to step until ctx ends.
func (m *Machine) Run(ctx context.Context) error {
	if a := m.attempt(); a.State.Ended() {
		m.collect()
	}
	m.report()
	for ctx.Err() == nil {
		var began bool
		var err error
		m.sayFallen()
		if m.first() {
			began, err = m.obey(ctx)
		} else if m.dirty && m.attempt().State != payload.Trial {
			began, err = true, m.apply(ctx)
		} else if a := m.attempt(); !a.State.Ended() {
			began, err = true, m.advance(ctx, a)
		} else if began, err = m.begin(ctx); !began {
			if err == nil {
				m.delay.Lasted(m.delay.Max)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case err != nil:
			m.wait(ctx, err)
		case !began:
			m.sleep(ctx, m.poll())
		}
	}
	return nil
}

// wait puts off what failed for reasons outside of the model.
func (m *Machine) wait(ctx context.Context, reason error) {
	d := m.delay.Next()
	m.o.Log.Warn("an update waits", "state", m.attempt().State, "reason", reason, "next_try", d.Round(time.Millisecond))
	m.setWaiting(oneLine(reason.Error()))
	m.sleep(ctx, d)
}

// sleep waits for d, or until something changes.
func (m *Machine) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-m.wake:
	case <-timer.C:
	}
}

// advance takes one step. An error means that it is to be tried again later.
func (m *Machine) advance(agent context.Context, a store.Attempt) error {
	began := a
	ctx, cancel := context.WithCancelCause(agent)
	defer cancel(nil)
	m.mu.Lock()
	m.cancel = cancel
	m.interrupt()
	m.mu.Unlock()
	err := ctx.Err()
	if err == nil {
		err = m.take(ctx, &a)
	}
	m.mu.Lock()
	m.cancel = nil
	m.mu.Unlock()
	stop, broken := stopped(ctx)
	var refusal *Refusal
	switch {
	case err != nil && m.fallen(began):
		return m.apply(agent)
	case broken && err != nil && stop.pause:
		return nil
	case broken && err != nil:
		return m.end(agent, stop.reason, stop.forget)
	case agent.Err() != nil && err != nil: // it is ending
		return nil
	case errors.As(err, &refusal):
		return m.end(agent, refusal.Reason, false)
	case err == nil:
		m.delay.Lasted(m.delay.Max)
	}
	return err
}

// take does what the state says; on success the next state is on disk.
func (m *Machine) take(ctx context.Context, a *store.Attempt) error {
	switch a.State {
	case payload.Downloading:
		return m.download(ctx, a)
	case payload.Verifying:
		m.Hold("")
		return m.verify(ctx, a)
	case payload.Probing:
		m.Hold("")
		return m.probe(ctx, a)
	case payload.Shadow:
		m.Hold("")
		return m.shadow(ctx, a)
	case payload.Trial:
		return m.trial(ctx, a)
	}
	return Refuse("there is no step %q", a.State)
}

// next stores what a step found out, and goes on to the next one.
func (m *Machine) next(a *store.Attempt, state payload.ReleaseState) error {
	m.o.Log.Info("update", "model", a.Model.Name, "version", a.Model.Version, "state", state)
	return m.saveStep(string(state), a, func() {
		*m.rec.Attempt = *a
		m.rec.Attempt.Starts = 0
		m.enter(state, "")
	})
}

// end closes an attempt without success. One that served goes back first on
// disk and then on the device.
func (m *Machine) end(ctx context.Context, reason string, forget bool) error {
	state := payload.Rejected
	a := m.attempt()
	if a.State == payload.Trial {
		state = payload.RolledBack
	}
	m.o.Log.Warn("update refused", "model", a.Model.Name, "version", a.Model.Version, "state", state, "reason", reason)
	change := func() {
		if !forget {
			m.rec.Fail(a.Key, reason)
		}
		m.enter(state, reason)
	}
	var err error
	if state == payload.RolledBack {
		m.saveBack(string(state), change)
		err = m.apply(ctx)
	} else {
		err = m.save(string(state), change)
	}
	m.collect()
	return err
}
