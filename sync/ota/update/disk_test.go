package update

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// full makes every write of the record fail, until free is called.
func full(t *testing.T, s store.Store) (free func()) {
	t.Helper()
	aside := s.Updates() + ".aside"
	if err := errors.Join(os.Rename(s.Updates(), aside), os.WriteFile(s.Updates(), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(os.Remove(s.Updates()), os.Rename(aside, s.Updates())); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullDisk: a disk that takes nothing keeps the agent neither from starting
// nor from going back; what went back is on record when the disk takes it.
func TestFullDisk(t *testing.T) {
	t.Run("start", func(t *testing.T) {
		r := newRig(t)
		if err := errors.Join(os.MkdirAll(filepath.Dir(r.o.Store.Updates()), 0o755), os.WriteFile(r.o.Store.Updates(), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		m := Open(r.o)
		if v := m.Serving("cats"); v == nil || v.Version != 1 {
			t.Errorf("serving %+v", v)
		}
	})
	t.Run("trial", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var free func()
			r.dev.trial = func(context.Context, store.Version, *payload.Proof) error {
				free = full(t, r.o.Store)
				return Refuse("it answers nonsense")
			}
			r.rollout(doc(2, 1, 1))
			r.want(payload.RolledBack, 1, "nonsense")
			free()
			r.rollout(doc(2, 1, 2)) // any news has it saved
			wait(time.Minute)
			if a := r.record().Attempt; a.State != payload.RolledBack {
				t.Errorf("on record: %s", a.State)
			}
			r.restart(false)
			r.serves("cats", 1)
		})
	})
	t.Run("abort", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.rollout(doc(2, 1, 1))
			r.want(payload.Committed, 2, "")
			free := full(t, r.o.Store)
			r.rollout(with(doc(2, 1, 2), func(d *release.Rollout) { d.State, d.OnAbort = release.Aborted, release.Previous }))
			r.want(payload.RolledBack, 1, "aborted")
			free()
			wait(2 * time.Hour)
			if a := r.record().Attempt; a.State != payload.RolledBack {
				t.Errorf("on record: %s", a.State)
			}
		})
	})
}
