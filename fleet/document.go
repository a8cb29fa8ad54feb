package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/egret-edge/egret/sync/release"
)

// Why a change is not made. Callers add what to try.
var (
	ErrNone       = errors.New("there is no rollout")
	ErrUnreadable = errors.New("the rollout document cannot be read")
	ErrOther      = errors.New("another rollout is going on")
	ErrAborted    = errors.New("the rollout was aborted")
	ErrSmaller    = errors.New("a rollout's share only grows")
	ErrEnd        = errors.New("its numbers cannot grow any more")
)

// Document is what the broker holds for a cohort or a device. The zero value is
// nothing.
type Document struct {
	Data    []byte
	Rollout release.Rollout // when Problem is nil
	Problem error
}

func parseDocument(data []byte) Document {
	if len(data) == 0 {
		return Document{}
	}
	r, err := release.ParseRollout(data)
	if err != nil {
		// It repeats what was on the wire.
		return Document{Problem: errors.New(clean(err.Error(), maxReason)), Data: data[:min(len(data), maxDocument)]}
	}
	return Document{Data: data, Rollout: r}
}

// maxDocument is how much is kept of a document that cannot be read.
const maxDocument = 16 << 10

// readable is the rollout that a change begins with.
func (d Document) readable() (release.Rollout, error) {
	switch {
	case len(d.Data) == 0:
		return release.Rollout{}, ErrNone
	case d.Problem != nil:
		return release.Rollout{}, fmt.Errorf("%w: %w", ErrUnreadable, d.Problem)
	}
	return d.Rollout, nil
}

// Plan makes the next document of the present one. It changes nothing else, so
// that it can be tried; what equals the present one is not written.
type Plan func(Document) (release.Rollout, error)

// Start begins next, whose Gen, Rev and State it sets; without a Salt it makes
// one. Only force replaces what cannot be read, and another release's rollout
// that goes on.
func Start(next release.Rollout, force bool, now time.Time) Plan {
	return func(d Document) (release.Rollout, error) {
		old, err := d.readable()
		switch {
		case errors.Is(err, ErrUnreadable) && !force:
			return old, err
		case err == nil && !force && old.State != release.Aborted && !finished(old) && (old.Release != next.Release || old.Target != next.Target):
			return old, fmt.Errorf("%w: release %s is %s for %s", ErrOther, old.Release, old.State, Percent(old.BasisPoints))
		case err == nil && old.Gen == math.MaxUint64:
			return old, fmt.Errorf("release %s: %w", old.Release, ErrEnd)
		}
		next.Gen, next.Rev, next.State = nextGen(d, now), 1, release.Running
		if next.Salt == "" {
			next.Salt = salt(next)
		}
		return next, next.Check()
	}
}

// finished: everybody may have it, so that the next release need not wait for
// a formality.
func finished(r release.Rollout) bool {
	return r.State == release.Running && r.BasisPoints == release.All
}

// nextGen is not the old one plus 1 alone: when a broker has lost its retained
// documents, devices would take a second 1 for a replay.
func nextGen(d Document, now time.Time) uint64 {
	old := d.Rollout.Gen
	if d.Problem != nil {
		var r struct{ Gen uint64 }
		if json.Unmarshal(d.Data, &r) == nil && r.Gen < math.MaxUint64 {
			old = r.Gen
		}
	}
	return max(old+1, uint64(max(now.Unix(), 1)))
}

// salt is another one for each rollout, so that not the same devices are always
// the first.
func salt(r release.Rollout) string {
	gen := strconv.FormatUint(r.Gen, 10)
	return r.Release[:min(len(r.Release), 63-len(gen))] + "-" + gen
}

// Pause lets nobody begin.
func Pause() Plan { return state(release.Paused) }

// Resume ends a pause.
func Resume() Plan { return state(release.Running) }

// Abort is final: a release that was aborted is started again, under a new gen.
func Abort() Plan { return state(release.Aborted) }

func state(to string) Plan {
	return func(d Document) (release.Rollout, error) {
		r, err := d.readable()
		switch {
		case err != nil:
			return r, err
		case r.State == to:
			return r, nil
		case r.State == release.Aborted:
			return r, fmt.Errorf("release %s: %w", r.Release, ErrAborted)
		}
		r.State = to
		return revised(r)
	}
}

// Promote lets a larger share of the cohort take the release.
func Promote(share release.Share) Plan {
	return func(d Document) (release.Rollout, error) {
		r, err := d.readable()
		switch {
		case err != nil:
			return r, err
		case r.State == release.Aborted:
			return r, fmt.Errorf("release %s: %w", r.Release, ErrAborted)
		case share < r.BasisPoints:
			return r, fmt.Errorf("release %s is at %s: %w", r.Release, Percent(r.BasisPoints), ErrSmaller)
		case share == r.BasisPoints:
			return r, nil
		}
		r.BasisPoints = share
		return revised(r)
	}
}

func revised(r release.Rollout) (release.Rollout, error) {
	if r.Rev == math.MaxUint64 {
		return r, fmt.Errorf("release %s: %w", r.Release, ErrEnd)
	}
	r.Rev++
	return r, r.Check()
}

// Percent is a share as people read it: 5%, 0.25%.
func Percent(s release.Share) string {
	return strconv.FormatFloat(float64(s)/100, 'f', -1, 64) + "%"
}

// ParsePercent reads 0.01 to 100, with or without a %.
func ParsePercent(s string) (release.Share, error) {
	whole, fraction, dot := strings.Cut(strings.TrimSuffix(s, "%"), ".")
	hundredths := (fraction + "00")[:max(len(fraction), 2)]
	n, err := strconv.ParseUint(whole+hundredths, 10, 32)
	if err != nil || len(hundredths) > 2 || dot && fraction == "" || whole == "" || n < 1 || n > uint64(release.All) {
		return 0, fmt.Errorf("%.40q is no percentage: give 0.01 to 100, with at most two decimals", s)
	}
	return release.Share(n), nil
}

// ParseModel reads what a release is of: cats/3, cats-3 or models/cats/3.zip.
func ParseModel(s string) (release.Model, error) {
	if m, err := release.ParseTarget(s); err == nil {
		return m, nil
	}
	name, version := s, ""
	if i := strings.LastIndexAny(s, "/-"); i >= 0 {
		name, version = s[:i], s[i+1:]
	}
	m, err := release.ParseTarget("models/" + name + "/" + version + ".zip")
	if err != nil {
		return m, fmt.Errorf("%.100q names no model and version: write cats/3 or models/cats/3.zip", s)
	}
	return m, nil
}

// short is 10m for 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// describe is a rollout in one line.
func describe(r release.Rollout) string {
	s := fmt.Sprintf("release %s (%s) %s for %s, gen %d rev %d", r.Release, r.Target, r.State, Percent(r.BasisPoints), r.Gen, r.Rev)
	if r.JitterS > 0 {
		s += ", downloads spread over " + short(r.Jitter())
	}
	if r.OnAbort == release.Previous {
		return s + ", back to the version before when aborted"
	}
	return s + ", kept when aborted"
}
