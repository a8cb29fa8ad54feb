// Package update takes a device from one model to the next: it downloads a
// signed release, verifies and unpacks it, has it tried in a process of its own,
// beside the present model and then in its place, and commits to it or goes
// back. Each step is on disk before it is acted on, so that a crash or a power
// cut at any moment is followed by the next step, and never by no model.
//
// It decides; how a model is run, compared and swapped is the Device's to know,
// and what may be trusted the Repository's.
package update

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/egret-edge/egret/internal/backoff"
	"github.com/egret-edge/egret/sync/ota"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// Device runs models. Its methods are called by Run's goroutine, one at a time;
// they return soon after ctx ends. An error that is a *Refusal says that the
// model is to blame; any other one has the step tried again later.
type Device interface {
	// Inspect looks at the bundle in dir without running it, and returns the
	// digest of its model file.
	Inspect(dir string) (digest string, err error)
	// Probe runs it in a process of its own, and fills in Golden and Memory.
	Probe(ctx context.Context, dir string, p *payload.Proof) error
	// Shadow runs it in a process of its own on live frames beside the present
	// model of that name.
	Shadow(ctx context.Context, model, dir string, p *payload.Proof) (Shadowed, error)
	// Apply makes serve what the record says, between two frames.
	Apply(ctx context.Context) error
	// Trial watches the version that serves until it has proved itself.
	// invokeUs is the median Invoke of the one before, 0 when not known.
	Trial(ctx context.Context, v store.Version, invokeUs float64, p *payload.Proof) error
}

// Shadowed is what a Proof does not hold of a run beside the present model.
type Shadowed struct {
	// InvokeUs is the present model's median Invoke, in microseconds.
	InvokeUs float64
	// SameLabels: both models have the same labels, so that they can be
	// expected to agree.
	SameLabels bool
}

// Refusal says why a model is not taken, in one line.
type Refusal struct{ Reason string }

func (r *Refusal) Error() string { return r.Reason }

// Refuse makes a Refusal.
func Refuse(format string, args ...any) error {
	return &Refusal{oneLine(fmt.Sprintf(format, args...))}
}

// Repository is the signed repository; *ota.Client is the one.
type Repository interface {
	Refresh(ctx context.Context) error
	Find(name string) (ota.Release, error)
	Download(ctx context.Context, rel ota.Release, dir string) (string, error)
	// Policy is asked after a Refresh.
	Policy() release.Policy
}

// Configured is a model that the configuration names.
type Configured struct {
	Name string // of its bundle, as in models/<name>/<version>
	Base string // the configured path
	// Fixed: the configuration says which versions serve, and nothing else does.
	Fixed bool
	// KeepAll keeps versions in the store that nothing needs.
	KeepAll bool
	// Keep are versions that the configuration names.
	Keep []int
}

// Options configure a Machine. Store, Device, Topics and Models are required.
type Options struct {
	Store      store.Store
	Device     Device
	Topics     payload.Topics
	Cohort     string
	Repository Repository // nil: rollouts cannot be followed
	Models     []Configured
	// Limits hold where a release asks for none.
	Limits release.Limits
	Window Window
	// ClockSet tells whether the time of day can be believed. Nil: it can.
	ClockSet func() bool
	// Report gets what the device says of itself. It must not wait.
	Report func(payload.Reported)
	Boot   uint64
	// Serving is what answers, for the report.
	Serving func() map[string]payload.Model
	// Poll is how often folders and orders are looked at; 0: 10 s, below 0:
	// folders never.
	Poll time.Duration
	// RetryMin and RetryMax bound the time between tries of what fails for
	// reasons outside of the model. Zero means 5 s and 1 h.
	RetryMin, RetryMax time.Duration
	Log                *slog.Logger
}

// Machine is the way from one model to the next. Open makes it; Run and Watch
// are called once each, all other methods from any goroutine.
type Machine struct {
	o    Options
	step func(name string) // a test's hook after each change on disk, and before each act
	wake chan struct{}     // something changed; capacity 1
	// Of Run's goroutine.
	delay   backoff.Backoff
	corrupt int               // downloads in a row with wrong bytes
	folders map[string]looked // by a version's folder
	dirty   bool              // what serves is not what the record says

	saying sync.Mutex // held while a report is made and handed over: they come in order

	mu      sync.Mutex // guards all following fields
	rec     store.Record
	docs    map[string]*release.Rollout // by topic; nil when it was cleared
	ignored string                      // why a document was not taken
	unseen  bool                        // the record's Seen is newer than on disk
	orders  store.Orders
	blind   string // why the orders cannot be read; "" when they can
	cancel  context.CancelCauseFunc
	waiting string // why a step waits
	prog    payload.Progress
	said    time.Time // when progress was reported last
	stuck   bool      // the agent ends because a model hangs
	fell    bool      // GiveUp changed the record, which Run has yet to report
	closed  bool      // the record is somebody else's
}

// maxDeaths ends of the agent without order in one state of a new model count
// against it. Power cuts are among them: one or two must not cost a model.
const maxDeaths = 3

// counts tells in which states a new model may take the agent down: on trial it
// runs in the agent's process, before that it takes its memory.
func counts(s payload.ReleaseState) bool {
	return s == payload.Probing || s == payload.Shadow || s == payload.Trial
}

// Open reads the record and counts a start of the agent. It comes before any
// model is loaded: what Serving says from then on is what may be loaded. It
// opens whatever is wrong with the disk.
func Open(o Options) *Machine {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Report == nil {
		o.Report = func(payload.Reported) {}
	}
	if o.Serving == nil {
		o.Serving = func() map[string]payload.Model { return nil }
	}
	if o.ClockSet == nil {
		o.ClockSet = func() bool { return true }
	}
	m := &Machine{
		o: o, step: func(string) {}, wake: make(chan struct{}, 1),
		docs: map[string]*release.Rollout{}, folders: map[string]looked{},
	}
	m.delay = backoff.Backoff{Min: orDefault(o.RetryMin, 5*time.Second), Max: orDefault(o.RetryMax, time.Hour)}
	var err error
	if m.rec, err = o.Store.Load(); err != nil {
		o.Log.Error("the record of updates was damaged", "error", err)
	}
	m.configure()
	if a := m.rec.Attempt; a != nil && counts(a.State) {
		if a.Starts++; a.Starts >= maxDeaths && a.State == payload.Trial {
			m.fall(fmt.Sprintf("the agent ended without order %d times while it served", a.Starts))
		} else if a.Starts >= maxDeaths {
			reason := fmt.Sprintf("the agent ended without order %d times while it was tried", a.Starts)
			m.rec.Fail(a.Key, reason)
			m.enter(payload.Rejected, reason)
		}
	}
	if m.orders, err = o.Store.Orders(); err != nil {
		m.blind = err.Error()
		o.Log.Error("orders are not obeyed", "error", err)
	}
	if err := m.o.Store.Save(m.rec); err != nil {
		// A full disk must not cost the model that serves.
		o.Log.Error("the start is not recorded, and no update goes on until there is room", "error", err)
		if a := m.rec.Attempt; a != nil && a.State == payload.Trial {
			m.fall("the agent could not count its starts: " + oneLine(err.Error()))
		}
	}
	return m
}

func orDefault(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

// configure makes the record fit the configuration.
func (m *Machine) configure() {
	for _, c := range m.o.Models {
		known, ok := m.rec.Models[c.Name]
		if ok && known.Base == c.Base {
			m.rec.Models[c.Name] = m.takeFolder(known)
			continue
		}
		if ok {
			m.o.Log.Info("the configured path of a model changed: what came over the air before does not serve", "model", c.Name, "path", c.Base)
			if a := m.rec.Attempt; a != nil && a.Model.Name == c.Name {
				m.rec.Attempt = nil
			}
			m.rec.Failed = slices.DeleteFunc(m.rec.Failed, func(f store.Failure) bool {
				return strings.HasPrefix(f.Key, folderOf(c.Name)) // they were of the other folder
			})
		}
		m.rec.Models[c.Name] = Fresh(c.Base)
	}
	if a := m.rec.Attempt; a != nil && !a.State.Ended() {
		if c, ok := m.configured(a.Model.Name); !ok || c.Fixed {
			m.rec.Attempt = nil // nobody to serve, or not by this way
		}
	}
}

func (m *Machine) configured(name string) (Configured, bool) {
	i := slices.IndexFunc(m.o.Models, func(c Configured) bool { return c.Name == name })
	if i < 0 {
		return Configured{}, false
	}
	return m.o.Models[i], true
}

// Stuck says that the agent ends because a model hangs: that end is not in
// order.
func (m *Machine) Stuck() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stuck = true
}

// Close is called at an orderly end, after Run has returned, or was left behind:
// held up by a slow disk, it changes nothing any more.
func (m *Machine) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	if a := m.rec.Attempt; a != nil && counts(a.State) && !m.stuck {
		a.Starts-- // this start was none of the model's doing
		return m.o.Store.Save(m.rec)
	}
	return nil
}

// Serving is the version that shall answer for a model; nil is the factory
// model, what the configured path says by itself.
func (m *Machine) Serving(name string) *store.Version {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.configured(name); !ok || c.Fixed {
		return nil
	}
	v := m.rec.Serving(name)
	if v == nil {
		return m.base(name)
	}
	c := *v
	return &c
}

// OnTrial is the version on trial and its model's name; nil without.
func (m *Machine) OnTrial() (*store.Version, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.rec.Attempt; a != nil && a.State == payload.Trial {
		v := a.New
		return &v, a.Model.Name
	}
	return nil, ""
}

// enter sets the attempt's state. The caller holds mu, and saves.
func (m *Machine) enter(state payload.ReleaseState, reason string) {
	a := m.rec.Attempt
	a.State, a.Reason, a.Since = state, reason, time.Now().UTC().Truncate(time.Millisecond)
	m.prog, m.waiting = payload.Progress{}, ""
}

func (m *Machine) stir() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// save puts a change of the record on disk, then reports it. The change is made
// with mu held.
func (m *Machine) save(name string, change func()) error {
	return m.saveIf(name, func() bool { return true }, change)
}

// saveStep is save for a step's result: an attempt that is no longer what it
// was when the step began is left as it is.
func (m *Machine) saveStep(name string, a *store.Attempt, change func()) error {
	return m.saveIf(name, func() bool {
		now := m.rec.Attempt
		return now != nil && now.Key == a.Key && now.State == a.State
	}, change)
}

func (m *Machine) saveIf(name string, still func() bool, change func()) error {
	m.mu.Lock()
	if m.closed || !still() {
		m.mu.Unlock()
		return errFell
	}
	before := clone(m.rec)
	change()
	err := m.o.Store.Save(m.rec)
	if err != nil {
		m.rec = before // what is not on disk is not so
	} else {
		m.unseen = false
	}
	m.mu.Unlock()
	if err != nil {
		return err
	}
	m.step(name)
	m.report()
	return nil
}

func clone(r store.Record) store.Record {
	r.Models, r.Seen, r.Failed = maps.Clone(r.Models), maps.Clone(r.Seen), slices.Clone(r.Failed)
	if r.Attempt != nil {
		a := *r.Attempt
		r.Attempt = &a
	}
	return r
}

func (m *Machine) attempt() store.Attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rec.Attempt == nil {
		return store.Attempt{State: payload.Idle}
	}
	return *m.rec.Attempt
}

// apply makes serve what the record says.
func (m *Machine) apply(ctx context.Context) error {
	m.dirty = true
	m.step("apply")
	err := m.o.Device.Apply(ctx)
	if err == nil {
		m.dirty = false
		m.mu.Lock()
		m.waiting = ""
		m.mu.Unlock()
		m.report()
	}
	return err
}

// errStop is why a step is broken off.
type errStop struct {
	reason string
	// forget: the attempt is not to be held against the release.
	forget bool
	// pause: the attempt goes on afterwards.
	pause bool
}

func (e *errStop) Error() string { return e.reason }

// stopped gives the reason for which ctx was broken off by the machine itself.
func stopped(ctx context.Context) (*errStop, bool) {
	var s *errStop
	ok := errors.As(context.Cause(ctx), &s)
	return s, ok
}
