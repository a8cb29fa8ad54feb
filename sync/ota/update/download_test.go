package update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/ota"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// TestTransient: what is not the release's fault waits, says why, and goes on
// when it is healed, also after a restart.
func TestTransient(t *testing.T) {
	bad := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	for name, tt := range map[string]struct {
		ail, heal func(r *rig)
		want      string
	}{
		"network":             {func(r *rig) { r.repo.refresh = bad(ota.ErrNetwork) }, nil, "does not answer"},
		"expired":             {func(r *rig) { r.repo.refresh = bad(fmt.Errorf("timestamp: %w", ota.ErrExpired)) }, nil, "has expired"},
		"expired at download": {func(r *rig) { r.repo.download = bad(ota.ErrExpired) }, nil, "has expired"},
		"no space":            {func(r *rig) { r.repo.download = bad(ota.ErrNoSpace) }, nil, "not enough space"},
		"busy":                {func(r *rig) { r.repo.refresh = bad(ota.ErrBusy) }, nil, "in use"},
		"probe": {func(r *rig) {
			r.dev.probe = func(context.Context, string, *payload.Proof) error { return errors.New("no memory\nnow") }
		}, func(r *rig) { r.dev.probe = nil }, "no memory now"},
		"shadow": {func(r *rig) {
			r.dev.shadow = func(context.Context, *payload.Proof) (Shadowed, error) { return Shadowed{}, errors.New("no frames") }
		}, func(r *rig) { r.dev.shadow = nil }, "no frames"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				tt.ail(r)
				r.rollout(doc(2, 1, 1))
				wait(5 * time.Hour)
				if got := r.m.Reported(); got.State.Ended() || !strings.Contains(got.Reason, tt.want) {
					t.Errorf("it reports %+v, want %q", got, tt.want)
				}
				r.restart(false)
				r.rollout(doc(2, 1, 1))
				r.repo.refresh, r.repo.download = nil, nil
				if tt.heal != nil {
					tt.heal(r)
				}
				wait(time.Hour)
				r.want(payload.Committed, 2, "")
			})
		})
	}
}

// TestBackoff: tries come ever more rarely, and at once again after a success.
func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tries := 0
		r.repo.refresh = func(context.Context) error { tries++; return ota.ErrNetwork }
		r.rollout(doc(2, 1, 1))
		wait(24 * time.Hour)
		if tries < 24 || tries > 100 {
			t.Errorf("%d tries in a day", tries)
		}
	})
}

func TestCorruptDownloads(t *testing.T) {
	for name, tt := range map[string]struct {
		bad   int
		err   error
		state payload.ReleaseState
	}{
		"heals":     {2, ota.ErrCorrupt, payload.Committed},
		"three":     {3, ota.ErrCorrupt, payload.Rejected},
		"too large": {3, ota.ErrTooLarge, payload.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.repo.download = func(context.Context) error {
					if r.repo.fetched <= tt.bad {
						return tt.err
					}
					return nil
				}
				r.rollout(doc(2, 1, 1))
				wait(time.Hour)
				if got := r.m.Reported(); got.State != tt.state {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// TestLostDownload: a bundle that is gone or damaged between download and
// unpacking is fetched again, but not for ever.
func TestLostDownload(t *testing.T) {
	for name, spoil := range map[string]func(path string){
		"gone":    func(path string) { _ = os.Remove(path) },
		"damaged": func(path string) { _ = os.WriteFile(path, []byte("x"), 0o600) },
	} {
		for times, want := range map[int]payload.ReleaseState{1: payload.Committed, 100: payload.Rejected} {
			t.Run(fmt.Sprint(name, times), func(t *testing.T) {
				r := newRig(t)
				r.hook = func(step string) {
					if step == string(payload.Verifying) && r.repo.fetched <= times {
						spoil(r.m.zip(release.Model{Name: "cats", Version: 2}))
					}
				}
				inBubble(t, r, func() {
					r.rollout(doc(2, 1, 1))
					if got := r.m.Reported(); got.State != want {
						t.Errorf("%+v", got)
					}
				})
			})
		}
	}
}

// TestSameNumber: another content under a version's number is refused.
func TestSameNumber(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(2, 1, 1))
		r.repo.add(t, "cats-2b", "cats", 2, "other cats")
		d := with(doc(2, 2, 1), func(d *release.Rollout) { d.Release = "cats-2b" })
		r.rollout(d)
		r.want(payload.Rejected, 2, "other content")
		if got, _ := digestOf(r.m.Serving("cats").Dir); got != r.record().Models["cats"].Current.Digest {
			t.Error("the content was changed")
		}
		// As the previous one it is kept as well.
		r.rollout(doc(3, 3, 1))
		r.rollout(with(d, func(d *release.Rollout) { d.Gen = 4 }))
		r.want(payload.Rejected, 3, "other content")
	})
}

// TestBackToPrevious: the version before is not unpacked again over itself.
func TestBackToPrevious(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(2, 1, 1))
		r.rollout(doc(3, 2, 1))
		r.rollout(doc(2, 3, 1))
		r.want(payload.Committed, 2, "")
		if k := r.record().Models["cats"]; k.Previous.Version != 3 || k.Current.Gen != 3 {
			t.Errorf("%+v", k)
		}
	})
}

func TestWindowLeft(t *testing.T) {
	at := func(clock string) time.Time {
		c, err := time.Parse("15:04:05", clock)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, tt := range []struct {
		window, at string
		want       time.Duration
	}{
		{"", "12:00:00", -1},
		{"01:00-05:30", "00:59:59", 0},
		{"01:00-05:30", "01:00:00", 4*time.Hour + 30*time.Minute},
		{"01:00-05:30", "05:29:59", time.Second},
		{"01:00-05:30", "05:30:00", 0},
		{"22:30-02:00", "22:29:00", 0},
		{"22:30-02:00", "23:00:00", 3 * time.Hour},
		{"22:30-02:00", "00:00:00", 2 * time.Hour},
		{"22:30-02:00", "02:00:00", 0},
		{"22:30-00:00", "23:59:00", time.Minute},
	} {
		w := window(t, tt.window)
		if got := w.Left(at(tt.at)); got != tt.want {
			t.Errorf("%s at %s: %s left, want %s", tt.window, tt.at, got, tt.want)
		}
		if tt.window != "" && w.String() != tt.window {
			t.Errorf("%s is written %s", tt.window, w)
		}
	}
}

// window is "01:00-05:30", or the whole day when empty; configs reads it for
// people.
func window(t *testing.T, text string) Window {
	t.Helper()
	var a, b, c, d int
	if _, err := fmt.Sscanf(text, "%d:%d-%d:%d", &a, &b, &c, &d); err != nil && text != "" {
		t.Fatal(err)
	}
	of := func(h, m int) time.Duration { return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute }
	return Window{From: of(a, b), To: of(c, d)}
}

// TestWindow: downloads wait for it, and are broken off when it closes.
func TestWindow(t *testing.T) {
	var clockSet atomic.Bool
	r := newRig(t)
	r.o.ClockSet = clockSet.Load
	inBubble(t, r, func() {
		now := time.Now()
		midnight := time.Duration(now.Hour())*time.Hour + time.Duration(now.Minute())*time.Minute
		r.m.o.Window = Window{From: (midnight + 2*time.Hour) % (24 * time.Hour), To: (midnight + 4*time.Hour) % (24 * time.Hour)}
		r.rollout(doc(2, 1, 1))
		r.want(payload.Downloading, 1, "clock to be set")
		wait(3 * time.Hour)
		clockSet.Store(true)
		r.repo.download = hang
		wait(2 * time.Minute)
		r.want(payload.Downloading, 1, "")
		if r.repo.fetched != 1 {
			t.Errorf("%d downloads in the window", r.repo.fetched)
		}
		wait(2 * time.Hour)
		r.want(payload.Downloading, 1, "window")
		wait(20 * time.Hour)
		if r.repo.fetched != 1 {
			t.Errorf("%d downloads outside of the window", r.repo.fetched)
		}
		r.repo.download = nil
		wait(2 * time.Hour)
		r.want(payload.Committed, 2, "")
	})
}

// TestShare: a device's part is always the same for a rollout, within its
// bounds, and spread.
func TestShare(t *testing.T) {
	d := with(doc(2, 1, 1), func(d *release.Rollout) { d.JitterS = 600 })
	var early, late int
	for i := range 1000 {
		device := fmt.Sprint("cam-", i)
		s := share(d, device)
		if s < 0 || s >= 10*time.Minute || s != share(d, device) {
			t.Fatalf("%s: %s", device, s)
		}
		if s < time.Minute {
			early++
		} else if s > 9*time.Minute {
			late++
		}
	}
	if early < 60 || early > 140 || late < 60 || late > 140 {
		t.Errorf("%d early, %d late, want about 100", early, late)
	}
}

func TestJitter(t *testing.T) {
	d := with(doc(2, 1, 1), func(d *release.Rollout) { d.JitterS = 24 * 3600 })
	part := share(d, topics.Device)
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(d)
		r.want(payload.Downloading, 1, "to spread the fleet's")
		wait(part / 2)
		r.restart(true) // a restart does not begin it anew
		r.rollout(d)
		wait(part/2 - time.Minute)
		r.want(payload.Downloading, 1, "to spread the fleet's")
		wait(2 * time.Minute)
		r.want(payload.Committed, 2, "")
	})
	// A clock that was set back by years waits for the jitter's time at most.
	bubble(t, func(t *testing.T, r *rig) {
		r.repo.download = hang
		r.rollout(d)
		r.stop()
		rec := r.record()
		rec.Attempt.NotBefore = time.Now().AddDate(10, 0, 0)
		if err := r.o.Store.Save(rec); err != nil {
			t.Fatal(err)
		}
		r.repo.download = nil
		r.start()
		wait(25 * time.Hour)
		r.want(payload.Committed, 2, "")
	})
}

// TestNoRepository: without one, a device says so.
func TestNoRepository(t *testing.T) {
	r := newRig(t)
	r.o.Repository = nil
	inBubble(t, r, func() {
		r.rollout(doc(2, 1, 1))
		r.want(payload.Idle, 1, "set updates.repository")
	})
	r = newRig(t)
	put(t, r.o.Store.Dir(release.Model{Name: "cats", Version: 9}), "by hand")
	r.o.Models[0].Fixed = true
	inBubble(t, r, func() {
		r.rollout(doc(2, 1, 1))
		if got := r.m.Reported(); got.State != payload.Idle || !strings.Contains(got.Reason, "fixes the versions") {
			t.Errorf("%+v", got)
		}
		r.order(func(o *store.Orders) { o.Pins["cats"] = 9 })
		r.order(func(o *store.Orders) { o.Last = &store.Order{Model: release.Model{Name: "cats", Version: 9}} })
		if len(r.dev.proved) != 0 || r.m.Serving("cats") != nil || r.m.GiveUp("cats", "x") {
			t.Errorf("a fixed model was changed: %+v", r.record())
		}
	})
}

// TestRepositoryTakenAway: a download that was under way ends when the
// configuration names no repository any more, and begins anew with one.
func TestRepositoryTakenAway(t *testing.T) {
	for name, state := range map[string]payload.ReleaseState{"downloading": payload.Downloading, "its file is lost": payload.Verifying} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				r.repo.download = func(step context.Context) error {
					if state == payload.Downloading {
						return hang(step)
					}
					return nil
				}
				r.hook = func(step string) {
					if step == string(payload.Verifying) && ctx.Err() == nil { // the power fails
						cancel()
						runtime.Goexit()
					}
				}
				r.rollout(doc(2, 1, 1))
				r.stop()
				if got := r.record().Attempt.State; got != state {
					t.Fatalf("it is %s", got)
				}
				if err := os.RemoveAll(r.o.Store.Downloads()); err != nil {
					t.Fatal(err)
				}
				cancel()
				repo := r.o.Repository
				r.o.Repository, r.repo.download = nil, nil
				r.start()
				wait(time.Hour)
				r.want(payload.Rejected, 1, "set updates.repository")
				r.stop()
				r.o.Repository = repo
				r.start()
				r.rollout(doc(2, 1, 1))
				r.want(payload.Committed, 2, "")
			})
		})
	}
}
