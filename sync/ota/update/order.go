package update

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// Watch looks at the orders every now and then, also while Run works on a step.
func (m *Machine) Watch(ctx context.Context) error {
	// Folders may be looked at once a day; who gives an order waits for it.
	tick := time.NewTicker(min(m.poll(), 10*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		m.look()
	}
}

func (m *Machine) poll() time.Duration {
	if m.o.Poll < 0 {
		return 10 * time.Second
	}
	return orDefault(m.o.Poll, 10*time.Second)
}

// look reads the orders. It does so each time: the file is small, and two orders
// within one tick of the file system's clock cannot be told by its time.
func (m *Machine) look() {
	orders, err := m.o.Store.Orders()
	blind := ""
	if err != nil {
		blind = err.Error()
	}
	m.mu.Lock()
	fresh := err == nil && orders.Number != m.orders.Number
	worse := blind != "" && blind != m.blind
	m.blind = blind
	if fresh {
		m.orders = orders
		m.interrupt()
	}
	m.mu.Unlock()
	if worse {
		m.o.Log.Error("orders are not obeyed", "error", err)
	}
	if fresh {
		m.stir()
	}
}

// news tells whether there is an order that was not carried out. Numbers that
// went down are those of a new file: somebody removed the one before. The
// caller holds mu.
func (m *Machine) news() bool {
	return m.orders.Number != 0 && m.orders.Number != m.rec.Obeyed
}

// urgent tells whether the next order is to be carried out also while another
// model's attempt is under way, which may wait for days: a label, or a way back.
// The caller holds mu.
func (m *Machine) urgent() bool {
	if !m.news() {
		return false
	}
	waiting := m.orders.Waiting(m.rec.Obeyed)
	return len(waiting) == 0 || waiting[0].Back || waiting[0].Factory
}

// obey carries out the next order, once.
func (m *Machine) obey(ctx context.Context) (bool, error) {
	m.mu.Lock()
	number, news := m.orders.Number, m.news()
	waiting := m.orders.Waiting(m.rec.Obeyed)
	m.mu.Unlock()
	if !news {
		return false, nil
	}
	var o *store.Order
	if len(waiting) > 0 {
		o, number = &waiting[0], waiting[0].Number
	}
	done := func() { m.obeyed(number, o) }
	if o == nil { // pins and canaries
		if err := m.save("order", done); err != nil {
			return false, err
		}
		return true, m.show(ctx)
	}
	dir, found := m.find(o.Model)
	if c, known := m.configured(o.Model.Name); !known || c.Fixed || !found && !o.Factory {
		why := "there is no such model on this device"
		if c.Fixed {
			why = "the configuration fixes the model's versions"
		}
		m.o.Log.Warn("an order cannot be carried out: "+why, "model", o.Model.Name, "version", o.Model.Version)
		return true, m.save("order", func() { m.rec.Obeyed = number })
	}
	if o.Factory || o.Back {
		return true, m.restore(ctx, *o, dir, done)
	}
	key := fmt.Sprintf("order %d", number)
	return true, m.save("order", func() {
		done()
		m.rec.Attempt = &store.Attempt{By: store.ByOrder, Key: key, Model: o.Model, New: m.version(o.Model, dir)}
		m.enter(payload.Verifying, "")
	})
}

// obeyed remembers that an order was carried out: o, or labels. What was wanted
// of the same model before is not any more: whoever is at the device knows
// better, until there is news. The caller holds mu, and saves.
func (m *Machine) obeyed(number uint64, o *store.Order) {
	m.rec.Obeyed = number
	// Whoever gives an order may have mended why a pinned version failed.
	m.rec.Failed = slices.DeleteFunc(m.rec.Failed, func(f store.Failure) bool { return strings.HasPrefix(f.Key, pinnedKey) })
	if o == nil {
		return
	}
	reason := fmt.Sprintf("an order on the device asked for another version of %s", o.Model.Name)
	if doc := m.wanted(); doc != nil {
		if target, _ := release.ParseTarget(doc.Target); target.Name == o.Model.Name && (o.Factory || target != o.Model) {
			m.rec.Fail(keyOf(*doc), reason)
		}
	}
	// The document of what serves may not have come yet, after a start.
	if c := m.rec.Models[o.Model.Name].Current; c != nil && c.Release != "" && (o.Factory || c.Version != o.Model.Version) {
		m.rec.Fail(keyOf(release.Rollout{Release: c.Release, Gen: c.Gen}), reason)
	}
}

// show applies the record, but for a trial's step, which does so by itself: a
// model on trial that does not load is its business.
func (m *Machine) show(ctx context.Context) error {
	if m.attempt().State == payload.Trial {
		m.dirty = true
		return nil
	}
	return m.apply(ctx)
}

// restore makes serve what has served before, at once.
func (m *Machine) restore(ctx context.Context, o store.Order, dir string, done func()) error {
	var v *store.Version
	if !o.Factory {
		digest, err := m.o.Device.Inspect(dir)
		if err != nil {
			m.o.Log.Warn("an order cannot be carried out", "model", o.Model.Name, "version", o.Model.Version, "error", err)
			return m.save("order", done)
		}
		m.mu.Lock()
		known := m.version(o.Model, dir)
		withdrawn := m.withdrawn(o.Model.Name, &known)
		m.mu.Unlock()
		if withdrawn {
			m.o.Log.Warn("an order cannot be carried out: the version was withdrawn", "model", o.Model.Name, "version", o.Model.Version)
			return m.save("order", done)
		}
		known.Digest = digest
		v = &known
	}
	err := m.save("order", func() {
		done()
		known := m.rec.Models[o.Model.Name]
		if known.Current != nil && v != nil && known.Current.Dir == v.Dir {
			return // it serves
		}
		// A version that was there at first, which has no digest, is the
		// factory model: it is not gone back from.
		if bad := known.Current; bad != nil && (v != nil || bad.Digest != "") {
			m.blame(o.Model.Name, *bad, "rolled back by an order on the device")
		}
		known.Current, known.Previous = v, nil
		m.rec.Models[o.Model.Name] = known
	})
	if err != nil {
		return err
	}
	return m.show(ctx)
}

// pin has a pinned version take its place.
func (m *Machine) pin(context.Context) (bool, error) {
	m.mu.Lock()
	pins := m.orders.Pins // replaced as a whole, never changed
	m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(pins)) {
		wish := release.Model{Name: name, Version: pins[name]}
		key := PinnedKey(wish.Name, wish.Version)
		m.mu.Lock()
		_, failed := m.rec.HasFailed(key)
		now := m.rec.Serving(name)
		if now == nil {
			now = m.base(name)
		}
		m.mu.Unlock()
		c, known := m.configured(name)
		dir, found := m.find(wish)
		if !known || c.Fixed || failed || !found || now != nil && now.Version == wish.Version {
			continue
		}
		return true, m.save("pin", func() {
			m.rec.Attempt = &store.Attempt{By: store.ByOrder, Key: key, Model: wish, New: m.version(wish, dir)}
			m.enter(payload.Verifying, "")
		})
	}
	return false, nil
}

const pinnedKey = "pinned "

// PinnedKey is the failure of a pinned version.
func PinnedKey(name string, version int) string {
	return fmt.Sprintf("%s%s/%d", pinnedKey, name, version)
}

// first tells whether there is an order that goes before the attempt under way.
func (m *Machine) first() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	var stop *errStop
	return errors.As(m.unwanted(), &stop) && stop.pause
}
