//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/egret-edge/egret/sync/outbox"
)

// The writer opens the outbox so many times and flushes so often in each.
const (
	lives   = 8
	flushes = 50
)

type writer struct {
	out      *outbox.Outbox
	marks    *marker
	mark     mark
	appended uint64
	rng      *rand.Rand
}

// write works on an outbox in dir as an agent does whose broker comes and
// goes, and leaves a mark on the disk whenever something was promised.
func write(dir, disk string) error {
	marks, err := openMarker(disk)
	if err != nil {
		return err
	}
	w := &writer{marks: marks, rng: rand.New(rand.NewPCG(1, 1))}
	for range lives {
		if err := w.live(filepath.Join(dir, "outbox.db")); err != nil {
			return err
		}
	}
	fmt.Printf("written: %d records, %d of them acknowledged, %d flushes, %d starts\n",
		w.appended, w.mark.Acking, lives*flushes, w.mark.Boot)
	return nil
}

func (w *writer) live(path string) (err error) {
	// Nothing flushes but this program: it knows what has returned.
	if w.out, err = outbox.Open(outbox.Options{Path: path, FlushInterval: time.Hour, MaxBytes: 64 << 20}); err != nil {
		return err
	}
	w.mark.Boot = w.out.Boot()
	if err := w.marks.write(w.mark); err != nil {
		return err
	}
	for range flushes {
		if err := w.step(); err != nil {
			return err
		}
	}
	return w.out.Close()
}

func (w *writer) step() error {
	for range 1 + w.rng.IntN(60) {
		w.appended++
		if err := w.out.Append(record(w.appended)); err != nil {
			return err
		}
	}
	if w.rng.IntN(2) == 0 {
		if err := w.acknowledge(); err != nil {
			return err
		}
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	w.mark.Flushed = w.appended
	return w.marks.write(w.mark)
}

// acknowledge says so first: afterwards the records may be gone.
func (w *writer) acknowledge() error {
	b, ok := w.out.Take(1+w.rng.IntN(100), 1<<20)
	if !ok {
		return nil
	}
	last, ok := numberOf(b.Record(b.Len() - 1))
	if !ok {
		return fmt.Errorf("took %q", b.Record(b.Len()-1))
	}
	w.mark.Acking = last
	if err := w.marks.write(w.mark); err != nil {
		return err
	}
	return w.out.Ack(b)
}
