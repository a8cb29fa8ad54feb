package payload

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ReleaseState is where a device stands with a model's release.
type ReleaseState string

// The release states. A new release goes down this list to Committed, or ends
// in Rejected (it never served) or RolledBack (it did, and does no longer).
const (
	Idle        ReleaseState = "idle"
	Downloading ReleaseState = "downloading"
	Verifying   ReleaseState = "verifying"
	Probing     ReleaseState = "probing" // in a process of its own, with its golden samples
	Shadow      ReleaseState = "shadow"  // beside the present model, on live frames
	Trial       ReleaseState = "trial"   // it serves, and is watched
	Committed   ReleaseState = "committed"
	RolledBack  ReleaseState = "rolled_back"
	Rejected    ReleaseState = "rejected"
)

// Ended tells whether nothing more happens to a release by itself.
func (s ReleaseState) Ended() bool {
	return s == Idle || s == Committed || s == RolledBack || s == Rejected
}

// Reported is the retained release state of a device: where it stands with the
// last release that it was told of, and what serves meanwhile.
type Reported struct {
	Device string       `json:"device"`
	Cohort string       `json:"cohort"`
	Boot   uint64       `json:"boot"`
	Time   time.Time    `json:"time"`
	State  ReleaseState `json:"state"`
	Reason string       `json:"reason,omitempty"` // one line
	Since  time.Time    `json:"since,omitzero"`   // of the state
	// Release and Gen are the rollout document's; empty and 0 when the model
	// came another way, or when there is none. Model is the one that the state
	// is about; its digest is known from verifying on.
	Release string `json:"release,omitempty"`
	Gen     uint64 `json:"gen,omitempty"`
	Model   *Model `json:"model,omitempty"`
	// Progress counts bytes while downloading, frames in shadow and trial.
	Progress *Progress `json:"progress,omitempty"`
	// Proof is what shadow and trial measured.
	Proof *Proof `json:"proof,omitempty"`
	// Serving is what answers, by the model's name in the configuration.
	Serving map[string]Model `json:"serving"`
}

// Progress is a step's, towards the next.
type Progress struct {
	Done int64 `json:"done"`
	Of   int64 `json:"of"`
}

// Proof is what was seen of a new model on this device's own frames. A figure
// that was not measured is nil.
type Proof struct {
	Golden int `json:"golden"` // samples answered right
	Frames int `json:"frames"` // compared in shadow
	// Agreement is the share of those, 0 to 1, on which both models gave the
	// same first label.
	Agreement *float64 `json:"agreement,omitempty"`
	// ScoreShift is the largest distance between the two distributions of the
	// first result's score (Kolmogorov and Smirnov), 0 to 1.
	ScoreShift *float64 `json:"score_shift,omitempty"`
	// Slowdown is the new model's median Invoke over the present one's.
	Slowdown *float64 `json:"slowdown,omitempty"`
	// Memory is the most that the new model's process had resident, in bytes.
	Memory   uint64 `json:"memory_bytes,omitempty"`
	Answered int    `json:"answered"` // live frames in trial
	Failed   int    `json:"failed"`   // of the frames in trial
	// Confirmed: the broker has acknowledged a message that the model made.
	Confirmed bool `json:"confirmed"`
}

// MaxReportedBytes bounds a report that is read.
const MaxReportedBytes = 64 << 10

// ParseReported reads a device's report. What it does not know it ignores:
// devices may be newer than who reads.
func ParseReported(data []byte) (Reported, error) {
	var r Reported
	if len(data) > MaxReportedBytes {
		return r, fmt.Errorf("report: larger than %d KiB", MaxReportedBytes>>10)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return Reported{}, fmt.Errorf("report: %w", err)
	}
	if !ValidID(r.Device) {
		return Reported{}, errors.New("report: no device's id")
	}
	return r, nil
}
