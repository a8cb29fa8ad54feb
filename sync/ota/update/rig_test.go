package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/egret-edge/egret/sync/ota"
	"github.com/egret-edge/egret/sync/ota/bundle"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// device is a Device of functions; those that are nil find nothing wrong.
type device struct {
	probe  func(ctx context.Context, dir string, p *payload.Proof) error
	shadow func(ctx context.Context, p *payload.Proof) (Shadowed, error)
	apply  func(ctx context.Context) error
	trial  func(ctx context.Context, v store.Version, p *payload.Proof) error
	// inspect comes after what Inspect always looks at.
	inspect func(dir string) error
	// at is told of each call, before it does anything.
	at func(call string)
	// proved counts the trials that ended well, by digest.
	proved map[string]int
}

// fence is passed by the test after it changed what a device or a repository
// does, and by them before they do it: faked time alone orders nothing.
var fence sync.Mutex

func pass() {
	fence.Lock()
	defer fence.Unlock()
}

func (d *device) say(call string) {
	pass()
	if d.at != nil {
		d.at(call)
	}
}

func digestOf(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "model.tflite"))
	return fmt.Sprintf("sha256:%x", sha256.Sum256(data)), err
}

func (d *device) Inspect(dir string) (string, error) {
	d.say("inspect")
	digest, err := digestOf(dir)
	if err == nil && d.inspect != nil {
		err = d.inspect(dir)
	}
	return digest, err
}

func (d *device) Probe(ctx context.Context, dir string, p *payload.Proof) error {
	d.say("probe")
	p.Golden = 1
	if d.probe != nil {
		return d.probe(ctx, dir, p)
	}
	return nil
}

func (d *device) Shadow(ctx context.Context, _, _ string, p *payload.Proof) (Shadowed, error) {
	d.say("shadow")
	if d.shadow != nil {
		return d.shadow(ctx, p)
	}
	p.Frames = 100
	return Shadowed{InvokeUs: 10, SameLabels: true}, nil
}

func (d *device) Apply(ctx context.Context) error {
	d.say("apply")
	if d.apply != nil {
		return d.apply(ctx)
	}
	return nil
}

func (d *device) Trial(ctx context.Context, v store.Version, _ float64, p *payload.Proof) error {
	d.say("trial")
	if d.trial != nil {
		if err := d.trial(ctx, v, p); err != nil {
			return err
		}
	}
	p.Answered, p.Confirmed = 10, true
	d.proved[v.Digest]++
	return nil
}

// hang is a step that takes until it is broken off.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// repository is a Repository of zip files on disk.
type repository struct {
	releases map[string]ota.Release
	zips     map[string][]byte // by SHA-256
	refresh  func(ctx context.Context) error
	download func(ctx context.Context) error
	at       func(call string)
	fetched  int
	policy   release.Policy
}

func (r *repository) Policy() release.Policy { return r.policy }

func (r *repository) Refresh(ctx context.Context) error {
	pass()
	if r.refresh != nil {
		return r.refresh(ctx)
	}
	return ctx.Err()
}

func (r *repository) Find(name string) (ota.Release, error) {
	rel, ok := r.releases[name]
	if !ok {
		return rel, fmt.Errorf("release %s: %w", name, ota.ErrNotListed)
	}
	return rel, nil
}

func (r *repository) Download(ctx context.Context, rel ota.Release, dir string) (string, error) {
	pass()
	r.fetched++
	if r.download != nil {
		if err := r.download(ctx); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, fmt.Sprintf("%s-%d.zip", rel.Model.Name, rel.Model.Version))
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(path, r.zips[rel.SHA256], 0o600))
	if r.at != nil {
		r.at("fetched")
	}
	return path, err
}

// add packs a model's version and lists it as a release.
func (r *repository) add(t testing.TB, name, model string, version int, content string) {
	t.Helper()
	tmp := t.TempDir()
	put(t, filepath.Join(tmp, "in"), content)
	file := filepath.Join(tmp, "out.zip")
	if err := bundle.Pack(filepath.Join(tmp, "in"), file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	m := release.Model{Name: model, Version: version}
	rel := ota.Release{Meta: release.Meta{Release: name, Sequence: uint64(version), Model: m}, Target: release.Target(m), Length: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
	r.releases[name], r.zips[rel.SHA256] = rel, data
}

// put makes dir a model's version.
func put(t testing.TB, dir, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "model.tflite"), []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// rig is a device with the models cats and dogs, version 1 of each in the
// configured folder, and releases of cats: cats-2 and cats-3.
type rig struct {
	t    testing.TB
	o    Options
	dev  *device
	repo *repository
	m    *Machine
	hook func(step string)
	stop func() // ends Run and Watch, and waits

	mu      sync.Mutex // guards all following fields
	reports []payload.Reported
	steps   []string
}

var topics = payload.Topics{Fleet: "f", Device: "cam-7"}

func newRig(t testing.TB) *rig { t.Helper(); return newRigIn(t, t.TempDir()) }

// newRigIn is a rig whose files may be there already.
func newRigIn(t testing.TB, tmp string) *rig {
	t.Helper()
	r := &rig{t: t, dev: &device{proved: map[string]int{}}, repo: &repository{releases: map[string]ota.Release{}, zips: map[string][]byte{}}, stop: func() {}}
	for _, name := range []string{"cats", "dogs"} {
		base := filepath.Join(tmp, "base", name)
		put(t, filepath.Join(base, "1"), name+" 1")
		r.o.Models = append(r.o.Models, Configured{Name: name, Base: base})
	}
	r.repo.add(t, "cats-2", "cats", 2, "cats 2")
	r.repo.add(t, "cats-3", "cats", 3, "cats 3")
	r.o.Store, r.o.Device, r.o.Topics, r.o.Cohort, r.o.Repository = store.New(filepath.Join(tmp, "state")), r.dev, topics, "all", r.repo
	r.o.Report = func(p payload.Reported) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reports = append(r.reports, p)
	}
	return r
}

// bubble runs a test with a rig that has started, where time is faked.
func bubble(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start()
		synctest.Wait() // else its first look sees what the test does
		defer func() { r.stop() }()
		synctest.Wait() // else its first look sees what the test does
		test(t, r)
	})
}

// inBubble is bubble for a rig that was changed before its start.
func inBubble(t *testing.T, r *rig, test func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r.t = t
		r.start()
		synctest.Wait()
		defer func() { r.stop() }()
		synctest.Wait()
		test()
	})
}

// open makes the next life of the agent.
func (r *rig) open() {
	r.t.Helper()
	m := Open(r.o)
	r.m = m
	m.step = func(step string) {
		r.mu.Lock()
		r.steps = append(r.steps, step)
		r.mu.Unlock()
		if r.hook != nil {
			r.hook(step)
		}
	}
}

// start opens and runs; stop ends it without an orderly Close.
func (r *rig) start() {
	r.t.Helper()
	r.open()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.m.Run(ctx) })
	wg.Go(func() { _ = r.m.Watch(ctx) })
	r.stop = func() { cancel(); wg.Wait() }
}

// restart is a crash, or an orderly end when closed.
func (r *rig) restart(closed bool) {
	r.t.Helper()
	r.stop()
	if closed {
		if err := r.m.Close(); err != nil {
			r.t.Fatal(err)
		}
	}
	r.start()
}

// doc is a rollout of cats-<version> to all.
func doc(version int, gen, rev uint64) release.Rollout {
	m := release.Model{Name: "cats", Version: version}
	return release.Rollout{Gen: gen, Rev: rev, Release: fmt.Sprintf("cats-%d", version), Target: release.Target(m), State: release.Running, BasisPoints: release.All, Salt: "s"}
}

func with(d release.Rollout, change func(*release.Rollout)) release.Rollout {
	change(&d)
	return d
}

func cohort() string { return payload.Desired(topics.Fleet, "all") }

func (r *rig) send(topic string, d release.Rollout) {
	r.t.Helper()
	r.m.Document(topic, written(d))
	synctest.Wait()
}

// rollout has the cohort's document, and waits until nothing moves.
func (r *rig) rollout(d release.Rollout) { r.t.Helper(); r.send(cohort(), d) }

// order gives an order on the device, and waits until it was looked at.
func (r *rig) order(change func(*store.Orders)) {
	r.t.Helper()
	if err := r.o.Store.Command(func(o *store.Orders) error { change(o); return nil }); err != nil {
		r.t.Fatal(err)
	}
	wait(11 * time.Second)
}

func wait(d time.Duration) {
	pass()
	time.Sleep(d)
	synctest.Wait()
}

// want compares where the device stands, what serves and why.
func (r *rig) want(state payload.ReleaseState, serving int, reason string) {
	r.t.Helper()
	got := r.m.Reported()
	if got.State != state || !strings.Contains(got.Reason, reason) || reason == "" && got.Reason != "" {
		r.t.Errorf("it reports %s, %q, want %s, %q", got.State, got.Reason, state, reason)
	}
	r.serves("cats", serving)
}

// serves checks that a version serves, of a folder that is there.
func (r *rig) serves(name string, version int) {
	r.t.Helper()
	v := r.m.Serving(name)
	if v == nil {
		if version != 0 {
			r.t.Errorf("of %s the factory model serves, want %d", name, version)
		}
		return
	}
	if v.Version != version {
		r.t.Errorf("of %s version %d serves, want %d", name, v.Version, version)
	}
	if _, err := digestOf(v.Dir); err != nil {
		r.t.Errorf("what serves is not there: %v", err)
	}
}

// record is what is on disk.
func (r *rig) record() store.Record {
	r.t.Helper()
	rec, err := r.o.Store.Load()
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

// states are those reported since the last call, without repeats.
func (r *rig) states() []payload.ReleaseState {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []payload.ReleaseState
	for _, p := range r.reports {
		all = append(all, p.State)
	}
	r.reports = nil
	return slices.Compact(all)
}
