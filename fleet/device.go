package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// States of devices that say none.
const (
	Silent     payload.ReleaseState = "silent"     // no report has come
	Unreadable payload.ReleaseState = "unreadable" // or one that makes no sense
)

// States are all that a device may be in, in the order of a release's way.
var States = []payload.ReleaseState{
	payload.Idle, payload.Downloading, payload.Verifying, payload.Probing, payload.Shadow, payload.Trial,
	payload.Committed, payload.RolledBack, payload.Rejected, Silent, Unreadable,
}

// What a device may make others keep. A broker carries more than anybody reads.
const (
	maxReason  = 200 // characters
	maxName    = 64
	maxDigest  = 80
	maxServing = 16 // models
)

// Device is what is known of one device. Its texts may be shown: see clean.
type Device struct {
	ID string `json:"device"`
	// Cohort is empty when no readable report has come.
	Cohort string `json:"cohort,omitempty"`
	// Online is "online", "offline", "lost" (so the broker says), or empty.
	Online   string                   `json:"online,omitempty"`
	Agent    string                   `json:"agent,omitempty"` // its version
	State    payload.ReleaseState     `json:"state"`
	Reason   string                   `json:"reason,omitempty"`
	Since    time.Time                `json:"since,omitzero"` // by the device's clock
	Release  string                   `json:"release,omitempty"`
	Gen      uint64                   `json:"gen,omitempty"`
	Model    *payload.Model           `json:"model,omitempty"`
	Progress *payload.Progress        `json:"progress,omitempty"`
	Proof    *payload.Proof           `json:"proof,omitempty"`
	Serving  map[string]payload.Model `json:"serving,omitempty"`
	// Selected: the cohort's rollout is for it.
	Selected bool `json:"selected"`
	// Waiting: it is selected, not pinned, and has not reported on this rollout,
	// which was not aborted.
	Waiting bool `json:"waiting"`
	// Pin is its own rollout document, which goes before the cohort's; a
	// broken one counts as well.
	Pin        *release.Rollout `json:"pin,omitempty"`
	PinProblem string           `json:"pin_problem,omitempty"`
}

// Pinned tells whether the device has a document of its own.
func (d Device) Pinned() bool { return d.Pin != nil || d.PinProblem != "" }

// on tells whether the device has reported on that rollout, and not on an earlier
// one of the same release.
func (d Device) on(r release.Rollout) bool { return d.Release == r.Release && d.Gen == r.Gen }

var statePattern = regexp.MustCompile(`^[a-z_]{1,32}$`)

// readReport fills d from a report that came for the device id.
func (d *Device) readReport(id string, data []byte) {
	r, err := payload.ParseReported(data)
	switch {
	case err != nil:
	case r.Device != id:
		err = fmt.Errorf("report: it is of device %q", r.Device)
	case !payload.ValidID(r.Cohort):
		err = errors.New("report: no cohort's name")
	case !statePattern.MatchString(string(r.State)):
		err = errors.New("report: no state")
	}
	if err != nil {
		d.State, d.Reason = Unreadable, clean(err.Error(), maxReason)
		return
	}
	d.Cohort, d.State, d.Reason, d.Since = r.Cohort, r.State, clean(r.Reason, maxReason), r.Since
	d.Release, d.Gen, d.Progress, d.Proof = clean(r.Release, maxName), r.Gen, r.Progress, r.Proof
	if r.Model != nil {
		m := cleanModel(*r.Model)
		d.Model = &m
	}
	names := slices.Sorted(maps.Keys(r.Serving))
	if len(names) > 0 {
		d.Serving = map[string]payload.Model{}
	}
	for _, name := range names[:min(len(names), maxServing)] {
		d.Serving[clean(name, maxName)] = cleanModel(r.Serving[name])
	}
}

func cleanModel(m payload.Model) payload.Model {
	m.Name, m.Digest = clean(m.Name, maxName), clean(m.Digest, maxDigest)
	return m
}

// readStatus fills d from a status, which is what its device last said or the
// broker said for it.
func (d *Device) readStatus(data []byte) {
	var s payload.Status
	if len(data) > payload.MaxReportedBytes || json.Unmarshal(data, &s) != nil {
		return
	}
	d.Agent = clean(s.Version, maxName)
	switch {
	case s.State == payload.Online:
		d.Online = payload.Online
	case s.State == payload.Offline && s.Reason == "lost":
		d.Online = "lost"
	case s.State == payload.Offline:
		d.Online = payload.Offline
	}
}

func (d *Device) readPin(data []byte) {
	doc := parseDocument(data)
	if doc.Problem != nil {
		d.PinProblem = clean(doc.Problem.Error(), maxReason)
		return
	}
	d.Pin = &doc.Rollout
}
