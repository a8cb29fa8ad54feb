package update

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
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
		return false, payload.Idle, noRepository
	}
	return true, payload.Idle, ""
}

const noRepository = "this device has no repository: set updates.repository"

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
	if a.State == payload.Downloading && m.o.Repository == nil { // the configuration had one when it began
		return &errStop{reason: noRepository, forget: true}
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

// begin starts the next attempt, or goes back; false when there is nothing to
// do.
func (m *Machine) begin(ctx context.Context) (bool, error) {
	if err := m.seen(); err != nil {
		began, e := m.undo(ctx) // the way back is open also when the disk takes nothing
		return began, errors.Join(err, e)
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
