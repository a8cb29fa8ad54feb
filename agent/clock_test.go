package agent

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/internal/wholefile"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

const year = 365 * 24 * time.Hour

// jumps are what happens to the clock of a device that has no battery for it,
// or a bad one.
var jumps = []time.Duration{20 * year, -20 * year}

// setClock is the moment t as time.Now would have given it, had the wall clock
// been set by d before: its monotonic reading stays. Only the runtime makes such
// times otherwise (the seconds are bits 30 to 62 of the first word).
func setClock(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	was := at
	*(*uint64)(unsafe.Pointer(&at)) += uint64(int64(d/time.Second)) << 30
	if at.Sub(was) != 0 || at.Round(0).Sub(was.Round(0)) != d {
		t.Fatalf("time.Time has changed: %v became %v", was, at)
	}
	return at
}

func TestClockStateIsAskedAgainWhenTheClockIsSet(t *testing.T) {
	now, asked := time.Now(), 0
	c := clockState{now: func() time.Time { return now }, ask: func() payload.Clock { asked++; return payload.ClockSynced }}
	steps := []struct {
		name  string
		after time.Duration
		set   time.Duration
		want  int
	}{
		{"first", 0, 0, 1}, {"soon", time.Millisecond, 0, 1}, {"set forward", time.Millisecond, 20 * year, 2},
		{"soon", time.Millisecond, 0, 2}, {"set back", 0, -40 * year, 3}, {"a second later", time.Second, 0, 4},
		{"set by a second", 0, time.Second, 5},
	}
	for _, s := range steps {
		now = setClock(t, now.Add(s.after), s.set)
		if c.state(); asked != s.want {
			t.Errorf("%s: asked %d times, want %d", s.name, asked, s.want)
		}
	}
}

// TestDate: a frame's time is that of its capture on the clock as it is when
// the prediction is recorded.
func TestDate(t *testing.T) {
	now := time.Now()
	for _, set := range append(jumps, 0) {
		captured := setClock(t, now.Add(-3*time.Second), set) // and then it was set right
		for _, clock := range []payload.Clock{payload.ClockSynced, payload.ClockUnsynced} {
			var p payload.Prediction
			before := bootMicros()
			date(&p, clock, captured, now)
			if want := stamp(now.Add(-3 * time.Second)); !p.Time.Equal(want) || p.Clock != clock {
				t.Errorf("set by %v: %v %s, want %v %s", set, p.Time, p.Clock, want, clock)
			}
			if clock == payload.ClockSynced {
				if p.UptimeUs != 0 || p.BootID != "" {
					t.Errorf("a synced one carries uptime %d and boot id %q", p.UptimeUs, p.BootID)
				}
				continue
			}
			if up := p.UptimeUs + 3e6; up < before || up > bootMicros() || p.BootID != kernelBoot() || p.BootID == "" {
				t.Errorf("uptime %d (now %d) and boot id %q", p.UptimeUs, bootMicros(), p.BootID)
			}
		}
	}
}

func unsynced(t *testing.T, seq uint64, at time.Time, uptime int64, boot string) []byte {
	t.Helper()
	p := payload.Prediction{Device: "dev", Boot: 1, Seq: seq, Time: at, Clock: payload.ClockUnsynced, UptimeUs: uptime, BootID: boot,
		Results: []payload.Result{{Label: `"clock":"unsynced"`}}}
	rec, err := p.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestCorrector(t *testing.T) {
	wall := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	const uptime = 3600e6
	at := time.Date(1970, 1, 1, 0, 0, 10, 0, time.UTC)
	plain := unsynced(t, 1, at, 10e6, "this-boot")
	for _, c := range []struct {
		name  string
		rec   []byte
		clock payload.Clock
		want  string // the time; "" means unchanged
	}{
		{"the clock was set", plain, payload.ClockSynced, "2026-11-21T08:00:10Z"},
		{"not yet", plain, payload.ClockUnsynced, ""},
		{"from the future", unsynced(t, 1, wall.AddDate(20, 0, 0), 10e6, "this-boot"), payload.ClockSynced, "2026-11-21T08:00:10Z"},
		{"a millisecond's part", unsynced(t, 1, at, 10e6+1700, "this-boot"), payload.ClockSynced, "2026-11-21T08:00:10.001Z"},
		{"another start of the kernel", unsynced(t, 1, at, 10e6, "that-boot"), payload.ClockSynced, ""},
		{"of an older agent", unsynced(t, 1, at, 0, ""), payload.ClockSynced, ""},
		{"no uptime", unsynced(t, 1, at, 0, "this-boot"), payload.ClockSynced, ""},
		{"later than now", unsynced(t, 1, at, uptime+1, "this-boot"), payload.ClockSynced, ""},
		{"negative", unsynced(t, 1, at, -1<<63, "this-boot"), payload.ClockSynced, ""},
		{"cut off", plain[:len(plain)-1], payload.ClockSynced, ""},
		{"no JSON", []byte(`"clock":"unsynced"`), payload.ClockSynced, ""},
		{"inside another field", []byte(`{"clock":"synced","x":{"clock":"unsynced"},"uptime_us":1,"boot_id":"this-boot"}`), payload.ClockSynced, ""},
		{"synced", []byte(`{"clock":"synced","uptime_us":1,"boot_id":"this-boot"}`), payload.ClockSynced, ""},
	} {
		k := corrector{
			clock: func() payload.Clock { return c.clock }, boot: "this-boot",
			now: func() (time.Time, int64) { return wall, uptime },
		}
		before := string(c.rec)
		got := string(k.rewrite(c.rec))
		if string(c.rec) != before {
			t.Errorf("%s: the record was written to", c.name)
		}
		if c.want == "" {
			if got != before {
				t.Errorf("%s: became %s", c.name, got)
			}
			continue
		}
		want, _, _ := strings.Cut(before, `"time":`)
		_, rest, _ := strings.Cut(before, `"boot_id":"this-boot"`)
		if want += `"time":"` + c.want + `","clock":"corrected"` + rest; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, want)
		}
	}
}

func TestCorrectorOfThisKernel(t *testing.T) {
	k := newCorrector(func() payload.Clock { return payload.ClockSynced })
	before := time.Now().Add(-time.Millisecond)
	rec := unsynced(t, 1, time.Unix(0, 0).UTC(), bootMicros(), kernelBoot())
	var p payload.Prediction
	if err := json.Unmarshal(k.rewrite(rec), &p); err != nil {
		t.Fatal(err)
	}
	if p.Clock != payload.ClockCorrected || p.Time.Before(before.Truncate(time.Millisecond)) || p.Time.After(time.Now()) {
		t.Errorf("%s at %v, want corrected and now", p.Clock, p.Time)
	}
}

// TestJumpsLoseAndReorderNothing: a device makes predictions, its clock is set
// by years, time after time, and at the end to the right time; all of them come
// out of the outbox in order and with their true times.
func TestJumpsLoseAndReorderNothing(t *testing.T) {
	box, err := outbox.Open(outbox.Options{Path: t.TempDir() + "/outbox.db"})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	now, set, up := time.Now(), -56*year, int64(10e6)
	state := payload.ClockUnsynced
	w, rec := testWorker(&fakeModel{})
	rec.append = box.Append
	w.clock = func() payload.Clock { return state }
	// What record does, with this test's clocks.
	record := func() {
		at := setClock(t, now, set)
		p := &payload.Prediction{Camera: "cam", Results: []payload.Result{}}
		date(p, state, at, at)
		if state == payload.ClockUnsynced {
			p.UptimeUs, p.BootID = up, "boot"
		}
		if err := rec.record(p, true); err != nil {
			t.Fatal(err)
		}
		now, up = now.Add(time.Second), up+1e6
	}
	started := now
	const each = 30
	for range 4 {
		for _, jump := range jumps {
			for range each {
				record()
			}
			set += jump
			if err := box.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	set, state = 0, payload.ClockSynced
	for range each {
		record()
	}
	k := corrector{clock: func() payload.Clock { return state }, boot: "boot", now: func() (time.Time, int64) { return now, up }}
	n := 0
	for {
		b, ok := box.Take(7, 1<<20)
		if !ok {
			break
		}
		for i := range b.Len() {
			var p payload.Prediction
			if err := json.Unmarshal(k.rewrite(b.Record(i)), &p); err != nil {
				t.Fatal(err)
			}
			want := stamp(started.Add(time.Duration(n) * time.Second))
			clock := payload.ClockCorrected
			if n >= 8*each {
				clock = payload.ClockSynced
			}
			if n++; p.Seq != uint64(n) || !p.Time.Equal(want) || p.Clock != clock {
				t.Fatalf("prediction %d: number %d at %v, %s; want %v, %s", n, p.Seq, p.Time, p.Clock, want, clock)
			}
		}
		if err := box.Ack(b); err != nil {
			t.Fatal(err)
		}
	}
	if s := box.Stats(); n != 9*each || s.Produced != s.Acknowledged || len(s.Dropped) > 0 {
		t.Errorf("%d came out of %+v", n, s)
	}
}

// TestIntervalsSurviveAJump: what is decided by how much time has passed is
// decided by the clock that nobody sets.
func TestIntervalsSurviveAJump(t *testing.T) {
	for _, jump := range jumps {
		t.Run(fmt.Sprint(jump), func(t *testing.T) {
			now := time.Now()
			later := setClock(t, now.Add(time.Second), jump)
			w, _ := testWorker(&fakeModel{})
			c := testCamera("cam", w)
			f := rgbFrame()
			f.Time = now
			c.slot.put(f)
			w.busySince.Store(int64(monotonic(now)))
			if err := (snapshot{workers: []*worker{w}, cameras: []*camera{c}}).stuck(later, 10*time.Second); err != nil {
				t.Errorf("watchdog: %v", err)
			}
			one := []tflite.Result{{Index: 1, Score: 1}}
			r := rules{cfg: configs.Rules{SampleEvery: configs.Duration(10 * time.Second)}}
			if !r.keep(now, one) || r.keep(later, one) || !r.keep(later.Add(9*time.Second), one) {
				t.Error("rules: one in ten seconds was wanted")
			}
			var p pace
			p.limit(0.1)
			if !p.admit(now) || p.admit(later) || !p.admit(later.Add(9*time.Second)) {
				t.Error("pace: one in ten seconds was wanted")
			}
			target := pixel.Target{Width: 2, Height: 2}
			still := gate{cfg: configs.Motion{Enabled: true, Threshold: 0.1, MaxSilence: configs.Duration(10 * time.Second)}}
			open := func(at time.Time) bool { return still.open(at, &target, pixel.View{}, make([]byte, 12)) }
			if !open(now) || open(later) || !open(later.Add(9*time.Second)) {
				t.Error("gate: a still picture in ten seconds was wanted")
			}
			g := governor{cfg: configs.Governor{SlowAt: 70}, log: quiet}
			hot := 80.0
			if g.step(now, &hot, nil); g.step(later, &hot, nil) != duties[1] || g.step(later.Add(hotterAfter), &hot, nil) != duties[2] {
				t.Error("governor: a level lasts ten seconds")
			}
		})
	}
}

// TestNewChoiceIsKeptWhenTheClockWasSetBack: it looks like the oldest then.
func TestNewChoiceIsKeptWhenTheClockWasSetBack(t *testing.T) {
	m := &TuningMemory{Path: t.TempDir() + "/tuning.json"}
	full := tuningFile{Choices: map[string]tuningEntry{}}
	for i := range maxTuningChoices {
		full.Choices[fmt.Sprint("future ", i)] = tuningEntry{Choice: Choice{Delegate: "cpu", Threads: 1}, Used: time.Now().Add(20*year + time.Duration(i))}
	}
	data, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	if err := wholefile.Write(m.Path, data); err != nil {
		t.Fatal(err)
	}
	if err := m.store("new", Choice{Delegate: "cpu", Threads: 2}); err != nil {
		t.Fatal(err)
	}
	if c, ok := m.recall("new"); !ok || c.Threads != 2 {
		t.Errorf("the new choice is %+v, %v", c, ok)
	}
	if _, ok := m.recall("future 0"); ok || len(m.read().Choices) != maxTuningChoices {
		t.Errorf("%d choices, want %d without the oldest", len(m.read().Choices), maxTuningChoices)
	}
}
