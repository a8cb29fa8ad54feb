package update

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/sync/ota"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// TestRollout takes two releases to committed: each state is on disk before it
// is reported, and before anything is done in it.
func TestRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.hook = func(step string) {
			rec := r.record()
			if a := rec.Attempt; a != nil && payload.ReleaseState(step) != a.State && !slices.Contains([]string{"seen", "begin", "apply", "proved"}, step) {
				t.Errorf("after the step %s the record says %s", step, a.State)
			}
		}
		r.start()
		defer func() { r.stop() }()
		synctest.Wait()
		r.serves("cats", 1)
		r.states()
		r.rollout(doc(2, 1, 1))
		r.want(payload.Committed, 2, "")
		want := []payload.ReleaseState{payload.Idle, payload.Downloading, payload.Verifying, payload.Probing, payload.Shadow, payload.Trial, payload.Committed}
		if got := r.states(); !slices.Equal(got, want) {
			t.Errorf("reported %v, want %v", got, want)
		}
		r.rollout(doc(3, 2, 1))
		r.want(payload.Committed, 3, "")
		known := r.record().Models["cats"]
		if c, p := known.Current, known.Previous; c.Release != "cats-3" || c.Gen != 2 || c.Digest == "" || c.Bundle == "" || p.Version != 2 {
			t.Errorf("current %+v, previous %+v", c, p)
		}
		r.restart(true)
		synctest.Wait()
		r.rollout(doc(3, 2, 1))
		r.want(payload.Committed, 3, "")
		if r.repo.fetched != 2 || len(r.dev.proved) != 2 {
			t.Errorf("%d downloads, trials of %v", r.repo.fetched, r.dev.proved)
		}
	})
}

// refusals are the places where a model may turn out bad.
var refusals = map[string]struct {
	do    func(r *rig)
	trial bool // it serves already
}{
	"not listed":   {do: func(r *rig) { delete(r.repo.releases, "cats-2") }},
	"other target": {do: func(r *rig) { changeRelease(r, func(rel *ota.Release) { rel.Target = "models/dogs/2.zip" }) }},
	"withdrawn":    {do: func(r *rig) { changeRelease(r, func(rel *ota.Release) { rel.Refused = ota.ErrWithdrawn }) }},
	"withdrawn meanwhile": {do: func(r *rig) {
		r.repo.download = func(context.Context) error { return fmt.Errorf("cats-2: %w", ota.ErrWithdrawn) }
	}},
	"unfit": {do: func(r *rig) { changeRelease(r, func(rel *ota.Release) { rel.Refused = ota.ErrUnfit }) }},
	"no zip": {do: func(r *rig) {
		changeRelease(r, func(rel *ota.Release) {
			rel.SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
		})
	}},
	"inspect": {do: func(r *rig) { r.dev.inspect = func(string) error { return errors.New("no model") } }},
	"probe": {do: func(r *rig) {
		r.dev.probe = func(context.Context, string, *payload.Proof) error { return Refuse("golden") }
	}},
	"memory": {do: func(r *rig) {
		r.o.Limits.MaxMemory = 1
		r.dev.probe = func(_ context.Context, _ string, p *payload.Proof) error { p.Memory = 2; return nil }
	}},
	"shadow": {do: func(r *rig) {
		r.dev.shadow = func(context.Context, *payload.Proof) (Shadowed, error) { return Shadowed{}, Refuse("slow") }
	}},
	"trial": {trial: true, do: func(r *rig) {
		r.dev.trial = func(context.Context, store.Version, *payload.Proof) error { return Refuse("no answer") }
	}},
	"apply": {trial: true, do: func(r *rig) {
		r.dev.apply = func(context.Context) error {
			if r.m.Serving("cats").Version == 2 {
				return Refuse("it does not load")
			}
			return nil
		}
	}},
	"slow on trial": {trial: true, do: func(r *rig) {
		r.o.Limits.MaxSlowdown = 2
		r.dev.trial = func(_ context.Context, _ store.Version, p *payload.Proof) error {
			s := 3.0
			p.Slowdown = &s
			return nil
		}
	}},
}

func changeRelease(r *rig, change func(*ota.Release)) {
	rel := r.repo.releases["cats-2"]
	change(&rel)
	r.repo.releases["cats-2"] = rel
}

// TestRefusals: what is refused keeps the present model, says why, and is not
// tried again but with another gen.
func TestRefusals(t *testing.T) {
	for name, tt := range refusals {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				good := *r.dev
				rel, limits := r.repo.releases["cats-2"], r.o.Limits
				tt.do(r)
				applied := 0
				r.dev.at = func(call string) {
					if call == "apply" {
						applied++
						rec := r.record()
						if v := r.m.Serving("cats"); rec.Serving("cats").Dir != v.Dir {
							t.Errorf("apply: %s shall serve, on disk is %s", v.Dir, rec.Serving("cats").Dir)
						}
					}
				}
				r.start()
				defer func() { r.stop() }()
				r.rollout(doc(2, 1, 1))
				want, tries := payload.Rejected, 0
				if tt.trial {
					want, tries = payload.RolledBack, 2
				}
				got := r.m.Reported()
				r.want(want, 1, got.Reason)
				if a := r.record().Attempt; got.Reason == "" || a.State != want || a.Reason != got.Reason {
					t.Errorf("reported %s %q, recorded %s %q", got.State, got.Reason, a.State, a.Reason)
				}
				if applied != tries {
					t.Errorf("applied %d times, want %d", applied, tries)
				}
				if vs := r.o.Store.Versions("cats"); len(vs) != 0 {
					t.Errorf("the store still has %v", vs)
				}

				at := r.dev.at
				*r.dev = good
				r.dev.at, r.repo.releases["cats-2"], r.repo.download, r.m.o.Limits = at, rel, nil, limits
				r.rollout(doc(2, 1, 2))
				wait(time.Hour)
				r.restart(false)
				r.rollout(doc(2, 1, 2))
				r.want(want, 1, got.Reason)
				r.rollout(doc(2, 2, 2))
				r.want(payload.Committed, 2, "")
			})
		})
	}
}

// TestJudge: limits of the release before those of the device, and only what
// was measured is judged.
func TestJudge(t *testing.T) {
	num := func(f float64) *float64 { return &f }
	l := release.Limits{MinAgreement: 0.9, MaxScoreShift: 0.2, MaxSlowdown: 1.5, MaxMemory: 2 << 20}
	for name, tt := range map[string]struct {
		p    payload.Proof
		want string
	}{
		"nothing":   {payload.Proof{}, ""},
		"at limits": {payload.Proof{Agreement: num(0.9), ScoreShift: num(0.2), Slowdown: num(1.5), Memory: 2 << 20}, ""},
		"agreement": {payload.Proof{Frames: 7, Agreement: num(0.89)}, "89.0 % of 7 frames"},
		"scores":    {payload.Proof{ScoreShift: num(0.21)}, "0.21 apart"},
		"slowdown":  {payload.Proof{Slowdown: num(1.6)}, "1.60 times"},
		"memory":    {payload.Proof{Memory: 3 << 20}, "3 MiB"},
	} {
		err := judge(l, tt.p)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	for name, tt := range map[string]struct {
		limit release.Limits
		same  bool
		state payload.ReleaseState
	}{
		"device's limit":                     {release.Limits{}, true, payload.Rejected},
		"other labels, device's limit":       {release.Limits{}, false, payload.Committed},
		"other labels, the release's limit":  {release.Limits{MinAgreement: 0.6}, false, payload.Rejected},
		"the release's limit is a lower one": {release.Limits{MinAgreement: 0.4}, true, payload.Committed},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.m.o.Limits.MinAgreement = 0.9
				changeRelease(r, func(rel *ota.Release) { rel.Limits = tt.limit })
				r.dev.shadow = func(_ context.Context, p *payload.Proof) (Shadowed, error) {
					p.Frames, p.Agreement = 10, num(0.5)
					return Shadowed{SameLabels: tt.same}, nil
				}
				r.rollout(doc(2, 1, 1))
				if got := r.m.Reported(); got.State != tt.state || got.Proof == nil || *got.Proof.Agreement != 0.5 {
					t.Errorf("%+v, want %s", got, tt.state)
				}
			})
		})
	}
}

// steps has the device hang in one step.
var steps = map[payload.ReleaseState]func(r *rig){
	payload.Downloading: func(r *rig) { r.repo.download = hang },
	payload.Probing: func(r *rig) {
		r.dev.probe = func(ctx context.Context, _ string, _ *payload.Proof) error { return hang(ctx) }
	},
	payload.Shadow: func(r *rig) {
		r.dev.shadow = func(ctx context.Context, _ *payload.Proof) (Shadowed, error) { return Shadowed{}, hang(ctx) }
	},
	payload.Trial: func(r *rig) {
		r.dev.trial = func(ctx context.Context, v store.Version, _ *payload.Proof) error {
			if v.Version == 2 {
				return hang(ctx)
			}
			return nil
		}
	},
}

func unhang(r *rig) {
	r.repo.download, r.dev.probe, r.dev.shadow, r.dev.trial = nil, nil, nil, nil
}

// in runs a test in which the release cats-2 is in each of the states in turn.
func in(t *testing.T, test func(t *testing.T, r *rig, state payload.ReleaseState)) {
	t.Helper()
	for state, stay := range steps {
		t.Run(string(state), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				stay(r)
				r.rollout(doc(2, 1, 1))
				if got := r.m.Reported(); got.State != state || got.Release != "cats-2" || got.Gen != 1 || got.Model.Version != 2 {
					t.Fatalf("it reports %+v, want %s", got, state)
				}
				test(t, r, state)
			})
		})
	}
}

// ended is how an attempt ends in a state.
func ended(in payload.ReleaseState) payload.ReleaseState {
	if in == payload.Trial {
		return payload.RolledBack
	}
	return payload.Rejected
}

func TestAbortedMeanwhile(t *testing.T) {
	in(t, func(t *testing.T, r *rig, state payload.ReleaseState) {
		r.rollout(with(doc(2, 1, 2), func(d *release.Rollout) { d.State = release.Aborted }))
		r.want(ended(state), 1, "the rollout was aborted")
		unhang(r)
		r.rollout(doc(2, 1, 3))
		r.want(ended(state), 1, "the rollout was aborted")
		r.rollout(doc(2, 2, 3))
		r.want(payload.Committed, 2, "")
	})
}

func TestPausedMeanwhile(t *testing.T) {
	in(t, func(t *testing.T, r *rig, state payload.ReleaseState) {
		r.rollout(with(doc(2, 1, 2), func(d *release.Rollout) { d.State = release.Paused }))
		if got := r.m.Reported(); got.State != state {
			t.Fatalf("who has begun goes on: %+v", got)
		}
		// What hangs is not broken off; the next life ends it.
		unhang(r)
		r.restart(true)
		wait(time.Minute)
		r.want(payload.Committed, 2, "")
	})
}

func TestClearedMeanwhile(t *testing.T) {
	in(t, func(t *testing.T, r *rig, state payload.ReleaseState) {
		r.m.Document(cohort(), nil)
		synctest.Wait()
		if got := r.m.Reported(); got.State != state {
			t.Errorf("without a document: %+v", got)
		}
	})
}

func TestSuperseded(t *testing.T) {
	in(t, func(t *testing.T, r *rig, state payload.ReleaseState) {
		unhang(r)
		r.rollout(doc(3, 2, 0))
		r.want(payload.Committed, 3, "")
		if !slices.Contains(r.steps, string(ended(state))) {
			t.Errorf("steps %v, want %s among them", r.steps, ended(state))
		}
		// It is not held against the release that another one came.
		unhang(r)
		r.rollout(doc(2, 3, 0))
		r.want(payload.Committed, 2, "")
		if rec := r.record(); len(rec.Failed) != 0 {
			t.Errorf("failed: %v", rec.Failed)
		}
	})
}

func TestAbortedAfter(t *testing.T) {
	for name, tt := range map[string]struct {
		onAbort, reason string
		state           payload.ReleaseState
		serving         int
	}{
		"stay":        {release.Stay, "", payload.Committed, 3},
		"not said":    {"", "", payload.Committed, 3},
		"to previous": {release.Previous, "the rollout was aborted", payload.RolledBack, 2},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.rollout(doc(2, 1, 1))
				r.rollout(doc(3, 2, 1))
				r.rollout(with(doc(3, 2, 2), func(d *release.Rollout) { d.State, d.OnAbort = release.Aborted, tt.onAbort }))
				r.want(tt.state, tt.serving, tt.reason)
				r.restart(true)
				r.rollout(with(doc(3, 2, 2), func(d *release.Rollout) { d.State, d.OnAbort = release.Aborted, tt.onAbort }))
				r.want(tt.state, tt.serving, tt.reason)
			})
		})
	}
	t.Run("before", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.rollout(with(doc(2, 1, 1), func(d *release.Rollout) { d.State, d.OnAbort = release.Aborted, release.Previous }))
			r.want(payload.Idle, 1, "the rollout was aborted")
			r.rollout(doc(2, 1, 2))
			r.want(payload.Committed, 2, "")
		})
	})
	t.Run("to the factory model", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.rollout(doc(2, 1, 1))
			r.rollout(with(doc(2, 5, 0), func(d *release.Rollout) { d.State, d.OnAbort = release.Aborted, release.Previous }))
			r.serves("cats", 1)
			r.rollout(doc(2, 5, 1))
			r.want(payload.Rejected, 1, "the rollout was aborted")
		})
	})
	t.Run("pinned on the device", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.rollout(doc(2, 1, 1))
			r.order(func(o *store.Orders) { o.Pins["cats"] = 2 })
			r.rollout(with(doc(2, 1, 2), func(d *release.Rollout) { d.State, d.OnAbort = release.Aborted, release.Previous }))
			r.want(payload.Committed, 2, "")
		})
	})
}
