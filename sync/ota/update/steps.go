package update

import (
	"context"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

func (m *Machine) probe(ctx context.Context, a *store.Attempt) error {
	a.Proof = payload.Proof{}
	if err := m.o.Device.Probe(ctx, a.New.Dir, &a.Proof); err != nil {
		return err
	}
	if most := m.limits(a).MaxMemory; most > 0 && a.Proof.Memory > most {
		return Refuse("it needs %d MiB of memory, at most %d are allowed", a.Proof.Memory>>20, most>>20)
	}
	return m.next(a, payload.Shadow)
}

// limits are the release's, and the device's where it has none.
func (m *Machine) limits(a *store.Attempt) release.Limits {
	l, d := a.Limits, m.o.Limits
	if l.MinAgreement == 0 {
		l.MinAgreement = d.MinAgreement
	}
	if l.MaxScoreShift == 0 {
		l.MaxScoreShift = d.MaxScoreShift
	}
	if l.MaxSlowdown == 0 {
		l.MaxSlowdown = d.MaxSlowdown
	}
	if l.MaxMemory == 0 {
		l.MaxMemory = d.MaxMemory
	}
	return l
}

func (m *Machine) shadow(ctx context.Context, a *store.Attempt) error {
	seen, err := m.o.Device.Shadow(ctx, a.Model.Name, a.New.Dir, &a.Proof)
	if err != nil {
		return err
	}
	a.InvokeUs = seen.InvokeUs
	limits := m.limits(a)
	if a.Limits.MinAgreement == 0 && !seen.SameLabels {
		limits.MinAgreement = 0 // models of different labels cannot agree
	}
	m.mu.Lock()
	m.rec.Attempt.Proof = a.Proof // so that a refusal shows what it was judged by
	m.mu.Unlock()
	if err := judge(limits, a.Proof); err != nil {
		return err
	}
	if err := m.recheck(ctx, a); err != nil {
		return err
	}
	return m.next(a, payload.Trial)
}

// judge compares what was seen beside the present model with the limits.
func judge(l release.Limits, p payload.Proof) error {
	switch {
	case p.Agreement != nil && *p.Agreement < l.MinAgreement:
		return Refuse("it agrees with the present model on %.1f %% of %d frames, at least %.1f %% are asked for", *p.Agreement*100, p.Frames, l.MinAgreement*100)
	case l.MaxScoreShift > 0 && p.ScoreShift != nil && *p.ScoreShift > l.MaxScoreShift:
		return Refuse("its scores are distributed otherwise than the present model's: %.2f apart, at most %.2f are allowed", *p.ScoreShift, l.MaxScoreShift)
	case l.MaxSlowdown > 0 && p.Slowdown != nil && *p.Slowdown > l.MaxSlowdown:
		return Refuse("it takes %.2f times as long as the present model, at most %.2f are allowed", *p.Slowdown, l.MaxSlowdown)
	case l.MaxMemory > 0 && p.Memory > l.MaxMemory:
		return Refuse("it needs %d MiB of memory, at most %d are allowed", p.Memory>>20, l.MaxMemory>>20)
	}
	return nil
}

// trial has it serve, and commits to it when it has proved itself.
func (m *Machine) trial(ctx context.Context, a *store.Attempt) error {
	if err := m.apply(ctx); err != nil {
		return err
	}
	if err := m.o.Device.Trial(ctx, a.New, a.InvokeUs, &a.Proof); err != nil {
		m.mu.Lock()
		m.rec.Attempt.Proof = a.Proof
		m.mu.Unlock()
		return err
	}
	m.step("proved")
	if l := m.limits(a); l.MaxSlowdown > 0 && a.Proof.Slowdown != nil && *a.Proof.Slowdown > l.MaxSlowdown {
		return Refuse("on trial it took %.2f times as long as the model before, at most %.2f are allowed", *a.Proof.Slowdown, l.MaxSlowdown)
	}
	if err := m.recheck(ctx, a); err != nil {
		return err
	}
	err := m.saveStep(string(payload.Committed), a, func() {
		known := m.rec.Models[a.Model.Name]
		if known.Current == nil || known.Current.Dir != a.New.Dir {
			known.Previous = known.Current
		}
		v := a.New
		known.Current = &v
		if a.By == store.ByFolder {
			known.Looked = max(known.Looked, a.Model.Version)
		}
		m.rec.Models[a.Model.Name] = known
		*m.rec.Attempt = *a
		m.rec.Forgive(keyOf(release.Rollout{Release: v.Release, Gen: v.Gen})) // it was gone back from before
		m.enter(payload.Committed, "")
	})
	if err == nil {
		m.o.Log.Info("update committed", "model", a.Model.Name, "version", a.Model.Version, "release", a.New.Release, "digest", a.New.Digest)
		m.collect()
	}
	return err
}
