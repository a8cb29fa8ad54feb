package update

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// TestDeaths: three ends without order while it serves on trial cost a model
// its place; orderly ends do not count, nor do two.
func TestDeaths(t *testing.T) {
	for name, tt := range map[string]struct {
		ends string // c: a crash, o: an orderly end
		want payload.ReleaseState
	}{
		"two":           {"cc", payload.Trial},
		"three":         {"ccc", payload.RolledBack},
		"orderly":       {"oooooo", payload.Trial},
		"mixed":         {"ococo", payload.Trial},
		"three, spread": {"ocococ", payload.RolledBack},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				steps[payload.Trial](r)
				r.rollout(doc(2, 1, 1))
				for _, end := range tt.ends {
					r.restart(end == 'o')
					r.rollout(doc(2, 1, 1))
				}
				got := r.m.Reported()
				if got.State != tt.want {
					t.Errorf("after %s: %+v", tt.ends, got)
				}
				if tt.want == payload.RolledBack {
					r.want(tt.want, 1, "3 times")
				} else {
					unhang(r)
					r.restart(true)
					wait(time.Minute)
					r.want(payload.Committed, 2, "")
				}
			})
		})
	}
}

// TestDeathsWhileTried: a model that takes the whole agent down before it
// serves, by its memory, is refused after three times; the count is of one
// state, and orderly ends are none of it.
func TestDeathsWhileTried(t *testing.T) {
	for _, state := range []payload.ReleaseState{payload.Probing, payload.Shadow} {
		for ends, want := range map[string]payload.ReleaseState{"cc": state, "ooooo": state, "ococ": state, "ccc": payload.Rejected} {
			t.Run(string(state)+" "+ends, func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					steps[state](r)
					r.rollout(doc(2, 1, 1))
					for _, end := range ends {
						r.restart(end == 'o')
						r.rollout(doc(2, 1, 1))
					}
					if want == payload.Rejected {
						r.want(want, 1, "3 times while it was tried")
						return
					}
					r.want(want, 1, "")
					unhang(r)
					r.restart(true)
					wait(time.Minute)
					r.want(payload.Committed, 2, "")
				})
			})
		}
	}
}

// TestGiveUp: trial, current, previous, factory, and then there is nothing.
func TestGiveUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(2, 1, 1))
		r.rollout(doc(3, 2, 1))
		r.repo.add(t, "cats-4", "cats", 4, "cats 4")
		r.dev.trial = func(ctx context.Context, _ store.Version, _ *payload.Proof) error { return hang(ctx) }
		r.rollout(doc(4, 3, 1))
		for _, serving := range []int{3, 2} {
			if !r.m.GiveUp("cats", "it does not\nload") {
				t.Fatal("nothing to give up")
			}
			r.serves("cats", serving)
			synctest.Wait()
			r.serves("cats", serving)
			if a := r.record().Attempt; a.State != payload.RolledBack || a.Reason != "it does not load" {
				t.Errorf("%+v", a)
			}
		}
		// Previous goes with current: what is left is the factory model.
		r.m.GiveUp("cats", "x")
		r.serves("cats", 1)
		if r.m.GiveUp("cats", "x") || r.m.GiveUp("cows", "x") {
			t.Error("there was something to give up")
		}
		r.serves("cats", 1)
		r.restart(false)
		r.rollout(doc(4, 3, 1))
		r.want(payload.Rejected, 1, "it does not load")
		r.serves("dogs", 1)
	})
}

// TestGivenUpOnTrial: whatever the trial then says, what was given up is not
// committed, and the device applies what serves instead.
func TestGivenUpOnTrial(t *testing.T) {
	for name, result := range map[string]error{"good": nil, "refused": Refuse("no"), "broken off": context.Canceled} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				applied := []int{}
				r.dev.apply = func(context.Context) error {
					applied = append(applied, r.m.Serving("cats").Version)
					return nil
				}
				r.dev.trial = func(context.Context, store.Version, *payload.Proof) error {
					r.m.GiveUp("cats", "it crashed")
					return result
				}
				r.rollout(doc(2, 1, 1))
				r.want(payload.RolledBack, 1, "it crashed")
				if last := r.states(); last[len(last)-1] != payload.RolledBack {
					t.Errorf("reported %v", last)
				}
				if fmt.Sprint(applied) != "[2 1]" {
					t.Errorf("applied %v", applied)
				}
			})
		})
	}
}

// TestGivenUpMeanwhile: the model before fails while a new one is on its way.
func TestGivenUpMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(3, 1, 1))
		steps[payload.Shadow](r)
		r.rollout(doc(2, 2, 1))
		unhang(r)
		r.m.GiveUp("cats", "x")
		r.serves("cats", 1)
		synctest.Wait()
		r.want(payload.Committed, 2, "") // begun anew
	})
}

// TestCrashLoop: every model that came by an update goes one step back, the one
// on trial from its trial.
func TestCrashLoop(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.repo.add(t, "dogs-2", "dogs", 2, "dogs 2")
		r.repo.add(t, "dogs-3", "dogs", 3, "dogs 3")
		dogs := func(version int, gen uint64) release.Rollout {
			return with(doc(version, gen, 1), func(d *release.Rollout) {
				d.Release, d.Target = fmt.Sprintf("dogs-%d", version), fmt.Sprintf("models/dogs/%d.zip", version)
			})
		}
		r.rollout(doc(2, 1, 1))
		r.rollout(dogs(2, 2))
		r.dev.trial = func(ctx context.Context, _ store.Version, _ *payload.Proof) error { return hang(ctx) }
		r.rollout(dogs(3, 3))
		r.serves("dogs", 3)
		if !r.m.CrashLoop(5) {
			t.Error("there was nothing to go back to")
		}
		r.serves("cats", 1)
		r.serves("dogs", 2)
		synctest.Wait()
		r.want(payload.RolledBack, 1, "5 times in a row")
		r.serves("dogs", 2)
		// What crashed is not taken again because its document is still there.
		r.dev.trial = nil
		r.restart(false)
		r.rollout(doc(2, 4, 1))
		r.serves("cats", 2) // but with a new gen it is
		r.m.CrashLoop(6)
		r.rollout(doc(2, 4, 2))
		wait(time.Hour)
		r.want(payload.Rejected, 1, "6 times") // the attempt on record is of dogs
		r.serves("dogs", 1)
		if r.m.CrashLoop(7) { // what was installed by hand stays
			t.Error("there is still something to go back to")
		}
		r.serves("dogs", 1)
	})
}

// TestCrashedWithNewGen: a document that came again with another gen, while its
// release served, does not bring it back after a crash loop.
func TestCrashedWithNewGen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(2, 1, 1))
		r.rollout(doc(2, 7, 1))
		r.want(payload.Committed, 2, "it serves already")
		r.stop()
		r.open() // the crash loop is found before any document is there
		r.m.CrashLoop(5)
		r.start()
		r.rollout(doc(2, 7, 1))
		r.want(payload.Rejected, 1, "5 times")
	})
}

// TestConfigured: what the configuration says goes before what came.
func TestConfigured(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(r *rig)
		serving int
	}{
		"another path": {func(r *rig) {
			base := filepath.Join(r.t.TempDir(), "other")
			put(r.t, filepath.Join(base, "9"), "cats 9")
			r.o.Models[0].Base = base
		}, 9},
		"a file": {func(r *rig) { r.o.Models[0].Base = filepath.Join(r.o.Models[0].Base, "1", "model.tflite") }, 0},
		"fixed":  {func(r *rig) { r.o.Models[0].Fixed = true }, 0},
		"gone":   {func(r *rig) { r.o.Models = r.o.Models[1:] }, 0},
		"same":   {func(*rig) {}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.rollout(doc(2, 1, 1))
				models := append([]Configured(nil), r.o.Models...)
				r.o.Models = append([]Configured(nil), models...)
				r.stop()
				tt.change(r)
				r.start()
				wait(time.Minute)
				r.serves("cats", tt.serving)
				r.stop()
				r.o.Models = models
				r.start()
				// A path that was changed and changed back begins anew.
				if name == "fixed" || name == "gone" || name == "same" {
					r.serves("cats", 2)
				} else {
					r.serves("cats", 1)
				}
			})
			in(t, func(t *testing.T, r *rig, state payload.ReleaseState) {
				r.stop()
				tt.change(r)
				unhang(r)
				r.start()
				wait(time.Hour)
				r.serves("cats", tt.serving)
				if a := r.record().Attempt; name != "same" && a != nil {
					t.Errorf("the attempt of %s goes on: %+v", state, a)
				}
			})
		})
	}
}

// TestDamagedRecord: it is set aside, and what is configured serves.
func TestDamagedRecord(t *testing.T) {
	for name, data := range map[string]string{
		"torn": `{"models":{"cats":`, "unknown state": `{"attempt":{"state":"flying"}}`, "no state": `{"attempt":{"model":{"name":"cats"}}}`,
		"no document": `{"attempt":{"state":"downloading"}}`, "large": strings.Repeat(" ", 1<<20+1),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.rollout(doc(2, 1, 1))
				r.stop()
				path := filepath.Join(r.o.Store.Updates(), "record.json")
				if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
				r.start()
				synctest.Wait()
				r.want(payload.Idle, 1, "")
				if got, err := os.ReadFile(path + ".damaged"); err != nil || string(got) != data {
					t.Errorf("set aside: %d bytes, %v", len(got), err)
				}
				r.rollout(doc(2, 1, 1))
				r.want(payload.Committed, 2, "")
			})
		})
	}
}

// TestLongReasons: what others say is cut to one line before it is kept.
func TestLongReasons(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.dev.inspect = func(string) error { return fmt.Errorf("%s", strings.Repeat("bäd\n", 1<<20)) }
		r.rollout(doc(2, 1, 1))
		if got := r.m.Reported().Reason; len(got) > 600 || strings.Contains(got, "\n") || !strings.HasPrefix(got, "unpack") && !strings.HasPrefix(got, "bäd bäd") {
			t.Errorf("%.700q", got)
		}
		r.m.GiveUp("cats", strings.Repeat("x", 1<<20))
		r.restart(false)
		r.serves("cats", 0)
	})
}

// TestDiskFails: what cannot be recorded is not done, and is done when it can.
func TestDiskFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		// wholefile cannot write where a folder is.
		blocked := filepath.Join(r.o.Store.Updates(), "record.json.new")
		if err := os.Mkdir(blocked, 0o700); err != nil {
			t.Fatal(err)
		}
		r.rollout(doc(2, 1, 1))
		wait(time.Hour)
		r.serves("cats", 1)
		if r.repo.fetched > 0 || len(r.dev.proved) > 0 {
			t.Error("it went on without a record")
		}
		if err := os.Remove(blocked); err != nil {
			t.Fatal(err)
		}
		wait(2 * time.Hour)
		r.want(payload.Committed, 2, "")
	})
}

// TestDiskFullAtStart: the agent starts, with the model that has proved itself:
// the starts of one on trial cannot be counted.
func TestDiskFullAtStart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rollout(doc(2, 1, 1))
		r.dev.trial = func(ctx context.Context, _ store.Version, _ *payload.Proof) error { return hang(ctx) }
		r.rollout(doc(3, 2, 1))
		r.want(payload.Trial, 3, "")
		r.stop()
		blocked := filepath.Join(r.o.Store.Updates(), "record.json.new")
		if err := os.Mkdir(blocked, 0o700); err != nil {
			t.Fatal(err)
		}
		r.start()
		wait(time.Hour)
		r.want(payload.RolledBack, 2, "could not count its starts")
		if err := os.Remove(blocked); err != nil {
			t.Fatal(err)
		}
		r.rollout(doc(3, 3, 1))
		wait(2 * time.Hour)
		r.want(payload.Trial, 3, "")
	})
}

// TestApplyFails: what is on disk is applied until it works.
func TestApplyFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tries := 0
		r.dev.apply = func(context.Context) error {
			if tries++; tries < 5 {
				return fmt.Errorf("no memory now")
			}
			return nil
		}
		r.rollout(doc(2, 1, 1))
		wait(time.Hour)
		r.want(payload.Committed, 2, "")
		tries = 0
		r.rollout(with(doc(2, 1, 2), func(d *release.Rollout) { d.State, d.OnAbort = release.Aborted, release.Previous }))
		wait(time.Hour)
		r.want(payload.RolledBack, 1, "the rollout was aborted")
		if tries != 5 {
			t.Errorf("%d tries", tries)
		}
	})
}

// TestProgress: it is said, but not at each byte.
func TestProgress(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.repo.download = func(context.Context) error {
			r.states()
			for i := range int64(100) {
				r.m.Progress(i+1, 100)
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		}
		r.rollout(doc(2, 1, 1))
		wait(9 * time.Second)
		if p := r.m.Reported().Progress; p == nil || p.Of != 100 || p.Done < 89 {
			t.Errorf("%+v", p)
		}
		r.mu.Lock()
		if n := len(r.reports); n < 4 || n > 6 {
			t.Errorf("%d reports in 9 s", n)
		}
		r.mu.Unlock()
		wait(time.Minute)
		r.want(payload.Committed, 2, "")
		if p := r.m.Reported().Progress; p != nil {
			t.Errorf("%+v at the end", p)
		}
	})
}

// TestStoppedWhileGoingBack: a device that does not swap any more, because the
// agent ends, keeps nobody waiting; the next start has what was gone back to.
func TestStoppedWhileGoingBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.dev.trial = func(context.Context, store.Version, *payload.Proof) error {
			r.dev.apply = hang
			return Refuse("it is bad")
		}
		r.rollout(doc(2, 1, 1))
		r.dev.apply = nil
		r.restart(true)
		r.want(payload.RolledBack, 1, "it is bad")
	})
}

// TestLeftBehind: a machine that was closed while a slow disk held it up changes
// nothing any more: the next one has the record.
func TestLeftBehind(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		goOn := make(chan struct{})
		var once sync.Once
		r.dev.inspect = func(string) error { once.Do(func() { <-goOn }); return nil }
		r.rollout(doc(2, 1, 1))
		doc2, _ := release.ParseTarget(doc(2, 1, 1).Target)
		old, ended := r.m, make(chan struct{})
		go func(stop func()) { stop(); close(ended) }(r.stop)
		synctest.Wait()
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(r.o.Store.Dir(doc2) + ".new"); err != nil { // as the next one's unpacking does
			t.Fatal(err)
		}
		r.dev.inspect = nil
		r.start()
		synctest.Wait()
		close(goOn)
		<-ended
		r.want(payload.Committed, 2, "")
		if a := r.record().Attempt; a == nil || a.State != payload.Committed {
			t.Errorf("the record has %+v", a)
		}
	})
}
