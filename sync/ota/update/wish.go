package update

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// Document takes what came on one of the topics: a rollout document, or nothing
// when it was cleared. What is wrong, or older than what was seen, is ignored
// and reported.
func (m *Machine) Document(topic string, data []byte) {
	changed, err := m.document(topic, data)
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
	if changed {
		m.stir()
	}
}

// Operators count gens from the time in seconds on: one that is far beyond it,
// and not just a few more than the last, would shut the topic for good.
const (
	farGen  = 48 * time.Hour
	farMore = 1000
)

// document tells whether anything is new: what is not must not cut a pause
// between two tries short.
func (m *Machine) document(topic string, data []byte) (changed bool, err error) {
	if topic != m.o.Topics.Pin() && topic != payload.Desired(m.o.Topics.Fleet, m.o.Cohort) {
		return false, fmt.Errorf("it is not for this device")
	}
	if len(data) == 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		changed = m.docs[topic] != nil
		delete(m.docs, topic)
		return changed, nil
	}
	doc, err := release.ParseRollout(data)
	if err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := m.rec.Seen[topic]
	if doc.Older(release.Rollout{Gen: seen.Gen, Rev: seen.Rev}) {
		return false, fmt.Errorf("it is older (gen %d, rev %d) than what was seen (%d, %d)", doc.Gen, doc.Rev, seen.Gen, seen.Rev)
	}
	if late := uint64(time.Now().Add(farGen).Unix()); m.o.ClockSet() && doc.Gen > late && doc.Gen > seen.Gen+farMore {
		return false, fmt.Errorf("its gen %d lies far in the future: every later document would be older", doc.Gen)
	}
	changed = m.docs[topic] == nil || *m.docs[topic] != doc
	if now := (store.Stamp{Gen: doc.Gen, Rev: doc.Rev}); now != seen {
		// At once, since Run may be busy for hours; on disk with its next change.
		m.rec.Seen[topic], m.unseen = now, true
	}
	m.docs[topic] = &doc
	return changed, nil
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
	if waiting := m.orders.Waiting(m.rec.Obeyed); slices.ContainsFunc(waiting, func(o store.Order) bool { return o.Model.Name == a.Model.Name }) {
		return &errStop{reason: "an order on the device came between"}
	}
	if pin, ok := m.orders.Pins[a.Model.Name]; ok && pin != a.Model.Version {
		return &errStop{reason: fmt.Sprintf("the model was pinned to version %d on the device", pin), forget: true}
	}
	if m.urgent() {
		return &errStop{reason: "an order on the device goes first", pause: true}
	}
	doc := m.wanted()
	if doc == nil || a.Doc == nil {
		return nil
	}
	switch {
	case keyOf(*doc) == a.Key && doc.State == release.Aborted:
		return &errStop{reason: "the rollout was aborted"}
	case keyOf(*doc) != a.Key && doc.State == release.Running:
		return &errStop{reason: "another release is wanted: " + doc.Release, forget: true}
	}
	return nil
}

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
	unseen := m.unseen
	m.mu.Unlock()
	if !unseen {
		return nil
	}
	return m.save("seen", func() {
		doc := m.wanted()
		if doc == nil {
			return
		}
		target, _ := release.ParseTarget(doc.Target)
		known := m.rec.Models[target.Name]
		if c := known.Current; c != nil && c.Release == doc.Release && c.Version == target.Version {
			v := *c // should it fail one day, it fails for this document
			v.Gen = doc.Gen
			known.Current = &v
			m.rec.Models[target.Name] = known
		}
	})
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
		m.mu.Unlock()
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
		steady := m.steady(dir, print)
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

// looked is a version's folder as it was found first so.
type looked struct {
	print string
	at    time.Time
}

// steady tells whether dir has been the same for as long as looks are apart: a
// document or an order may have Run look twice within a moment.
func (m *Machine) steady(dir, print string) bool {
	if before, ok := m.folders[dir]; ok && before.print == print {
		return time.Since(before.at) >= m.poll()
	}
	m.folders[dir] = looked{print, time.Now()}
	return false
}

func folderKey(name string, version int, print string) string {
	return FolderKey(name, version) + print
}

// FolderKey begins the failures of a version in a configured folder.
func FolderKey(name string, version int) string {
	return fmt.Sprintf("%s%d:", folderOf(name), version)
}

func folderOf(name string) string { return "folder " + name + "/" }

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
	m.look() // an order may just have asked for one
	m.mu.Lock()
	if m.blind != "" { // what is pinned is not known
		m.mu.Unlock()
		return
	}
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
	for _, o := range m.orders.Waiting(m.rec.Obeyed) {
		needed[m.o.Store.Dir(o.Model)] = true
	}
	m.mu.Unlock()
	removed, err := m.o.Store.Collect(func(v release.Model) bool {
		c, _ := m.configured(v.Name)
		return needed[m.o.Store.Dir(v)] || c.KeepAll || slices.Contains(c.Keep, v.Version)
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
