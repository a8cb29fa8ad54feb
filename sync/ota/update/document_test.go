package update

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// TestSelected: a share that grows brings devices in, one that shrinks takes
// none out.
func TestSelected(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		share := func(rev uint64, points release.Share) {
			r.rollout(with(doc(2, 1, rev), func(d *release.Rollout) { d.BasisPoints, d.Salt = points, "s1" }))
		}
		share(1, 3280) // cam-7 is in from 3281 on
		r.want(payload.Idle, 1, "not among the first 32.80 %")
		share(2, 3281)
		r.want(payload.Committed, 2, "")
		share(3, 1)
		r.want(payload.Committed, 2, "")
		r.restart(false)
		share(3, 1)
		r.want(payload.Committed, 2, "")
	})
	in(t, func(t *testing.T, r *rig, state payload.ReleaseState) {
		r.rollout(with(doc(2, 1, 2), func(d *release.Rollout) { d.BasisPoints = 0 }))
		if got := r.m.Reported(); got.State != state {
			t.Errorf("the share shrank: %+v", got)
		}
	})
}

func TestPaused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(with(doc(2, 1, 1), func(d *release.Rollout) { d.State = release.Paused }))
		r.want(payload.Idle, 1, "the rollout is paused")
		r.rollout(doc(2, 1, 2))
		r.want(payload.Committed, 2, "")
	})
}

// TestPinDocument: the device's own document comes before its cohort's.
func TestPinDocument(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(2, 1, 1))
		r.send(topics.Pin(), with(doc(3, 1, 1), func(d *release.Rollout) { d.BasisPoints = 0 }))
		r.want(payload.Committed, 3, "")
		if a := r.record().Attempt; a.By != store.ByPin {
			t.Errorf("it came by %s", a.By)
		}
		r.rollout(doc(2, 2, 1))
		r.want(payload.Committed, 3, "")
		r.m.Document(topics.Pin(), nil)
		synctest.Wait()
		r.want(payload.Committed, 2, "")
		if a := r.record().Attempt; a.By != store.ByRollout {
			t.Errorf("it came by %s", a.By)
		}
		r.m.Document(cohort(), nil)
		synctest.Wait()
		r.want(payload.Committed, 2, "")
	})
}

// hostile are documents that must change nothing, with what is said of them.
var hostile = map[string]struct{ topic, data, want string }{
	"malformed":       {cohort(), `{"gen":`, "was ignored"},
	"two":             {cohort(), `{} {}`, "was ignored"},
	"no object":       {cohort(), `[1]`, "was ignored"},
	"huge":            {cohort(), strings.Repeat(" ", 17<<10), "at most"},
	"other cohort":    {payload.Desired("f", "others"), valid(nil), "not for this device"},
	"other device":    {payload.Topics{Fleet: "f", Device: "cam-8"}.Pin(), valid(nil), "not for this device"},
	"unknown state":   {cohort(), valid(func(d *release.Rollout) { d.State = "on" }), "state"},
	"outside":         {cohort(), valid(func(d *release.Rollout) { d.Target = "../../x" }), "target"},
	"unlisted":        {topics.Pin(), valid(func(d *release.Rollout) { d.Release = "dogs-9" }), "lists no release"},
	"other target":    {topics.Pin(), valid(func(d *release.Rollout) { d.Target = "models/cats/3.zip" }), "by its signed metadata"},
	"unknown model":   {topics.Pin(), valid(func(d *release.Rollout) { d.Target = "models/cows/3.zip" }), "no configured model is called cows"},
	"another's model": {topics.Pin(), valid(func(d *release.Rollout) { d.Target = "models/dogs/2.zip" }), "by its signed metadata"},
}

func valid(change func(*release.Rollout)) string {
	d := doc(2, 1, 1)
	if change != nil {
		change(&d)
	}
	return string(written(d))
}

func written(d release.Rollout) []byte {
	data, _ := json.Marshal(d) // of numbers and strings: never fails
	return data
}

func TestHostileDocuments(t *testing.T) {
	for name, tt := range hostile {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.m.Document(tt.topic, []byte(tt.data))
				synctest.Wait()
				if got := r.m.Reported(); !strings.Contains(got.Reason, tt.want) {
					t.Errorf("it reports %+v, want %q", got, tt.want)
				}
				r.serves("cats", 1)
				r.serves("dogs", 1)
				if len(r.o.Store.All()) != 0 || len(r.dev.proved) != 0 {
					t.Errorf("it did something: %v", r.o.Store.All())
				}
				// What was ignored is said also beside what went well.
				r.m.Document(topics.Pin(), nil)
				r.rollout(doc(2, 2, 1))
				r.m.Document(tt.topic, []byte(tt.data))
				synctest.Wait()
				r.serves("cats", 2)
				if got := r.m.Reported(); !strings.Contains(got.Reason, tt.want) {
					t.Errorf("afterwards it reports %+v, want %q", got, tt.want)
				}
			})
		})
	}
}

// TestReplayed: a document older than the newest is ignored: at once, after a
// restart, when the newest was cleared, and while a step goes on.
func TestReplayed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(2, 2, 5))
		for _, old := range []release.Rollout{doc(3, 1, 9), doc(3, 2, 4)} {
			r.rollout(old)
			r.want(payload.Committed, 2, "older")
		}
		r.m.Document(cohort(), nil)
		r.rollout(doc(3, 2, 4))
		r.want(payload.Committed, 2, "older")
		r.restart(false)
		r.rollout(doc(3, 2, 4))
		r.want(payload.Committed, 2, "older")
		// The other topic counts by itself.
		r.send(topics.Pin(), doc(3, 1, 1))
		r.want(payload.Committed, 3, "")
	})
	in(t, func(t *testing.T, r *rig, state payload.ReleaseState) {
		paused := with(doc(2, 1, 3), func(d *release.Rollout) { d.State = release.Paused })
		r.rollout(paused)
		r.rollout(with(doc(2, 1, 2), func(d *release.Rollout) { d.State = release.Aborted }))
		if got := r.m.Reported(); got.State != state {
			t.Errorf("a replayed abort counted: %+v", got)
		}
		r.rollout(paused)
	})
}

// TestSameDocumentAgain: brokers send what is retained at each connect; that
// must not cut the pauses between tries short.
func TestSameDocumentAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.repo.refresh = func(context.Context) error { return fmt.Errorf("no network") }
		r.rollout(doc(2, 1, 1))
		r.want(payload.Downloading, 1, "no network")
		wait(12 * time.Hour)
		tries := 0
		r.repo.refresh = func(context.Context) error { tries++; return fmt.Errorf("no network") }
		for range 100 {
			r.rollout(doc(2, 1, 1))
			r.m.Document(cohort(), []byte("nonsense"))
			r.m.Document("x", nil)
			synctest.Wait()
		}
		if tries > 0 {
			t.Errorf("%d tries at once", tries)
		}
	})
}

// TestServingMayAsk: what makes reports may ask the machine, and hold locks
// under which others ask it.
func TestServingMayAsk(t *testing.T) {
	r := newRig(t)
	r.o.Serving = func() map[string]payload.Model {
		return map[string]payload.Model{"cats": {Version: r.m.Serving("cats").Version}}
	}
	r.open()
	if got := r.m.Reported().Serving["cats"].Version; got != 1 {
		t.Error(got)
	}
}

// FuzzDocument: whatever comes on the topics, nothing that is not listed is
// ever served, and nothing panics.
func FuzzDocument(f *testing.F) {
	for _, h := range hostile {
		if len(h.data) > 1000 {
			continue // to make a large one smaller takes all the time
		}
		f.Add(h.topic, []byte(h.data), []byte(h.data))
	}
	f.Add(cohort(), []byte(valid(nil)), []byte(valid(func(d *release.Rollout) { d.State, d.Rev = release.Aborted, 2 })))
	r := newRig(f)
	clear(r.repo.releases) // whatever is asked for, nothing is signed
	f.Fuzz(func(t *testing.T, topic string, first, second []byte) {
		o := r.o
		o.Store = store.New(t.TempDir())
		m := Open(o)
		m.Document(topic, first)
		m.Document(cohort(), first)
		m.Document(cohort(), second)
		oneStep(m)
		m.Document(topics.Pin(), second)
		oneStep(m)
		oneStep(m)
		_ = m.Reported()
		for range 2 { // and after a restart
			if v := m.Serving("cats"); v == nil || v.Version != 1 || len(o.Store.All()) != 0 {
				t.Fatalf("%+v serves", v)
			}
			m = Open(o)
		}
	})
}

// oneStep is one turn of Run, without the time that downloads are spread over.
func oneStep(m *Machine) {
	a := m.attempt()
	if a.State.Ended() {
		_, _ = m.begin(context.Background())
		return
	}
	a.NotBefore = time.Time{}
	_ = m.advance(context.Background(), a)
}

// TestFarGen: a gen from far in the future is not believed, since it would make
// all later documents old ones; without a clock there is no telling.
func TestFarGen(t *testing.T) {
	far := uint64(1) << 62
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(2, far, 1))
		r.want(payload.Idle, 1, "far in the future")
		r.rollout(doc(2, 1, 1))
		r.want(payload.Committed, 2, "")
		r.rollout(doc(3, 1+farMore, 1)) // counted on from the last
		r.want(payload.Committed, 3, "")
	})
}
