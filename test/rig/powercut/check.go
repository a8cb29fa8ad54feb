//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/egret-edge/egret/sync/outbox"
)

// A disk that loses its power may have written of what it was not yet told to
// flush: nothing, everything, or any of it in any order.
var losses = []struct {
	name string
	keep func(*rand.Rand) func() bool
}{
	{"nothing that was not flushed", func(*rand.Rand) func() bool { return func() bool { return false } }},
	{"everything", func(*rand.Rand) func() bool { return nil }},
	{"half of the pages that were not flushed", func(r *rand.Rand) func() bool { return func() bool { return r.IntN(2) == 0 } }},
}

// patience bounds one check: a hang is a failure.
const patience = 2 * time.Minute

type checker struct {
	dir      string
	image    []byte // as of the last flush
	pending  []entry
	mark     mark
	disks    int
	failed   int
	setAside int
}

// check rebuilds the disk of image after each entry of the log, and opens the
// outbox on it.
func check(logPath, imagePath string) error {
	log, err := readLog(logPath)
	if err != nil {
		return err
	}
	image, err := os.ReadFile(imagePath)
	if err != nil {
		return err
	}
	c := &checker{image: image[:fsBytes]}
	// In memory where there is such a place: the outbox's fsyncs cost nothing.
	if c.dir, err = os.MkdirTemp("/dev/shm", "powercut-"); err != nil {
		if c.dir, err = os.MkdirTemp("", "powercut-"); err != nil {
			return err
		}
	}
	defer os.RemoveAll(c.dir)
	began := time.Now()
	marks := 0
	for i, e := range log {
		if i%500 == 0 {
			fmt.Printf("power cuts: at %d of %d\n", i, len(log))
		}
		m, isMark := readMark(e)
		if isMark {
			c.mark = m
			marks++
		}
		safe := c.add(e)
		for k, loss := range losses {
			switch {
			case k == 0 && !safe && !isMark:
				continue // as after the entry before
			case k > 0 && len(c.pending) == 0:
				continue // nothing to lose: as the first kind
			}
			rng := rand.New(rand.NewPCG(uint64(i), uint64(k)))
			c.try(i, loss.name, loss.keep(rng))
		}
	}
	fmt.Printf("power cuts: %d points in %d flushes and starts, %d disks opened in %s: %d set aside, %d failed\n",
		len(log), marks, c.disks, time.Since(began).Round(time.Second), c.setAside, c.failed)
	switch {
	case c.failed > 0:
		return errors.New("the outbox does not survive every power cut")
	case marks == 0:
		return errors.New("the log has no mark: the writer did not run")
	}
	return nil
}

// add does an entry; safe tells whether it made anything certain.
func (c *checker) add(e entry) (safe bool) {
	if e.flags&flagFlush != 0 {
		for _, p := range c.pending {
			p.apply(c.image, nil)
		}
		c.pending = nil
	}
	if e.flags&flagFUA != 0 {
		e.apply(c.image, nil)
	}
	if e.sector*sectorSize < fsBytes && (len(e.data) > 0 || e.flags&flagDiscard != 0) {
		c.pending = append(c.pending, e)
	}
	return e.flags&(flagFlush|flagFUA) != 0
}

// try opens one disk and says what is wrong with it.
func (c *checker) try(cut int, kept string, keep func() bool) {
	disk := bytes.Clone(c.image)
	for _, e := range c.pending {
		e.apply(disk, keep)
	}
	c.disks++
	ended := make(chan error, 1)
	go func() { ended <- c.open(disk) }()
	var err error
	select {
	case err = <-ended:
	case <-time.After(patience):
		panic(fmt.Sprintf("cut after entry %d: the outbox hangs", cut)) // shows where
	}
	if err != nil {
		c.failed++
		fmt.Printf("cut after entry %d, the disk kept %s: %v\n", cut, kept, err)
	}
}

// open mounts the disk, which has the kernel replay its journal as after a
// real cut, and looks into the outbox.
func (c *checker) open(disk []byte) (err error) {
	at := filepath.Join(c.dir, fmt.Sprint(c.disks))
	image := at + ".img"
	if err := errors.Join(os.WriteFile(image, disk, 0o600), os.Mkdir(at, 0o755)); err != nil {
		return err
	}
	defer os.Remove(image)
	if out, err := exec.Command("mount", "-t", "ext4", "-o", "loop,noatime", image, at).CombinedOutput(); err != nil {
		return fmt.Errorf("mount: %w: %s", err, out)
	}
	defer func() {
		// Lazily: an outbox that set its file aside keeps that open.
		if out, uerr := exec.Command("umount", "-l", at).CombinedOutput(); uerr != nil {
			err = errors.Join(err, fmt.Errorf("umount: %w: %s", uerr, out))
		}
		_ = os.Remove(at) // an empty folder, and it goes with the others
	}()
	path := filepath.Join(at, "outbox.db")
	o, err := outbox.Open(outbox.Options{Path: path, FlushInterval: time.Hour, MaxBytes: 64 << 20})
	if err != nil {
		return err
	}
	err = errors.Join(c.look(o), o.Close())
	if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) > 0 {
		c.setAside++
		err = errors.Join(err, errors.New("the outbox was set aside"))
	}
	return err
}

// look compares an outbox with what was promised.
func (c *checker) look(o *outbox.Outbox) error {
	s := o.Stats()
	if s.Boot <= c.mark.Boot {
		return fmt.Errorf("boot %d comes after %d", s.Boot, c.mark.Boot)
	}
	if len(s.Dropped) > 0 || s.Held != 0 || s.Produced != s.Acknowledged+s.Stored || s.Produced < c.mark.Flushed {
		return fmt.Errorf("account after %+v: %+v", c.mark, s)
	}
	var first, last uint64
	for {
		b, ok := o.Take(100, 1<<20)
		if !ok {
			break
		}
		for i := range b.Len() {
			n, ok := numberOf(b.Record(i))
			if !ok || last > 0 && n != last+1 {
				return fmt.Errorf("after record %d comes %q", last, b.Record(i))
			}
			if last = n; first == 0 {
				first = n
			}
		}
		if err := o.Ack(b); err != nil {
			return err
		}
	}
	if c.mark.Flushed > c.mark.Acking && (first > c.mark.Acking+1 || last < c.mark.Flushed) {
		return fmt.Errorf("records %d to %d are there, want %d to %d", first, last, c.mark.Acking+1, c.mark.Flushed)
	}
	return nil
}
