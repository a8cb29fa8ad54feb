package update

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"github.com/egret-edge/egret/sync/ota"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

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
