package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/egret-edge/egret/internal/backoff"
	"github.com/egret-edge/egret/sync/release"
)

// tick is how often what is shown changes at most.
const tick = 250 * time.Millisecond

// Change is one that a live view has seen: of a device, or (Document) of the
// rollout document.
type Change struct {
	Time   time.Time `json:"time"`
	Device *Device   `json:"device,omitempty"`
	// Gone: the device is no more, or in another cohort now.
	Gone     bool             `json:"gone,omitempty"`
	Document bool             `json:"document,omitempty"`
	Rollout  *release.Rollout `json:"rollout,omitempty"` // nil: cleared, or there is a Problem
	Problem  string           `json:"rollout_problem,omitempty"`
}

// Update is what a live view shows next.
type Update struct {
	First   bool // the fleet was read for the first time
	Changes []Change
	Missed  uint64 // changes that came too fast, besides
	// Trouble says why there is no connection; empty: there is one.
	Trouble string
	// Dirty: Status is not what it was.
	Dirty  bool
	Status func() Status
}

// Watch reads the fleet and gives show what changes, at most four times a
// second, until ctx ends or show fails. It gives up when it cannot connect at
// all; a connection that it had it tries to get back for ever.
func (d *Desk) Watch(ctx context.Context, show func(Update) error) error {
	v := newView(d)
	retry := backoff.Backoff{Min: time.Second, Max: 30 * time.Second, Stable: 30 * time.Second}
	for first := true; ; first = false {
		began := time.Now()
		lost, err := d.watch(ctx, v, first, show)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil || first && lost == nil {
			return err
		}
		retry.Lasted(time.Since(began))
		if err := show(Update{Trouble: lost.Error(), Dirty: true, Status: v.status}); err != nil {
			return err
		}
		if retry.Wait(ctx) != nil {
			return nil
		}
	}
}

// watch is one connection. lost says why it ended, err why there is no use in
// another one.
func (d *Desk) watch(ctx context.Context, v *view, first bool, show func(Update) error) (lost, err error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	l, err := d.open(ctx, v)
	if err != nil {
		if first {
			return nil, err
		}
		return err, nil
	}
	defer l.close()
	beat := time.NewTicker(tick)
	defer beat.Stop()
	for {
		u := v.update()
		u.First, first = first, false
		if err := show(u); err != nil {
			return nil, err
		}
		select {
		case <-beat.C:
		case err := <-l.lost:
			return fmt.Errorf("connection lost: %w", err), nil
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// open connects and reads the fleet.
func (d *Desk) open(ctx context.Context, v *view) (*link, error) {
	l, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, d.opts.Timeout)
	defer cancel()
	if err := v.read(bounded, l); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// update takes what has gathered.
func (v *view) update() Update {
	v.mu.Lock()
	defer v.mu.Unlock()
	u := Update{Changes: v.pending, Missed: v.missed, Dirty: v.dirty, Status: v.status}
	v.pending, v.missed = nil, 0
	return u
}
