package fleet

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// Status is a rollout and how far its devices are.
type Status struct {
	Time   time.Time `json:"time"`
	Fleet  string    `json:"fleet"`
	Cohort string    `json:"cohort"`
	Pin    string    `json:"pin,omitempty"` // the device that Rollout is for alone
	// Rollout is nil when there is none; Problem says why it cannot be read.
	Rollout *release.Rollout `json:"rollout"`
	Problem string           `json:"rollout_problem,omitempty"`
	Counts  Counts           `json:"counts"`
	// Others are the fleet's other cohorts.
	Others []Other `json:"other_cohorts,omitempty"`
	// Beyond counts messages of devices that were too many to keep.
	Beyond uint64 `json:"beyond_limit,omitempty"`
	// Devices are those of the cohort, and those that have told none.
	Devices []Device `json:"devices"`
}

// Counts are of the cohort's devices, whatever of them is shown.
type Counts struct {
	Devices  int `json:"devices"` // have reported for the cohort
	Online   int `json:"online"`  // of those
	Pinned   int `json:"pinned"`
	Selected int `json:"selected"` // the rollout is for them
	Waiting  int `json:"waiting"`  // of those, have not begun
	// States counts those that have reported on this rollout, by its release and
	// gen; without a rollout, all.
	States map[payload.ReleaseState]int `json:"states"`
	// No cohort is known of the silent and the unreadable.
	Silent     int `json:"silent"`
	Unreadable int `json:"unreadable"`
}

// Other is another cohort of the fleet.
type Other struct {
	Cohort  string           `json:"cohort"`
	Devices int              `json:"devices"`
	Rollout *release.Rollout `json:"rollout,omitempty"`
}

// Status reads what the broker holds.
func (d *Desk) Status(ctx context.Context) (Status, error) {
	v := newView(d)
	err := d.connected(ctx, func(ctx context.Context, l *link) error { return v.read(ctx, l) })
	return v.status(), err
}

// read brings the view up to date; it stays so as long as the link does.
func (v *view) read(ctx context.Context, l *link) error {
	v.begin()
	fold := func(m paho.Message) { v.fold(m.Topic(), m.Payload()) }
	if err := l.collect(ctx, v.filters(), fold, nil); err != nil {
		return err
	}
	v.sweep()
	return nil
}

// status is the view at this moment.
func (v *view) status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := Status{Time: time.Now().UTC(), Fleet: v.desk.opts.Fleet, Cohort: v.desk.opts.Cohort, Pin: v.desk.opts.Pin, Beyond: v.beyond, Devices: []Device{}}
	s.Counts.States = map[payload.ReleaseState]int{}
	doc := v.document()
	if doc.Problem != nil {
		s.Problem = doc.Problem.Error()
	} else if len(doc.Data) > 0 {
		s.Rollout = &doc.Rollout
	}
	others := map[string]*Other{}
	other := func(cohort string) *Other {
		if others[cohort] == nil {
			others[cohort] = &Other{Cohort: cohort}
		}
		return others[cohort]
	}
	for cohort, c := range v.cohorts {
		if cohort == v.desk.opts.Cohort {
			continue
		}
		if o := other(cohort); c.Problem == nil {
			o.Rollout = &c.Rollout
		}
	}
	for id, e := range v.devices {
		row := v.row(id, e)
		if v.shows(row) {
			s.Devices = append(s.Devices, row)
			s.Counts.add(row, s.Rollout)
		} else if row.Cohort != v.desk.opts.Cohort && row.Cohort != "" {
			other(row.Cohort).Devices++
		}
	}
	for _, cohort := range slices.Sorted(maps.Keys(others)) {
		s.Others = append(s.Others, *others[cohort])
	}
	slices.SortFunc(s.Devices, func(a, b Device) int { return strings.Compare(a.ID, b.ID) })
	v.dirty = false
	return s
}

// document is the one that the desk is about.
func (v *view) document() Document {
	if v.desk.opts.Pin != "" {
		return v.pins
	}
	return v.cohorts[v.desk.opts.Cohort].Document
}

func (c *Counts) add(d Device, r *release.Rollout) {
	switch {
	case d.State == Silent:
		c.Silent++
		return
	case d.State == Unreadable:
		c.Unreadable++
		return
	}
	c.Devices++
	if d.Online == payload.Online {
		c.Online++
	}
	if d.Pinned() {
		c.Pinned++
	}
	if d.Selected {
		c.Selected++
	}
	if d.Waiting {
		c.Waiting++
	}
	if r == nil || d.on(*r) {
		c.States[known(d.State)]++
	}
}

// other is a state that this program does not know: a device may be newer. All
// are one, or a hostile device could make as many as it likes.
const otherState payload.ReleaseState = "other"

func known(s payload.ReleaseState) payload.ReleaseState {
	if slices.Contains(States, s) {
		return s
	}
	return otherState
}

// Only leaves of the devices those in the states.
func (s Status) Only(states []payload.ReleaseState) Status {
	if len(states) > 0 {
		s.Devices = slices.DeleteFunc(s.Devices, func(d Device) bool { return !slices.Contains(states, d.State) })
	}
	return s
}
