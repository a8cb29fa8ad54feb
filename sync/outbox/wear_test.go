package outbox

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
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

// TestReservesAhead: a file that grows is written with zeros ahead of its pages.
func TestReservesAhead(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, nil)
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	used := func() (n int64) {
		if err := o.db.View(func(tx *bolt.Tx) error { n = tx.Size(); return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 80 {
		appendN(t, o, i*1000, 1000)
		flush(t, o)
		if free := size() - used(); free < spareBytes {
			t.Fatalf("after %d flushes %d bytes are left of %d", i+1, free, size())
		}
	}
	if size() <= prefillBytes {
		t.Fatalf("the file has %d bytes: nothing was tried", size())
	}
	blocks := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	if got := blocks(); got < size() {
		t.Errorf("%d bytes on disk of %d: there are holes", got, size())
	}
	wantSeqs(t, drain(t, o), 0, 80_000)
}
