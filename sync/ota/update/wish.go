package update

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// Document takes what came on one of the topics: a rollout document, or nothing
// when it was cleared. What is wrong, or older than what was seen, is ignored
// and reported.
func (m *Machine) Document(topic string, data []byte) {
	err := m.document(topic, data)
	m.mu.Lock()
	m.ignored = ""
	if err != nil {
		m.ignored = oneLine(fmt.Sprintf("the document of %s was ignored: %v", topic, err))
	}
	m.interrupt()
	m.mu.Unlock()
	if err != nil {
		m.o.Log.Warn("a rollout document is ignored", "topic", topic, "error", err)
	}
	m.report()
	m.stir()
}

func (m *Machine) document(topic string, data []byte) error {
	if topic != m.o.Topics.Pin() && topic != payload.Desired(m.o.Topics.Fleet, m.o.Cohort) {
		return fmt.Errorf("it is not for this device")
	}
	if len(data) == 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.docs, topic)
		return nil
	}
	doc, err := release.ParseRollout(data)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := m.rec.Seen[topic]
	if doc.Older(release.Rollout{Gen: seen.Gen, Rev: seen.Rev}) {
		return fmt.Errorf("it is older (gen %d, rev %d) than what was seen (%d, %d)", doc.Gen, doc.Rev, seen.Gen, seen.Rev)
	}
	m.docs[topic] = &doc
	return nil
}

// wanted is the document that holds for this device: its own before its
// cohort's; nil without. The caller holds mu.
func (m *Machine) wanted() *release.Rollout {
	if doc := m.docs[m.o.Topics.Pin()]; doc != nil {
		return doc
	}
	return m.docs[payload.Desired(m.o.Topics.Fleet, m.o.Cohort)]
}

func (m *Machine) pinned() bool { return m.docs[m.o.Topics.Pin()] != nil }

// keyOf names a release's attempt: with another gen it is another one.
func keyOf(doc release.Rollout) string { return fmt.Sprintf("%s@%d", doc.Release, doc.Gen) }

// consider tells whether to begin with what doc asks for, and if not, what to
// report. The caller holds mu.
func (m *Machine) consider(doc release.Rollout) (begin bool, state payload.ReleaseState, reason string) {
	target, _ := release.ParseTarget(doc.Target) // checked when it came
	c, known := m.configured(target.Name)
	current := m.rec.Models[target.Name].Current
	failure, failed := m.rec.HasFailed(keyOf(doc))
	switch pin, pinned := m.orders.Pins[target.Name]; {
	case failed:
		return false, payload.Rejected, failure.Reason
	case !known:
		return false, payload.Idle, fmt.Sprintf("no configured model is called %s", target.Name)
	case c.Fixed:
		return false, payload.Idle, fmt.Sprintf("the configuration fixes the versions of %s", target.Name)
	case current != nil && current.Release == doc.Release && current.Version == target.Version:
		return false, payload.Committed, "it serves already"
	case doc.State == release.Aborted:
		return false, payload.Idle, "the rollout was aborted"
	case doc.State == release.Paused:
		return false, payload.Idle, "the rollout is paused"
	case pinned:
		return false, payload.Idle, fmt.Sprintf("%s is pinned to version %d on this device", target.Name, pin)
	case !m.pinned() && !doc.Selects(m.o.Topics.Device):
		return false, payload.Idle, fmt.Sprintf("not among the first %.2f %% of the cohort", float64(doc.BasisPoints)/100)
	case m.o.Repository == nil:
		return false, payload.Idle, "this device has no repository: set updates.repository"
	}
	return true, payload.Idle, ""
}

// interrupt breaks the present step off when it is no longer wanted. The caller
// holds mu.
func (m *Machine) interrupt() {
	if m.cancel == nil {
		return
	}
	if err := m.unwanted(); err != nil {
		m.cancel(err)
	}
}

// unwanted tells why the attempt under way shall end; nil when it may go on. The
// caller holds mu.
func (m *Machine) unwanted() error {
	a := m.rec.Attempt
	if a == nil || a.State.Ended() {
		return nil
	}
	if m.orders.Number > m.rec.Obeyed && m.orders.Last != nil && m.orders.Last.Model.Name == a.Model.Name {
		return &errStop{"an order on the device came between", false}
	}
	if pin, ok := m.orders.Pins[a.Model.Name]; ok && pin != a.Model.Version {
		return &errStop{fmt.Sprintf("the model was pinned to version %d on the device", pin), true}
	}
	doc := m.wanted()
	if doc == nil || a.Doc == nil {
		return nil
	}
	switch {
	case keyOf(*doc) == a.Key && doc.State == release.Aborted:
		return &errStop{"the rollout was aborted", false}
	case keyOf(*doc) != a.Key && doc.State == release.Running:
		return &errStop{"another release is wanted: " + doc.Release, true}
	}
	return nil
}

// Watch looks at the orders every now and then, also while Run works on a step.
func (m *Machine) Watch(ctx context.Context) error {
	tick := time.NewTicker(m.poll())
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

// look reads the orders when they are other ones.
func (m *Machine) look() {
	at := m.o.Store.OrdersChanged()
	m.mu.Lock()
	same := at.Equal(m.read)
	m.mu.Unlock()
	if same {
		return
	}
	orders, err := m.o.Store.Orders()
	m.mu.Lock()
	m.read = at
	if err == nil {
		m.orders = orders
		m.interrupt()
	}
	m.mu.Unlock()
	if err != nil {
		m.o.Log.Error("orders are not obeyed", "error", err)
	}
	m.stir()
}

// begin starts the next attempt, or goes back; false when there is nothing to
// do.
func (m *Machine) begin(ctx context.Context) (bool, error) {
	if err := m.seen(); err != nil {
		return false, err
	}
	for _, next := range []func(context.Context) (bool, error){m.obey, m.pin, m.undo, m.follow, m.scan} {
		if began, err := next(ctx); began || err != nil {
			return began, err
		}
	}
	return false, nil
}

// seen remembers the newest documents, so that a restart does not make a
// replayed one new.
func (m *Machine) seen() error {
	m.mu.Lock()
	fresh := map[string]store.Stamp{}
	for topic, doc := range m.docs {
		if s := (store.Stamp{Gen: doc.Gen, Rev: doc.Rev}); s != m.rec.Seen[topic] {
			fresh[topic] = s
		}
	}
	m.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	return m.save("seen", func() {
		for topic, s := range fresh {
			m.rec.Seen[topic] = s
		}
	})
}

// obey carries out the newest order, once.
func (m *Machine) obey(ctx context.Context) (bool, error) {
	m.mu.Lock()
	orders, obeyed := m.orders, m.rec.Obeyed
	m.mu.Unlock()
	if orders.Number <= obeyed {
		return false, nil
	}
	o := orders.Last
	done := func() {
		m.rec.Obeyed = orders.Number
		if doc := m.wanted(); o != nil && doc != nil {
			// Whoever is at the device knows better, until there is news.
			if target, _ := release.ParseTarget(doc.Target); target.Name == o.Model.Name {
				m.rec.Fail(keyOf(*doc), fmt.Sprintf("an order on the device asked for another version of %s", target.Name))
			}
		}
	}
	if o == nil { // pins and canaries
		if err := m.save("order", done); err != nil {
			return false, err
		}
		return true, m.apply(ctx)
	}
	dir, found := m.find(o.Model)
	if _, known := m.configured(o.Model.Name); !known || !found && !o.Factory {
		m.o.Log.Warn("an order cannot be carried out: there is no such model on this device", "model", o.Model.Name, "version", o.Model.Version)
		return true, m.save("order", done)
	}
	if o.Factory || o.Back {
		return true, m.restore(ctx, *o, dir, done)
	}
	key := fmt.Sprintf("order %d", orders.Number)
	return true, m.save("order", func() {
		done()
		m.rec.Attempt = &store.Attempt{By: store.ByOrder, Key: key, Model: o.Model, New: store.Version{Version: o.Model.Version, Dir: dir}}
		m.enter(payload.Verifying, "")
	})
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
		v = &store.Version{Version: o.Model.Version, Dir: dir, Digest: digest}
	}
	err := m.save("order", func() {
		done()
		known := m.rec.Models[o.Model.Name]
		if known.Current != nil && v != nil && known.Current.Dir == v.Dir {
			return // it serves
		}
		if known.Current != nil && (m.rec.Attempt == nil || m.rec.Attempt.Model.Name != o.Model.Name || m.rec.Attempt.New.Dir != known.Current.Dir) {
			m.rec.Attempt = &store.Attempt{By: store.ByOrder, Key: "back:" + known.Current.Digest, Model: release.Model{Name: o.Model.Name, Version: known.Current.Version}, New: *known.Current}
		}
		if a := m.rec.Attempt; a != nil && known.Current != nil {
			m.rec.Fail(a.Key, "rolled back by an order on the device")
			m.enter(payload.RolledBack, "by an order on the device")
		}
		known.Current, known.Previous = v, nil
		m.rec.Models[o.Model.Name] = known
	})
	if err != nil {
		return err
	}
	return m.apply(ctx)
}

// pin has a pinned version take its place.
func (m *Machine) pin(context.Context) (bool, error) {
	m.mu.Lock()
	var wish release.Model
	for name, v := range m.orders.Pins {
		key := fmt.Sprintf("pinned %s/%d", name, v)
		_, failed := m.rec.HasFailed(key)
		now := m.rec.Serving(name)
		if now == nil {
			now = m.base(name)
		}
		if _, known := m.configured(name); known && !failed && (now == nil || now.Version != v) {
			wish = release.Model{Name: name, Version: v}
		}
	}
	m.mu.Unlock()
	dir, found := m.find(wish)
	if !found {
		return false, nil
	}
	return true, m.save("pin", func() {
		m.rec.Attempt = &store.Attempt{By: store.ByOrder, Key: fmt.Sprintf("pinned %s/%d", wish.Name, wish.Version), Model: wish, New: store.Version{Version: wish.Version, Dir: dir}}
		m.enter(payload.Verifying, "")
	})
}

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
	}
	m.mu.Unlock()
	if doc == nil || doc.State != release.Aborted || doc.OnAbort != release.Previous || current == nil || current.Release != doc.Release {
		return false, nil
	}
	if err := m.save("undo", func() { m.back(name, "the rollout was aborted") }); err != nil {
		return false, err
	}
	return true, m.apply(ctx)
}

// follow begins with what the documents ask for.
func (m *Machine) follow(context.Context) (bool, error) {
	m.mu.Lock()
	doc := m.wanted()
	var wish release.Rollout
	begin, by := false, store.ByRollout
	if doc != nil {
		wish = *doc
		begin, _, _ = m.consider(wish)
	}
	if m.pinned() {
		by = store.ByPin
	}
	m.mu.Unlock()
	if !begin {
		return false, nil
	}
	target, err := release.ParseTarget(wish.Target)
	if err != nil {
		return false, err
	}
	m.corrupt = 0
	return true, m.save("begin", func() {
		m.rec.Attempt = &store.Attempt{By: by, Key: keyOf(wish), Doc: &wish, Model: target, NotBefore: time.Now().Add(share(wish, m.o.Topics.Device)).UTC()}
		m.enter(payload.Downloading, "")
	})
}

// share is the device's part of the time that a rollout's downloads are spread
// over: always the same one for the same rollout.
func share(doc release.Rollout, device string) time.Duration {
	sum := sha256.Sum256([]byte("egret-jitter-v1\x00" + doc.Salt + "\x00" + device))
	part := float64(binary.BigEndian.Uint32(sum[:4])) / (1 << 32)
	return time.Duration(part * float64(doc.Jitter()))
}

// scan looks for versions that somebody put into the folder of a configured
// model. One counts when its files have not changed since the look before: a
// copy may be under way.
func (m *Machine) scan(context.Context) (bool, error) {
	if m.o.Poll < 0 {
		return false, nil
	}
	for _, c := range m.o.Models {
		m.mu.Lock()
		known, pinned := m.rec.Models[c.Name], m.orders.Pins[c.Name] != 0
		m.mu.Unlock()
		all := store.Versions(c.Base)
		if c.Fixed || pinned || len(all) == 0 || all[len(all)-1] <= known.Looked {
			continue
		}
		wish := release.Model{Name: c.Name, Version: all[len(all)-1]}
		dir := inBase(c.Base, wish.Version)
		print, err := fingerprint(dir)
		if err != nil {
			continue
		}
		steady := m.folders[dir] == print
		m.folders[dir] = print
		key := folderKey(wish.Name, wish.Version, print)
		m.mu.Lock()
		_, failed := m.rec.HasFailed(key)
		m.mu.Unlock()
		if !steady || failed {
			continue
		}
		return true, m.save("begin", func() {
			m.rec.Attempt = &store.Attempt{By: store.ByFolder, Key: key, Model: wish, New: store.Version{Version: wish.Version, Dir: dir}}
			m.enter(payload.Verifying, "")
		})
	}
	return false, nil
}

func folderKey(name string, version int, print string) string {
	return fmt.Sprintf("folder %s/%d:%s", name, version, print)
}

// fingerprint tells whether the files in dir are still the same, without
// reading them.
func fingerprint(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintf(h, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	return hex.EncodeToString(h.Sum(nil)[:8]), err
}

// collect removes the versions that nothing needs any more.
func (m *Machine) collect() {
	m.mu.Lock()
	needed := map[string]bool{}
	for name, known := range m.rec.Models {
		for _, v := range []*store.Version{known.Current, known.Previous} {
			if v != nil {
				needed[v.Dir] = true
			}
		}
		for _, labelled := range []map[string]int{m.orders.Pins, m.orders.Canaries} {
			if v, ok := labelled[name]; ok {
				needed[m.o.Store.Dir(release.Model{Name: name, Version: v})] = true
			}
		}
	}
	if a := m.rec.Attempt; a != nil && !a.State.Ended() {
		needed[a.New.Dir] = true
	}
	if o := m.orders.Last; o != nil && m.orders.Number > m.rec.Obeyed {
		needed[m.o.Store.Dir(o.Model)] = true
	}
	m.mu.Unlock()
	removed, err := m.o.Store.Collect(func(v release.Model) bool {
		c, _ := m.configured(v.Name)
		return needed[m.o.Store.Dir(v)] || c.KeepAll
	})
	for _, v := range removed {
		m.o.Log.Info("removed a model that nothing needs any more", "model", v.Name, "version", v.Version)
	}
	if err == nil {
		err = os.RemoveAll(m.o.Store.Downloads())
	}
	if err != nil {
		m.o.Log.Warn("old models could not be removed", "error", err)
	}
}

func inBase(base string, version int) string { return filepath.Join(base, strconv.Itoa(version)) }
