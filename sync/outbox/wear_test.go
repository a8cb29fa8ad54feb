package outbox

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestFlashBudget: a day without a broker costs the flash what the budget
// allows, and nothing is lost in an orderly end.
func TestFlashBudget(t *testing.T) {
	path := tempPath(t)
	// What all tests share must not come from within a bubble.
	if _, err := decodeBlock(encodeBlock([]*record{{data: rec(0)}}), nil); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		budget      int64
		least, most uint64 // bytes written in the day
		says        int
	}{
		{0, 17_000 * 4 * pageSize, 1 << 40, 0},
		{4 << 20, 2 << 20, 4<<20 + 1<<19, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			o, err := Open(Options{Path: path, FlashBudget: tt.budget, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			before := o.Stats()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- o.Run(ctx) }()
			const n = 24 * 3600 / 4
			for i := range n {
				appendN(t, o, i, 1)
				time.Sleep(4 * time.Second)
			}
			s := o.Stats()
			if s.Written < tt.least || s.Written > tt.most || s.Postponed != (tt.budget > 0) {
				t.Errorf("budget %d: %d bytes written, want %d to %d; postponed %v", tt.budget, s.Written, tt.least, tt.most, s.Postponed)
			}
			if d := float64(s.WrittenPerDay) / float64(s.Written); d < 0.99 || d > 1.01 {
				t.Errorf("%d bytes a day of %d in a day", s.WrittenPerDay, s.Written)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			checkAccount(t, o)
			if s := o.Stats(); s.Stored-before.Stored != n {
				t.Errorf("%d of %d on disk at the end", s.Stored-before.Stored, n)
			}
			if err := o.Close(); err != nil {
				t.Error(err)
			}
			if said := strings.Count(log.String(), "to keep flash_budget"); said != tt.says {
				t.Errorf("said %d times, want %d", said, tt.says)
			}
		})
	}
}

// The budget does not hold back what memory cannot hold.
func TestFlashBudgetYieldsToMemory(t *testing.T) {
	o := open(t, tempPath(t), func(opts *Options) { opts.FlashBudget, opts.MaxHeld = 1, 16<<10 })
	o.wear.allowed = -1e9
	appendN(t, o, 0, 10)
	if !o.postpone(time.Now()) {
		t.Error("a flush is not held back")
	}
	appendN(t, o, 10, 60)
	if o.postpone(time.Now()) {
		t.Error("held back with half of the memory in use")
	}
}

// TestReservesAhead: a file that grows has zeros ahead of its pages, also after a
// commit that took more than there were, and after a start.
func TestReservesAhead(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, nil)
	// ahead is how much of what comes next is on disk: all holes are there.
	ahead := func() int64 {
		t.Helper()
		used, err := usedBytes(o.db)
		info, e := os.Stat(path)
		if err = errors.Join(err, e); err != nil {
			t.Fatal(err)
		}
		return allocated(info) - used
	}
	n := 0
	add := func(records int) {
		appendN(t, o, n, records)
		n += records
		flush(t, o)
		if free := ahead(); free < spareBytes {
			t.Fatalf("with %d records %d bytes are left", n, free)
		}
	}
	for range 60 {
		add(1000)
	}
	add(20_000) // some 1.5 MB at once
	add(1)
	closed(t, o)
	o = open(t, path, nil)
	for range 10 {
		add(1000)
	}
	if info, err := os.Stat(path); err != nil || info.Size() <= prefillBytes {
		t.Fatalf("the file has %d bytes, %v: nothing was tried", info.Size(), err)
	}
	wantSeqs(t, drain(t, o), 0, n)
}
