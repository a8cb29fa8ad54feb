package fleet

import (
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// Limits of what a view keeps.
const (
	maxCohorts = 1000
	maxPending = 10_000 // changes that wait to be shown
)

// leaf is a device's topic that a view reads.
type leaf int

const (
	reported leaf = iota
	status
	pin
	leaves
)

var leafNames = map[string]leaf{"reported": reported, "status": status, "pin": pin}

// entry is a device with what each of its topics said.
type entry struct {
	part [leaves]*Device // only that leaf's fields
	// round is the connection on which a leaf was last heard; 0: it is not there.
	round [leaves]int
}

// view folds retained messages into a fleet's state. It may be used from any
// goroutine.
type view struct {
	desk *Desk

	mu      sync.Mutex // guards all following fields
	round   int        // counts connections
	cohorts map[string]cohortDocument
	pins    Document // of the device that the desk is for
	pinned  int      // the round of pins
	devices map[string]*entry
	beyond  uint64 // messages of devices beyond the limit
	live    bool   // changes are told
	pending []Change
	missed  uint64
	dirty   bool
}

type cohortDocument struct {
	Document
	round int
}

func newView(d *Desk) *view {
	return &view{desk: d, cohorts: map[string]cohortDocument{}, devices: map[string]*entry{}}
}

// filters are the topics to subscribe to.
func (v *view) filters() []string {
	every := payload.Topics{Fleet: v.desk.opts.Fleet, Device: "+"}
	return []string{payload.Desired(v.desk.opts.Fleet, "+"), every.Reported(), every.Status(), every.Pin()}
}

// begin is for each new connection: what is not heard on it again is gone, and
// sweep forgets it.
func (v *view) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.round++
}

func (v *view) sweep() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for cohort, d := range v.cohorts {
		if d.round != v.round {
			v.foldDesired(cohort, nil)
		}
	}
	if v.pinned != v.round {
		v.foldPin(nil)
	}
	for id, e := range v.devices {
		for l := range leaves {
			if e.round[l] != 0 && e.round[l] != v.round {
				v.foldDevice(id, l, nil)
			}
		}
	}
	v.live, v.dirty = true, true
}

// fold takes a message in. What no device of this program sends is ignored.
func (v *view) fold(topic string, data []byte) {
	rest, ok := strings.CutPrefix(topic, "egret/v1/"+v.desk.opts.Fleet+"/")
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	parts := strings.Split(rest, "/")
	switch {
	case len(parts) == 2 && parts[0] == "desired" && payload.ValidID(parts[1]):
		v.foldDesired(strings.Clone(parts[1]), data)
	case len(parts) == 3 && parts[0] == "dev" && payload.ValidID(parts[1]):
		l, ok := leafNames[parts[2]]
		if !ok {
			return
		}
		id := strings.Clone(parts[1])
		if l == pin && id == v.desk.opts.Pin {
			v.foldPin(data)
		}
		v.foldDevice(id, l, data)
	}
}

func (v *view) foldDesired(cohort string, data []byte) {
	before := v.cohorts[cohort]
	now := cohortDocument{parseDocument(data), v.round}
	if len(data) == 0 {
		delete(v.cohorts, cohort)
	} else if before.round != 0 || len(v.cohorts) < maxCohorts || cohort == v.desk.opts.Cohort {
		v.cohorts[cohort] = now
	}
	v.dirty = true
	if cohort == v.desk.opts.Cohort && v.desk.opts.Pin == "" {
		v.tellDocument(before.Document, now.Document)
	}
}

func (v *view) foldPin(data []byte) {
	before := v.pins
	v.pins, v.pinned, v.dirty = parseDocument(data), v.round, true
	v.tellDocument(before, v.pins)
}

func (v *view) foldDevice(id string, l leaf, data []byte) {
	e := v.devices[id]
	if e == nil {
		if len(data) == 0 {
			return
		}
		if len(v.devices) >= v.desk.opts.MaxDevices {
			v.beyond++
			return
		}
		e = &entry{}
		v.devices[id] = e
	}
	before, shown := v.row(id, e), e.round != [leaves]int{}
	e.part[l], e.round[l] = nil, 0
	if len(data) > 0 {
		e.part[l], e.round[l] = readLeaf(id, l, data), v.round
	}
	after := v.row(id, e)
	gone := e.round == [leaves]int{}
	if gone {
		delete(v.devices, id)
	}
	v.dirty = true
	shown = shown && v.shows(before)
	gone = gone || !v.shows(after)
	if shown != !gone || shown && !reflect.DeepEqual(before, after) {
		v.tell(Change{Device: &after, Gone: gone})
	}
}

func readLeaf(id string, l leaf, data []byte) *Device {
	d := new(Device)
	switch l {
	case reported:
		d.readReport(id, data)
	case status:
		d.readStatus(data)
	case pin:
		d.readPin(data)
	}
	return d
}

// row is a device's parts in one.
func (v *view) row(id string, e *entry) Device {
	d := Device{State: Silent}
	if r := e.part[reported]; r != nil {
		d = *r
	}
	d.ID = id
	if st := e.part[status]; st != nil {
		d.Online, d.Agent = st.Online, st.Agent
	}
	if p := e.part[pin]; p != nil {
		d.Pin, d.PinProblem = p.Pin, p.PinProblem
	}
	if c := v.cohorts[v.desk.opts.Cohort]; d.Cohort == v.desk.opts.Cohort && len(c.Data) > 0 && c.Problem == nil {
		d.Selected = c.Rollout.Selects(id)
		d.Waiting = d.Selected && !d.Pinned() && c.Rollout.State != release.Aborted && !d.on(c.Rollout)
	}
	return d
}

// shows tells whether the desk's table has the device: one of its cohort, one
// that has told no cohort, or the one that is pinned.
func (v *view) shows(d Device) bool {
	if v.desk.opts.Pin != "" {
		return d.ID == v.desk.opts.Pin
	}
	return d.Cohort == v.desk.opts.Cohort || d.Cohort == ""
}

// tellDocument tells of a document that is not what it was.
func (v *view) tellDocument(before, now Document) {
	if string(before.Data) == string(now.Data) {
		return
	}
	c := Change{Document: true}
	if now.Problem != nil {
		c.Problem = now.Problem.Error()
	} else if len(now.Data) > 0 {
		c.Rollout = &now.Rollout
	}
	v.tell(c)
}

func (v *view) tell(c Change) {
	if !v.live {
		return
	}
	if len(v.pending) >= maxPending {
		v.missed++ // whoever shows them is too slow: the state is still right
		return
	}
	c.Time = time.Now().UTC()
	v.pending = append(v.pending, c)
}
