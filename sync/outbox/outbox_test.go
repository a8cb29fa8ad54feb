package outbox

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRecordsSurviveReopening(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, nil)
	appendN(t, o, 0, 1000)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, path, nil)
	if o.Boot() != 1 || again.Boot() != 2 {
		t.Errorf("boots %d, %d, want 1, 2", o.Boot(), again.Boot())
	}
	if s := again.Stats(); s.Stored != 1000 || s.Produced != 1000 {
		t.Errorf("after reopening: %+v", s)
	}
	wantSeqs(t, drain(t, again), 0, 1000)
	flush(t, again)
	if s := again.Stats(); s.Stored != 0 || s.StoredBytes != 0 || s.Acknowledged != 1000 {
		t.Errorf("after draining: %+v", s)
	}
}

func TestAcknowledgedBeforeTheFlushNeverTouchesTheDisk(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, nil)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, o, 0, 500)
	wantSeqs(t, drain(t, o), 0, 500)
	if o.due(time.Now().Add(time.Hour)) {
		t.Error("a flush is due although nothing is left to write")
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the file has changed")
	}
}

func TestPartlyAcknowledgedBlockKeepsTheRest(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, nil)
	appendN(t, o, 0, 100)
	flush(t, o)
	first, _ := o.Take(10, 1<<20)
	second, _ := o.Take(10, 1<<20)
	if err := o.Ack(second); err != nil {
		t.Fatal(err)
	}
	o.Release(first)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	var exported []string
	if err := Export(path, func(_ uint64, r []byte) error {
		exported = append(exported, string(r))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	again := open(t, path, nil)
	got := drain(t, again)
	wantSeqs(t, got[:10], 0, 10)
	wantSeqs(t, got[10:], 20, 80)
	if strings.Join(got, "") != strings.Join(exported, "") {
		t.Error("the export differs from what is taken")
	}
}

func TestReleaseRestoresTheOrder(t *testing.T) {
	for _, when := range []string{"held", "stored", "flushed while leased"} {
		t.Run(when, func(t *testing.T) {
			o := open(t, tempPath(t), nil)
			appendN(t, o, 0, 50)
			if when == "stored" {
				flush(t, o)
			}
			a, _ := o.Take(10, 1<<20)
			b, _ := o.Take(10, 1<<20)
			if when == "flushed while leased" {
				flush(t, o)
			}
			o.Release(b)
			o.Release(a)
			appendN(t, o, 50, 5)
			wantSeqs(t, drain(t, o), 0, 55)
		})
	}
}

func TestReleasedRecordsStayBeforeYoungerLeasedOnes(t *testing.T) {
	o := open(t, tempPath(t), nil)
	appendN(t, o, 0, 10)
	old, _ := o.Take(10, 1<<20)
	appendN(t, o, 10, 10)
	young, _ := o.Take(10, 1<<20)
	o.Release(old)
	flush(t, o)
	appendN(t, o, 20, 10)
	flush(t, o)
	o.Release(young)
	wantSeqs(t, drain(t, o), 0, 30)
}

func TestTakeKeepsItsLimits(t *testing.T) {
	o := open(t, tempPath(t), nil)
	appendN(t, o, 0, 20)
	size := len(rec(0))
	for _, c := range []struct {
		name                   string
		records, bytes, expect int
	}{
		{"by records", 3, 1 << 20, 3},
		{"by bytes", 100, 4*size + 1, 4},
		{"one too large alone", 100, 1, 1},
		{"none wanted", 0, 1 << 20, 0},
	} {
		b, ok := o.Take(c.records, c.bytes)
		if b.Len() != c.expect || ok != (c.expect > 0) {
			t.Errorf("%s: %d records, want %d", c.name, b.Len(), c.expect)
		}
		o.Release(b)
	}
}

func TestOldestIsDroppedFirstAndCounted(t *testing.T) {
	size := int64(len(rec(0)))
	for _, c := range []struct {
		name       string
		flushEvery int
	}{{"held only", 1 << 30}, {"on disk", 10}} {
		t.Run(c.name, func(t *testing.T) {
			o := open(t, tempPath(t), func(opts *Options) { opts.MaxBytes = 100 * size })
			for i := range 300 {
				appendN(t, o, i, 1)
				if i%c.flushEvery == c.flushEvery-1 {
					flush(t, o)
				}
				checkAccount(t, o)
			}
			flush(t, o)
			s := o.Stats()
			if s.Dropped[DroppedFull] < 200 || s.Dropped[DroppedFull] > 210 {
				t.Errorf("dropped %v, want about 200 as full", s.Dropped)
			}
			kept := int(s.Held + s.Stored)
			wantSeqs(t, drain(t, o), 300-kept, kept)
		})
	}
}

func TestLeasedRecordsAreNotDropped(t *testing.T) {
	size := int64(len(rec(0)))
	o := open(t, tempPath(t), func(opts *Options) { opts.MaxBytes = 20 * size })
	appendN(t, o, 0, 10)
	b, _ := o.Take(10, 1<<20)
	appendN(t, o, 10, 100)
	flush(t, o)
	if err := o.Ack(b); err != nil {
		t.Fatal(err)
	}
	if s := o.Stats(); s.Acknowledged != 10 {
		t.Errorf("acknowledged %d, want the 10 in flight: %+v", s.Acknowledged, s)
	}
	got := drain(t, o)
	if got[len(got)-1] != string(rec(109)) {
		t.Errorf("the newest is missing: last is %.20s", got[len(got)-1])
	}
}

func TestAppendRefuses(t *testing.T) {
	o := open(t, tempPath(t), func(opts *Options) { opts.MaxRecord = 10 })
	for _, n := range []int{0, 11} {
		if err := o.Append(make([]byte, n)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: %v, want ErrTooLarge", n, err)
		}
	}
	if err := o.Append(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if err := o.Append([]byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v, want ErrClosed", err)
	}
}

func TestAppendCopies(t *testing.T) {
	o := open(t, tempPath(t), nil)
	buf := []byte("first")
	if err := o.Append(buf); err != nil {
		t.Fatal(err)
	}
	copy(buf, "XXXXX")
	if got := drain(t, o); got[0] != "first" {
		t.Errorf("got %q", got[0])
	}
}

// The promise of FlushInterval, by a fake clock: on disk within it, and not
// written at all when acknowledged in time.
func TestRunFlushesWithinTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := Open(Options{Path: tempPath(t), FlushInterval: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- o.Run(ctx) }()
		time.Sleep(2 * time.Second)
		appendN(t, o, 0, 10)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := o.Stats(); s.Stored != 0 {
			t.Errorf("written after two seconds: %+v", s)
		}
		time.Sleep(3*time.Second + time.Millisecond)
		synctest.Wait()
		if s := o.Stats(); s.Stored != 10 {
			t.Errorf("not on disk after the interval: %+v", s)
		}
		appendN(t, o, 10, 3)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if s := o.Stats(); s.Held != 0 || s.Stored != 13 {
			t.Errorf("after Run ended: %+v", s)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRunFlushesOnSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := Open(Options{Path: tempPath(t), FlushInterval: time.Hour, FlushBytes: 1000})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- o.Run(ctx) }()
		appendN(t, o, 0, 20)
		synctest.Wait()
		if s := o.Stats(); s.Stored == 0 {
			t.Errorf("not written: %+v", s)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestInspect(t *testing.T) {
	path := tempPath(t)
	if _, err := Inspect(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	o := open(t, path, nil)
	appendN(t, o, 0, 5)
	if _, err := Inspect(path); !errors.Is(err, ErrLocked) {
		t.Errorf("while open: %v, want ErrLocked", err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	s, err := Inspect(path)
	if err != nil || s.Stored != 5 || s.Boot != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("Inspect changed the file")
	}
	stop := errors.New("stop")
	if err := Export(path, func(uint64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("export: %v, want the callback's error", err)
	}
}

func TestAppendDoesNotAllocatePerRecord(t *testing.T) {
	o := open(t, tempPath(t), nil)
	data := rec(1)
	if n := testing.AllocsPerRun(1000, func() { _ = o.Append(data) }); n > 0 {
		t.Errorf("%v allocations per record", n)
	}
}

// TestTakeLive: what is new goes before the backlog, and belongs to it after
// the next flush.
func TestTakeLive(t *testing.T) {
	o := open(t, tempPath(t), nil)
	appendN(t, o, 0, 200)
	flush(t, o)
	if b, ok := o.TakeLive(10, 1<<20); ok {
		t.Fatalf("%d records of the backlog taken for new ones", b.Len())
	}
	appendN(t, o, 200, 30)
	live, _ := o.TakeLive(20, 1<<20)
	old, _ := o.Take(50, 1<<20)
	if live.Len() != 20 || string(live.Record(0)) != string(rec(200)) || old.Len() != 50 || string(old.Record(0)) != string(rec(0)) {
		t.Fatalf("took %d new ones from %.12s and %d old ones from %.12s", live.Len(), live.Record(0), old.Len(), old.Record(0))
	}
	if err := o.Ack(live); err != nil {
		t.Fatal(err)
	}
	o.Release(old)
	flush(t, o)
	if _, ok := o.TakeLive(10, 1<<20); ok {
		t.Error("flushed records taken for new ones")
	}
	got := drain(t, o)
	wantSeqs(t, got[:200], 0, 200)
	wantSeqs(t, got[200:], 220, 10)
}

// TestTakeFromManySides: several that take at once share a backlog, of which
// each record goes to one of them, once.
func TestTakeFromManySides(t *testing.T) {
	path := filled(t)
	o := open(t, path, nil)
	var mu sync.Mutex
	got := map[string]int{}
	var all sync.WaitGroup
	for side := range 4 {
		all.Go(func() {
			for n := 0; ; n++ {
				b, ok := o.Take(7+side, 1<<20)
				if !ok {
					return
				}
				if n%5 == side { // again, to somebody
					o.Release(b)
					continue
				}
				mu.Lock()
				for i := range b.Len() {
					got[string(b.Record(i))]++
				}
				mu.Unlock()
				if err := o.Ack(b); err != nil {
					t.Error(err)
				}
				if n%20 == 19 {
					flush(t, o)
				}
			}
		})
	}
	all.Wait()
	for _, rec := range drain(t, o) { // what was released when the others had gone
		got[rec]++
	}
	for i := range 2000 {
		if n := got[string(rec(i))]; n != 1 {
			t.Fatalf("record %d came %d times", i, n)
		}
	}
	checkAccount(t, o)
}
