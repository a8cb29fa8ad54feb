package spine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/smallmodel"
)

// recorded waits until the device's record says that the attempt with version v
// is in one of the states.
func (s *site) recorded(v int, states ...payload.ReleaseState) store.Attempt {
	s.t.Helper()
	var last []byte
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		data, err := os.ReadFile(filepath.Join(s.state(), "updates", "record.json"))
		if err != nil {
			continue // the agent did not write it yet
		}
		last = data
		var r store.Record
		if err := json.Unmarshal(data, &r); err != nil {
			s.t.Fatalf("the record is torn: %v", err)
		}
		if a := r.Attempt; a != nil && a.Model.Version == v {
			for _, state := range states {
				if a.State == state {
					return *a
				}
			}
		}
	}
	s.t.Fatalf("the record never says %v: %s", states, last)
	return store.Attempt{}
}

// TestKilledInEachState kills the agent in each state of an update, as soon as
// the state is on disk: after the next start it goes on, commits, and the model
// before serves until then.
func TestKilledInEachState(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	states := []payload.ReleaseState{payload.Downloading, payload.Verifying, payload.Probing, payload.Shadow, payload.Trial, payload.Committed}
	if len(buildFlags) > 0 { // with the race detector all takes several times as long
		states = states[3:5]
	}
	for i := range states {
		v := i + 2
		s.publish(v, s.model(v, smallmodel.Options{Seed: uint64(v)}, t.TempDir()+"/colours"), nil)
	}
	for i, state := range states {
		t.Run(string(state), func(t *testing.T) {
			s.t = t
			v := i + 2
			d := started(t, s.config)
			s.answers(v-1, 1)
			s.roll(v, uint64(v), nil)
			// A state may be over before it is seen: a later one does as well.
			s.recorded(v, states[i:]...)
			d.kill()
			d = started(t, s.config)
			s.reaches(v, payload.Committed)
			s.answers(v, 3)
			d.stop()
		})
	}
}

// TestKilledOnTrial: an agent that ends without order three times while a model
// is on trial goes back to the one before, and does not try that release again.
func TestKilledOnTrial(t *testing.T) {
	t.Parallel()
	// So many frames that the trial does not end by itself.
	s := newSite(t, "\nupdates: {repository: REPO, root: ROOTJSON, cohort: north, shadow_frames: 2, trial_frames: 100000, poll: 100ms}\n")
	s.publish(2, s.model(2, smallmodel.Options{Seed: 2}, t.TempDir()+"/colours"), nil)
	d := started(t, s.config)
	s.roll(2, 1, nil)
	s.recorded(2, payload.Trial)
	for i := range 3 {
		s.answers(2, 1)
		if i == 1 { // an end in order does not count
			d.stop()
			d = started(t, s.config)
			s.answers(2, 1)
		}
		d.kill()
		d = started(t, s.config)
	}
	got := s.reaches(2, payload.RolledBack)
	if got.Reason != "the agent ended without order 3 times while it served" {
		t.Errorf("reason %q", got.Reason)
	}
	s.answers(1, 5)
	d.kill()
	d = started(t, s.config)
	s.answers(1, 5)
	if a := s.recorded(2, payload.RolledBack); a.Model.Version != 2 {
		t.Errorf("attempt %+v", a)
	}
	d.stop()
}

// kills is how often TestKilledAnywhere kills the agent.
func kills() int {
	switch {
	case os.Getenv("EGRET_SOAK") != "":
		return 150
	case len(buildFlags) > 0: // with the race detector all takes several times as long
		return 2
	}
	return 6
}

// TestKilledAnywhere kills the agent at random moments while one release after
// the other is rolled out, some of them bad: at every start a model serves, and
// only what proved itself is ever committed.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	n := kills()
	releases := n/2 + 2
	bad := func(v int) bool { return v%3 == 0 }
	for v := 2; v < releases+2; v++ {
		dir := s.model(v, smallmodel.Options{Seed: uint64(v)}, t.TempDir()+"/colours")
		if bad(v) {
			alter(t, filepath.Join(dir, "model.tflite"), func(d []byte) []byte { return d[:len(d)/2] })
		}
		s.publish(v, dir, nil)
	}
	random := rand.New(rand.NewPCG(7, 8))
	serving, killed := 1, map[payload.ReleaseState]int{}
	d := started(t, s.config)
	for v, left := 2, n; v < releases+2; v++ {
		s.roll(v, uint64(v), nil)
		// Two ends without order while it is on trial are no reason to go back.
		for i := 0; i < 2 && left > 0; i++ {
			time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
			d.kill()
			killed[s.attempt().State]++
			left--
			d = started(t, s.config)
		}
		want := payload.Committed
		if bad(v) {
			want = payload.Rejected
		} else {
			serving = v
		}
		s.recorded(v, want)
		s.answers(serving, 1)
	}
	d.stop()
	t.Logf("killed in state: %v", killed)
}

// attempt is what the record says.
func (s *site) attempt() store.Attempt {
	s.t.Helper()
	r, err := store.New(s.state()).Load()
	if err != nil {
		s.t.Fatal(err)
	}
	if r.Attempt == nil {
		return store.Attempt{State: payload.Idle}
	}
	return *r.Attempt
}

// TestDamagedModel: a model that served, whose file is damaged while the agent
// is not there, does not serve again; the one before it does.
func TestDamagedModel(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for v := 2; v <= 3; v++ {
		s.publish(v, s.model(v, smallmodel.Options{Seed: uint64(v)}, t.TempDir()+"/colours"), nil)
	}
	d := started(t, s.config)
	for v := 2; v <= 3; v++ {
		s.roll(v, uint64(v), nil)
		s.reaches(v, payload.Committed)
	}
	d.stop()
	for v, next := range map[int]int{3: 2} {
		alter(t, filepath.Join(s.state(), "models", "colours", fmt.Sprint(v), "model.tflite"), func(d []byte) []byte {
			d[len(d)/2] ^= 1
			return d
		})
		d = started(t, s.config)
		s.answers(next, 3)
		s.until("a rollback", func(r payload.Reported) bool { return r.State == payload.RolledBack })
		d.stop()
	}
	// The one before is damaged too, and then there is the factory's.
	if err := os.RemoveAll(filepath.Join(s.state(), "models", "colours", "2")); err != nil {
		t.Fatal(err)
	}
	d = started(t, s.config)
	s.answers(1, 3)
	d.stop()
}
