package release

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// Share is a part of a cohort in basis points: hundredths of a percent.
type Share int

// All is the whole cohort.
const All Share = 10_000

// The states of a rollout.
const (
	Running = "running"
	Paused  = "paused"  // who has begun goes on, nobody begins
	Aborted = "aborted" // OnAbort says what those do that took it
)

// What devices that took an aborted release do.
const (
	Stay     = "stay"
	Previous = "previous" // go back to the version before
)

const maxJitter = 24 * time.Hour

// Rollout is the retained document of desired/<cohort>, or of a device's pin.
// It is a hint: what it names is installed only if the signed metadata lists
// it and allows it.
type Rollout struct {
	// Gen grows with each change of Release or Target: a device that has
	// chosen for (Release, Gen) chooses anew only with another. Rev grows with
	// each other change. What is older than what a device has seen is replayed,
	// and ignored.
	Gen     uint64 `json:"gen"`
	Rev     uint64 `json:"rev"`
	Release string `json:"release"`
	Target  string `json:"target"`
	State   string `json:"state"`
	// BasisPoints is the part of the cohort that shall take it.
	BasisPoints Share `json:"basis_points"`
	// Salt makes each rollout choose other devices first.
	Salt string `json:"salt"`
	// JitterS is how many seconds devices spread their downloads over.
	JitterS int    `json:"jitter_s,omitempty"`
	OnAbort string `json:"on_abort,omitempty"` // Stay when empty
}

// ParseRollout reads and checks a rollout document.
func ParseRollout(data []byte) (Rollout, error) {
	var r Rollout
	if err := parse(data, &r); err != nil {
		return Rollout{}, fmt.Errorf("rollout: %w", err)
	}
	if err := r.Check(); err != nil {
		return Rollout{}, err
	}
	return r, nil
}

// Check tells what is wrong with r.
func (r Rollout) Check() error {
	_, err := ParseTarget(r.Target)
	switch {
	case r.Gen == 0:
		return fmt.Errorf("rollout: gen must be 1 or more")
	case !isWord(r.Release):
		return fmt.Errorf("rollout: release %.100q must be 1 to 64 of A-Z a-z 0-9 . _ -", r.Release)
	case err != nil:
		return fmt.Errorf("rollout: %w", err)
	case r.State != Running && r.State != Paused && r.State != Aborted:
		return fmt.Errorf("rollout: state %.100q is none of running, paused and aborted", r.State)
	case r.BasisPoints < 0 || r.BasisPoints > All:
		return fmt.Errorf("rollout: basis_points %d is not 0 to %d", r.BasisPoints, All)
	case !isWord(r.Salt):
		return fmt.Errorf("rollout: salt %.100q must be 1 to 64 of A-Z a-z 0-9 . _ -", r.Salt)
	case r.JitterS < 0 || r.Jitter() > maxJitter:
		return fmt.Errorf("rollout: jitter_s %d is not 0 to %d", r.JitterS, int(maxJitter.Seconds()))
	case r.OnAbort != "" && r.OnAbort != Stay && r.OnAbort != Previous:
		return fmt.Errorf("rollout: on_abort %.100q is neither stay nor previous", r.OnAbort)
	}
	return nil
}

// Jitter is the time that devices spread their downloads over.
func (r Rollout) Jitter() time.Duration { return time.Duration(min(r.JitterS, 1<<30)) * time.Second }

// Older tells whether r was written before o.
func (r Rollout) Older(o Rollout) bool {
	return r.Gen < o.Gen || r.Gen == o.Gen && r.Rev < o.Rev
}

// Selects tells whether the device is in the part of the cohort that shall take
// the release. A larger part has all devices of a smaller one.
func (r Rollout) Selects(device string) bool {
	sum := sha256.Sum256([]byte("egret-rollout-v1\x00" + r.Salt + "\x00" + device))
	return binary.BigEndian.Uint64(sum[:8])%uint64(All) < uint64(max(r.BasisPoints, 0))
}
