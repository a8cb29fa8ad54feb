package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/egret-edge/egret/sync/ota"
	"github.com/egret-edge/egret/sync/ota/bundle"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
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

// download brings the metadata up to date and fetches the bundle that it lists.
func (m *Machine) download(ctx context.Context, a *store.Attempt) error {
	ctx, done, err := m.inTime(ctx, a)
	if err != nil {
		return err
	}
	defer done()
	// A server that sends a byte now and then never stalls.
	ctx, cancel := context.WithTimeout(ctx, maxDownload)
	defer cancel()
	m.Hold("")
	if err := m.refresh(ctx); err != nil {
		return err
	}
	rel, err := m.o.Repository.Find(a.Doc.Release)
	switch {
	case errors.Is(err, ota.ErrNotListed):
		return Refuse("the signed metadata lists no release %s", a.Doc.Release)
	case err != nil:
		return err
	case rel.Target != a.Doc.Target:
		return Refuse("release %s is %s by its signed metadata, not %s", rel.Release, rel.Target, a.Doc.Target)
	case rel.Refused != nil:
		return Refuse("%v", rel.Refused)
	}
	if err := m.room(rel); err != nil {
		return err
	}
	_, err = m.o.Repository.Download(ctx, rel, m.o.Store.Downloads())
	switch {
	case errors.Is(err, ota.ErrWithdrawn), errors.Is(err, ota.ErrUnfit), errors.Is(err, ota.ErrNotListed):
		return Refuse("%v", err)
	case errors.Is(err, ota.ErrCorrupt), errors.Is(err, ota.ErrTooLarge):
		if m.corrupt++; m.corrupt >= maxCorrupt {
			return Refuse("%v, %d times", err, m.corrupt)
		}
		return err
	case err != nil:
		return err
	}
	a.Limits = rel.Limits
	a.New = store.Version{
		Version: a.Model.Version, Dir: m.o.Store.Dir(a.Model), Bundle: rel.SHA256,
		Release: rel.Release, Gen: a.Doc.Gen, Sequence: rel.Sequence,
	}
	return m.next(a, payload.Verifying)
}

// refresh brings the metadata up to date, and remembers the signed policy: a
// step back may be taken when nobody can be asked.
func (m *Machine) refresh(ctx context.Context) error {
	if err := m.o.Repository.Refresh(ctx); err != nil {
		return err
	}
	policy := m.o.Repository.Policy().MinSequence
	m.mu.Lock()
	same := maps.Equal(policy, m.rec.MinSequence)
	m.mu.Unlock()
	if same {
		return nil
	}
	return m.save("policy", func() { m.rec.MinSequence = maps.Clone(policy) })
}

// recheckTime bounds a look at the repository that is not needed to go on.
const recheckTime = 30 * time.Second

// recheck refuses a release that was withdrawn since it was fetched: shadow and
// trial may take days. What cannot be asked now was allowed before.
func (m *Machine) recheck(ctx context.Context, a *store.Attempt) error {
	if a.New.Bundle == "" || m.o.Repository == nil {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, recheckTime)
	defer cancel()
	if err := m.refresh(asking); err != nil && ctx.Err() == nil {
		m.o.Log.Info("the repository does not say whether the release still holds", "release", a.New.Release, "error", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.withdrawn(a.Model.Name, &a.New) {
		return Refuse("release %s was withdrawn: its sequence number %d is below %d", a.New.Release, a.New.Sequence, m.rec.MinSequence[a.Model.Name])
	}
	return nil
}

// maxDownload bounds one try; the next one goes on where it stopped.
const maxDownload = 6 * time.Hour

// maxCorrupt is how often wrong bytes may come before the release is given up:
// a cache on the way may heal.
const maxCorrupt = 3

// room refuses a version that is on this device with other content.
func (m *Machine) room(rel ota.Release) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.rec.Models[rel.Model.Name]
	for _, v := range []*store.Version{known.Current, known.Previous} {
		if v != nil && v.Dir == m.o.Store.Dir(rel.Model) && v.Bundle != rel.SHA256 {
			return Refuse("version %d of %s is here with other content: give new content a new version", rel.Model.Version, rel.Model.Name)
		}
	}
	return nil
}

// inTime waits for the device's share of the rollout's time and for the window;
// the context that it returns ends with the window.
func (m *Machine) inTime(ctx context.Context, a *store.Attempt) (context.Context, context.CancelFunc, error) {
	// A clock that was set back must not make it longer than it was at first.
	for begin := time.Now(); ctx.Err() == nil; {
		left := min(time.Until(a.NotBefore), a.Doc.Jitter()-time.Since(begin))
		if left <= 0 {
			break
		}
		m.Hold(fmt.Sprintf("downloads at %s, to spread the fleet's", time.Now().Add(left).UTC().Format(time.RFC3339)))
		m.sleep(ctx, left)
	}
	for ctx.Err() == nil {
		left := time.Duration(0)
		if m.o.Window != (Window{}) && !m.o.ClockSet() {
			m.Hold("waits for the clock to be set, since there is a window for downloads")
		} else if left = m.o.Window.Left(time.Now()); left == 0 {
			m.Hold("waits for the window for downloads, " + m.o.Window.String())
		}
		switch {
		case left < 0:
			ctx, cancel := context.WithCancel(ctx)
			return ctx, cancel, nil
		case left > 0:
			ctx, cancel := context.WithTimeout(ctx, left)
			return ctx, cancel, nil
		}
		m.sleep(ctx, time.Minute)
	}
	return ctx, nil, ctx.Err()
}

// zip is where a bundle was fetched to.
func (m *Machine) zip(v release.Model) string {
	return filepath.Join(m.o.Store.Downloads(), fmt.Sprintf("%s-%d.zip", v.Name, v.Version))
}

// verify unpacks a bundle that was fetched, and looks at what is in it.
func (m *Machine) verify(ctx context.Context, a *store.Attempt) (err error) {
	if a.Doc != nil { // else it is in its place, and nothing was fetched
		if err := m.unpack(a); errors.Is(err, fs.ErrNotExist) || errors.Is(err, ota.ErrCorrupt) {
			if m.corrupt++; m.corrupt >= maxCorrupt {
				return Refuse("what was downloaded is not what is read: %v, %d times: look at the disk", err, m.corrupt)
			}
			return m.next(a, payload.Downloading) // it was lost in between
		} else if err != nil {
			return err
		}
	}
	if a.New.Digest, err = m.o.Device.Inspect(a.New.Dir); err != nil {
		return Refuse("%v", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.next(a, payload.Probing); err != nil {
		return err
	}
	if a.Doc != nil {
		_ = os.Remove(m.zip(a.Model)) // else collect does
	}
	return nil
}

func (m *Machine) unpack(a *store.Attempt) error {
	m.mu.Lock()
	known := m.rec.Models[a.Model.Name]
	m.mu.Unlock()
	for _, v := range []*store.Version{known.Current, known.Previous} {
		if v != nil && v.Dir == a.New.Dir {
			return nil // it is here already, and has its content
		}
	}
	if err := m.o.Store.Remove(a.Model); err != nil { // of an earlier attempt
		return err
	}
	return Verify(m.zip(a.Model), a.New.Bundle, a.New.Dir, func(dir string) error {
		_, err := m.o.Device.Inspect(dir)
		return err
	})
}

// Verify makes the folder dir of a bundle's zip file: its SHA-256 must be sum,
// in hex, and inspect must find nothing wrong in the folder before it gets its
// name. What is wrong with the bundle is a *Refusal; other bytes than those of
// sum are ota.ErrCorrupt.
func Verify(zip, sum, dir string, inspect func(dir string) error) error {
	if err := checkFile(zip, sum); err != nil {
		return err
	}
	err := bundle.Unpack(zip, dir, func(fresh string) error {
		if err := inspect(fresh); err != nil {
			return Refuse("%v", err)
		}
		return nil
	})
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.Is(err, bundle.ErrInvalid):
		return Refuse("%v", err)
	}
	return err
}

// checkFile compares a file with its SHA-256 in hex.
func checkFile(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, release.MaxBundleBytes+1)); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != want {
		return fmt.Errorf("%s: %w", path, ota.ErrCorrupt)
	}
	return nil
}

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
