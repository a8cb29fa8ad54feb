package update

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/internal/slowdown"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
)

// soaking: `make proofs` runs the random tests for longer.
func soaking() bool { return os.Getenv("EGRET_SOAK") != "" }

// mortal has the rig die at a place: after each change on disk, before and
// within each act. It is counted down to by left, and names the place.
type mortal struct {
	*rig
	left   int
	places []string
	died   bool
}

func newMortal(r *rig) *mortal {
	m := &mortal{rig: r}
	r.hook, r.dev.at, r.repo.at = m.at, m.at, m.at
	return m
}

func (m *mortal) at(place string) {
	m.places = append(m.places, place)
	// Whenever the power may fail, what serves is there.
	m.whole(place)
	if m.left--; m.left == 0 {
		m.died = true
		runtime.Goexit() // of Run: nothing more happens in this life
	}
}

// whole checks what is on disk and what serves now.
func (m *mortal) whole(place string) {
	rec := m.record()
	for _, v := range []*store.Version{rec.Serving("cats"), m.m.Serving("cats")} {
		if v == nil || !there(v.Dir) {
			m.t.Errorf("at %s: %+v serves and is not there", place, v)
		}
	}
	if a := rec.Attempt; a != nil && a.State == payload.Committed && m.dev.proved[a.New.Digest] == 0 {
		m.t.Errorf("at %s: %s is committed without a trial", place, a.New.Digest)
	}
}

// reborn is the next life after a death, if there was one.
func (m *mortal) reborn(left int) bool {
	if !m.died {
		return false
	}
	m.stop()
	m.died, m.left = false, left
	m.start()
	synctest.Wait() // else Run may be amid a change
	m.whole("a new life")
	return true
}

// live has the good release cats-2, then cats-3, with deaths on the way to the
// latter: each number in lives is the place of one.
func (m *mortal) live(lives ...int) store.Record {
	m.start()
	defer func() { m.stop() }()
	m.rollout(doc(2, 1, 1))
	m.places, m.left = nil, lives[0]
	m.rollout(doc(3, 2, 1))
	for _, left := range append(lives[1:], 0) {
		if m.reborn(left) {
			m.rollout(doc(3, 2, 1))
		}
		wait(time.Hour)
	}
	return m.record()
}

// TestCrashes: a rollout ends in the same way whenever the power fails, once or
// twice, be the model good or bad.
func TestCrashes(t *testing.T) {
	outcomes := map[string]func(r *rig){"good": func(*rig) {}}
	for _, name := range []string{"inspect", "probe", "shadow", "trial", "slow on trial"} {
		do := refusals[name].do
		outcomes[name] = func(r *rig) { onlyThree(r, do) }
	}
	for name, change := range outcomes {
		t.Run(name, func(t *testing.T) {
			var places []string
			life := func(t *testing.T, lives ...int) (got string) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					change(r)
					m := newMortal(r)
					got = outcome(r, m.live(lives...))
					places = m.places
				})
				return got
			}
			want := life(t, 0)
			all := places
			t.Logf("%d places to die at: %v; then %s", len(all), all, want)
			for i := range all {
				second := []int{rand.IntN(len(all) + 1)} // 0: it dies once
				if soaking() {
					second = nil
					for k := range len(all) + 1 {
						second = append(second, k)
					}
				}
				for _, s := range second {
					t.Run(fmt.Sprintf("%d %s %d", i+1, all[i], s), func(t *testing.T) {
						if got := life(t, i+1, s); got != want {
							t.Errorf("it ended with\n%s, want\n%s", got, want)
						}
					})
				}
			}
		})
	}
}

// onlyThree has what is done against a model meet version 3 alone.
func onlyThree(r *rig, do func(r *rig)) {
	good := *r.dev
	do(r)
	bad := *r.dev
	*r.dev = good
	m := func() bool {
		a := r.m.attempt()
		return a.Model.Version == 3
	}
	if f := bad.inspect; f != nil {
		r.dev.inspect = func(dir string) error {
			if m() {
				return f(dir)
			}
			return nil
		}
	}
	if f := bad.probe; f != nil {
		r.dev.probe = func(ctx context.Context, dir string, p *payload.Proof) error {
			if m() {
				return f(ctx, dir, p)
			}
			return nil
		}
	}
	if f := bad.shadow; f != nil {
		r.dev.shadow = func(ctx context.Context, p *payload.Proof) (Shadowed, error) {
			if m() {
				return f(ctx, p)
			}
			return Shadowed{}, nil
		}
	}
	if f := bad.trial; f != nil {
		r.dev.trial = func(ctx context.Context, v store.Version, p *payload.Proof) error {
			if v.Version == 3 {
				return f(ctx, v, p)
			}
			return nil
		}
	}
}

// outcome is what must be the same however often it died.
func outcome(r *rig, rec store.Record) string {
	known, a := rec.Models["cats"], rec.Attempt
	return fmt.Sprintf("%s %q by %s, proof %+v; current %d of %s, previous %d; failed %v; seen %v; in the store %v",
		a.State, a.Reason, a.By, a.Proof, known.Current.Version, known.Current.Release, known.Previous.Version, rec.Failed, rec.Seen, r.o.Store.Versions("cats"))
}

// TestKilled kills a process that takes one rollout after the other, every
// fourth one bad on trial. Whenever it is killed: what the record says serves
// is there with its content, and nothing is committed that proved itself in no
// trial.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("EGRET_TEST_UPDATE"); dir != "" {
		rolloutsForEver(t, dir)
	}
	dir := t.TempDir()
	kills := 50
	if soaking() {
		kills = 1000
	}
	s := store.New(filepath.Join(dir, "state"))
	in, committed, gen := map[payload.ReleaseState]int{}, 0, uint64(0)
	for round := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "EGRET_TEST_UPDATE="+dir, "TMPDIR="+t.TempDir())
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != begun {
			t.Fatalf("round %d: it said %q, %v, want %q", round, line, err, begun)
		}
		time.Sleep(slowdown.Of(time.Duration(rand.IntN(130)) * time.Millisecond)) // when it dies, not what is waited for
		if err := cmd.Process.Kill(); err != nil {
			t.Fatalf("round %d: it had ended by itself: %v", round, err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("round %d: %v", round, err)
		}
		rec, err := s.Load()
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if a := rec.Attempt; a != nil {
			in[a.State]++
		}
		gen = rec.Seen[cohort()].Gen
		for _, v := range []*store.Version{rec.Serving("cats"), rec.Models["cats"].Current, rec.Models["cats"].Previous} {
			if v == nil || v.Digest == "" {
				continue // what was there at first
			}
			if digest, err := digestOf(v.Dir); err != nil || digest != v.Digest {
				t.Fatalf("round %d: version %d is %s, %v, want %s", round, v.Version, digest, err, v.Digest)
			}
		}
		if c := rec.Models["cats"].Current; c != nil && c.Release != "" {
			committed++
			if _, err := os.Stat(filepath.Join(dir, "proved", c.Digest)); err != nil {
				t.Fatalf("round %d: %s is committed without a trial", round, c.Release)
			}
		}
	}
	t.Logf("killed %d times, in %v; %d rollouts", kills, in, gen)
	if committed == 0 || gen < uint64(kills)/5 {
		t.Errorf("%d kills found something committed, there were %d rollouts", committed, gen)
	}
}

// begun is what the process that is killed says when it is ready to be.
const begun = "begun\n"

// rolloutsForEver is the process that is killed.
func rolloutsForEver(t *testing.T, dir string) {
	r := newRigIn(t, dir)
	r.dev.trial = func(_ context.Context, v store.Version, _ *payload.Proof) error {
		if v.Gen%4 == 3 {
			return Refuse("bad")
		}
		proved := filepath.Join(dir, "proved")
		if err := os.MkdirAll(proved, 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(proved, v.Digest), nil, 0o600)
	}
	reports := make(chan payload.Reported, 1000)
	r.o.Report = func(p payload.Reported) { reports <- p }
	r.start()
	fmt.Print(begun)
	// The broker still has the newest document.
	for gen := max(1, r.record().Seen[cohort()].Gen); ; gen++ {
		d := doc(2+int(gen%2), gen, 1)
		r.m.Document(cohort(), written(d))
		for p := range reports {
			if p.Gen == gen && p.State.Ended() && p.State != payload.Idle {
				break
			}
		}
	}
}
