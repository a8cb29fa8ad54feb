package update

import (
	"strings"
	"time"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// Progress tells how far the present step is; any goroutine may call it.
func (m *Machine) Progress(done, of int64) {
	m.mu.Lock()
	m.prog = payload.Progress{Done: done, Of: of}
	due := time.Since(m.said) >= progressEvery
	if due {
		m.said = time.Now()
	}
	m.mu.Unlock()
	if due {
		m.report()
	}
}

// progressEvery bounds how often progress is said.
const progressEvery = 2 * time.Second

// report says where the device stands. A report that was made before another
// must not come after it: the last one is retained.
func (m *Machine) report() {
	m.saying.Lock()
	defer m.saying.Unlock()
	m.o.Report(m.Reported())
}

// Reported is where the device stands.
func (m *Machine) Reported() payload.Reported {
	serving := m.o.Serving() // without mu: it may ask the machine
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.stands()
	r.Device, r.Cohort, r.Boot = m.o.Topics.Device, m.o.Cohort, m.o.Boot
	r.Time, r.Serving = time.Now().UTC().Truncate(time.Millisecond), serving
	if r.Serving == nil {
		r.Serving = map[string]payload.Model{}
	}
	if r.Reason == "" {
		r.Reason = m.ignored
	}
	return r
}

// stands is the part of the report about the attempt or the document. The
// caller holds mu.
func (m *Machine) stands() payload.Reported {
	r := payload.Reported{State: payload.Idle}
	a, doc := m.rec.Attempt, m.wanted()
	if doc != nil && (a == nil || a.State.Ended() && a.Key != keyOf(*doc)) {
		r.Release, r.Gen = doc.Release, doc.Gen
		if target, err := release.ParseTarget(doc.Target); err == nil {
			r.Model = &payload.Model{Name: target.Name, Version: target.Version}
		}
		_, r.State, r.Reason = m.consider(*doc)
		return r
	}
	if a == nil {
		return r
	}
	r.State, r.Reason, r.Since = a.State, a.Reason, a.Since
	if a.Doc != nil {
		r.Release, r.Gen = a.Doc.Release, a.Doc.Gen
	}
	r.Model = &payload.Model{Name: a.Model.Name, Version: a.Model.Version, Digest: a.New.Digest}
	if m.waiting != "" && !a.State.Ended() {
		r.Reason = m.waiting
	}
	if m.prog.Of > 0 {
		p := m.prog
		r.Progress = &p
	}
	if a.Proof != (payload.Proof{}) {
		p := a.Proof
		r.Proof = &p
	}
	return r
}

// maxReason bounds a reason in bytes: the record keeps many of them, and has to
// stay small enough to be read.
const maxReason = 500

func oneLine(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + " …"
	}
	return text
}

// Hold says why the present step waits; "" goes on. Any goroutine may call it.
func (m *Machine) Hold(reason string) {
	if m.setWaiting(reason) && reason != "" {
		m.o.Log.Info("an update waits", "state", m.attempt().State, "reason", reason)
	}
}

// setWaiting reports why the present step waits; false when that is no news.
func (m *Machine) setWaiting(reason string) bool {
	m.mu.Lock()
	news := m.waiting != reason
	m.waiting = reason
	m.mu.Unlock()
	if news {
		m.report()
	}
	return news
}
