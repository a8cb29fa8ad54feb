package update

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// below withdraws the releases of cats with lower sequence numbers.
func below(n uint64) release.Policy {
	return release.Policy{MinSequence: map[string]uint64{"cats": n}}
}

// TestWithdrawnOnTheWay: a release that is withdrawn after it was fetched is not
// committed; a repository that does not answer holds nothing up.
func TestWithdrawnOnTheWay(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.dev.shadow = func(context.Context, *payload.Proof) (Shadowed, error) {
			r.repo.policy = below(9)
			return Shadowed{}, nil
		}
		r.rollout(doc(2, 1, 1))
		r.want(payload.Rejected, 1, "was withdrawn: its sequence number 2 is below 9")
	})
	bubble(t, func(t *testing.T, r *rig) {
		r.dev.trial = func(context.Context, store.Version, *payload.Proof) error {
			r.repo.policy = below(9)
			return nil
		}
		r.rollout(doc(2, 1, 1))
		r.want(payload.RolledBack, 1, "was withdrawn")
	})
	bubble(t, func(t *testing.T, r *rig) {
		r.dev.shadow = func(context.Context, *payload.Proof) (Shadowed, error) {
			r.repo.refresh = func(context.Context) error { return errors.New("no network") }
			return Shadowed{}, nil
		}
		r.rollout(doc(2, 1, 1))
		r.want(payload.Committed, 2, "")
	})
}

// TestBackToWithdrawn: whatever goes back passes over a version that was
// withdrawn, also after a restart without a network.
func TestBackToWithdrawn(t *testing.T) {
	for name, back := range map[string]func(r *rig){
		"abort": func(r *rig) {
			r.rollout(with(doc(3, 2, 2), func(d *release.Rollout) { d.State, d.OnAbort = release.Aborted, release.Previous }))
		},
		"crash loop": func(r *rig) { r.m.CrashLoop(6) },
		"order": func(r *rig) {
			r.order(func(o *store.Orders) {
				o.Last = &store.Order{Model: release.Model{Name: "cats", Version: 2}, Back: true}
			})
			r.serves("cats", 3) // it is not carried out
			r.m.CrashLoop(6)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.rollout(doc(2, 1, 1))
				r.want(payload.Committed, 2, "")
				r.repo.policy = below(3)
				r.rollout(doc(3, 2, 1))
				r.want(payload.Committed, 3, "")
				r.restart(true)
				r.repo.refresh = func(context.Context) error { return errors.New("no network") }
				r.rollout(doc(3, 2, 1))
				back(r)
				wait(time.Minute)
				r.serves("cats", 1)
			})
		})
	}
}

// TestStuck: an agent that ends because the model on trial hangs has not ended
// in order.
func TestStuck(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		steps[payload.Trial](r)
		r.rollout(doc(2, 1, 1))
		for range 3 {
			r.m.Stuck()
			r.restart(true)
			r.rollout(doc(2, 1, 1))
		}
		r.want(payload.RolledBack, 1, "3 times")
	})
}
