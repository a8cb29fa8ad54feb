package update

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// GiveUp is called when what serves for a model cannot be loaded. It goes one
// step back, and is false when there is none: the factory model does not load.
func (m *Machine) GiveUp(name, reason string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	reason = oneLine(reason)
	known := m.rec.Models[name]
	c, ok := m.configured(name)
	switch a := m.rec.Attempt; {
	case !ok || c.Fixed:
		return false
	case a != nil && a.State == payload.Trial && a.Model.Name == name:
		m.fall(reason)
	case known.Current != nil:
		m.back(name, reason)
	default:
		return false
	}
	if err := m.o.Store.Save(m.rec); err != nil {
		m.o.Log.Error("a step back was not recorded", "error", err)
	}
	m.o.Log.Error("going back to the model before", "model", name, "reason", reason)
	m.fell = true
	if m.cancel != nil {
		m.cancel(errFell)
	}
	m.stir()
	return true
}

// CrashLoop is called when the agent ended without order again and again, and
// nothing else helped: what came by an update goes one step back. It tells
// whether there was something.
func (m *Machine) CrashLoop(times int) bool {
	var names []string
	m.mu.Lock()
	for _, name := range slices.Sorted(maps.Keys(m.rec.Models)) {
		known, a := m.rec.Models[name], m.rec.Attempt
		if known.Previous != nil || known.Current != nil && known.Current.Bundle != "" || a != nil && a.State == payload.Trial && a.Model.Name == name {
			names = append(names, name)
		}
	}
	m.mu.Unlock()
	any := false
	for _, name := range names {
		any = m.GiveUp(name, fmt.Sprintf("the agent ended without order %d times in a row", times)) || any
	}
	return any
}

// saveBack is save for a step back, which is taken also when the disk takes
// nothing: what was refused must not serve on for that. Should the agent crash
// before the disk takes it, the step back is found out and taken again.
func (m *Machine) saveBack(name string, change func()) {
	err := m.save(name, change)
	if err == nil {
		return
	}
	m.o.Log.Error("a step back is not on record", "error", err)
	m.mu.Lock()
	change()
	m.unseen = true // to be saved with the next change, or at the next look
	m.mu.Unlock()
	m.report()
}

// fall ends a trial: what served before serves again. The caller holds mu, and
// saves.
func (m *Machine) fall(reason string) {
	a := m.rec.Attempt
	m.rec.Fail(a.Key, reason)
	m.enter(payload.RolledBack, reason)
}

// back makes the version before serve for a model. The caller holds mu, and
// saves.
func (m *Machine) back(name, reason string) {
	known := m.rec.Models[name]
	bad := *known.Current
	known.Current, known.Previous = known.Previous, nil
	if m.withdrawn(name, known.Current) {
		known.Current = nil // the factory model was never in the repository
	}
	if bad.Dir == inBase(known.Base, bad.Version) {
		known.Looked = min(known.Looked, bad.Version-1)
	}
	m.rec.Models[name] = known
	m.blame(name, bad, reason)
}

// blame holds it against a version that served and was gone back from, by
// whatever way it could come again. The caller holds mu, and saves.
func (m *Machine) blame(name string, bad store.Version, reason string) {
	if bad.Release != "" {
		m.rec.Fail(keyOf(release.Rollout{Release: bad.Release, Gen: bad.Gen}), reason)
		if doc := m.wanted(); doc != nil && doc.Release == bad.Release {
			m.rec.Fail(keyOf(*doc), reason)
		}
	}
	if bad.Dir == inBase(m.rec.Models[name].Base, bad.Version) {
		if print, err := fingerprint(bad.Dir); err == nil {
			m.rec.Fail(folderKey(name, bad.Version, print), reason)
		}
	}
	a := m.rec.Attempt
	if a != nil && !a.State.Ended() && a.Model.Name != name {
		return // another model's attempt goes on
	}
	if a == nil || a.Model.Name != name || a.New.Dir != bad.Dir {
		a = &store.Attempt{By: store.ByOrder, Key: "back:" + bad.Digest, Model: release.Model{Name: name, Version: bad.Version}, New: bad}
		m.rec.Attempt = a
	}
	m.rec.Fail(a.Key, reason)
	m.enter(payload.RolledBack, reason)
}

// errFell is why a step's result does not count: GiveUp was called meanwhile.
var errFell = errors.New("what served was given up")

// undo goes back from a release whose rollout was aborted.
func (m *Machine) undo(ctx context.Context) (bool, error) {
	m.mu.Lock()
	doc := m.wanted()
	var current *store.Version
	var name string
	if doc != nil {
		target, _ := release.ParseTarget(doc.Target)
		name = target.Name
		current = m.rec.Models[name].Current
		c, known := m.configured(name)
		if _, pinned := m.orders.Pins[name]; pinned || !known || c.Fixed {
			current = nil // nothing replaces what serves
		}
	}
	m.mu.Unlock()
	if doc == nil || doc.State != release.Aborted || doc.OnAbort != release.Previous || current == nil || current.Release != doc.Release {
		return false, nil
	}
	m.saveBack("undo", func() { m.back(name, "the rollout was aborted") })
	return true, m.apply(ctx)
}

// sayFallen reports what GiveUp changed: it must not do so itself, its caller
// may hold what a report asks for.
func (m *Machine) sayFallen() {
	m.mu.Lock()
	fell := m.fell
	m.fell = false
	m.mu.Unlock()
	if fell {
		m.report()
	}
}

// fallen tells whether a step's attempt was ended from outside by GiveUp.
func (m *Machine) fallen(began store.Attempt) bool {
	now := m.attempt()
	return now.Key != began.Key || now.State != began.State
}

// withdrawn tells whether the signed policy, as it was seen last, forbids a
// version. The caller holds mu.
func (m *Machine) withdrawn(name string, v *store.Version) bool {
	return v != nil && v.Sequence > 0 && v.Sequence < m.rec.MinSequence[name]
}
