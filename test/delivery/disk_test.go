//go:build linux

package delivery

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/outbox"
)

// disk makes a small file system of a kind and gives where it is.
func disk(t *testing.T, kind string) string {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, "disk")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk needs root: run as root to test it")
	}
	mount := []string{"mount", "-t", "tmpfs", "-o", "size=12m", "none", at}
	if kind == "ext4" {
		image := filepath.Join(dir, "image")
		run(t, "truncate", "-s", "16M", image)
		run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", image)
		mount = []string{"mount", "-t", "ext4", "-o", "loop", image, at}
	}
	if out, err := exec.Command(mount[0], mount[1:]...).CombinedOutput(); err != nil {
		t.Skipf("no %s can be mounted here (a container without loop devices or privileges?): %s", kind, out)
	}
	t.Cleanup(func() { run(t, "umount", at) })
	return at
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", name, err, out)
	}
}

// fill takes all that is left of a disk.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	// ext4 only promises space until it is written: have it take it.
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// noise is the n-th record of the full disk's test: nothing compresses it.
func noise(n int) []byte {
	rng := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	buf := fmt.Appendf(nil, "%d ", n)
	pad := make([]byte, 2000)
	_, _ = rng.Read(pad) // never fails
	return append(buf, pad...)
}

// TestDiskFullAndFreed fills the disk under an outbox from outside, frees it
// again, and does so several times: the outbox says that it cannot write,
// holds what memory allows and counts what it drops; when there is room it
// writes again by itself, with everything that it said it held.
func TestDiskFullAndFreed(t *testing.T) {
	for _, kind := range []string{"ext4", "tmpfs"} {
		t.Run(kind, func(t *testing.T) { fullDisk(t, kind, rounds(2, 10)) })
	}
}

// TestStartOnFullDisk: an outbox opens on a disk that is full to the last byte,
// counts its start, and loses nothing. What it reserved is enough for some
// flushes, too.
func TestStartOnFullDisk(t *testing.T) {
	at := disk(t, "ext4")
	opts := outbox.Options{Path: filepath.Join(at, "outbox.db"), FlushInterval: time.Hour}
	o, err := outbox.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for range 500 {
		mustAppend(t, o, &next)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(at, "filler"))
	if o, err = outbox.Open(opts); err != nil {
		t.Fatal(err)
	}
	if o.Boot() != 2 {
		t.Errorf("boot %d, want 2", o.Boot())
	}
	mustAppend(t, o, &next)
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(at, "filler")); err != nil {
		t.Fatal(err)
	}
	if o, err = outbox.Open(opts); err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got := map[int]bool{}
	takeAll(t, o, got)
	left, _ := os.ReadDir(at)
	if len(got) != 501 || o.Boot() != 3 || len(left) != 3 { // outbox.db, its boot counter, lost+found
		t.Errorf("%d records in boot %d, in the folder: %v", len(got), o.Boot(), left)
	}
}

func fullDisk(t *testing.T, kind string, times int) {
	at := disk(t, kind)
	// Little: what is held when there is room again makes the file longer.
	const maxHeld = 256 << 10
	o, err := outbox.Open(outbox.Options{
		Path: filepath.Join(at, "outbox.db"), FlushInterval: time.Hour, MaxHeld: maxHeld, MaxBytes: 64 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}()
	next, got := 0, map[int]bool{}
	for i := range times {
		fillUp(t, o, at, maxHeld, &next)
		if i%2 == 1 {
			takeAll(t, o, got) // the broker comes back before there is room
		}
		before := o.Stats()
		if err := os.Remove(filepath.Join(at, "filler")); err != nil {
			t.Fatal(err)
		}
		if err := o.Flush(); err != nil {
			t.Fatalf("there is room again: %v", err)
		}
		s := o.Stats()
		if s.LastError != "" || !s.ErrorSince.IsZero() || s.Held != 0 || s.Stored != before.Held+before.Stored {
			t.Errorf("there is room again: %+v, before it was %+v", s, before)
		}
		takeAll(t, o, got)
		if err := o.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	s := o.Stats()
	if uint64(len(got)) != s.Acknowledged || s.Produced != uint64(next) || s.Held+s.Stored != 0 {
		t.Errorf("%d records came out of %d: %+v", len(got), next, s)
	}
	if msg := unbalanced(s); msg != "" {
		t.Error(msg)
	}
	t.Logf("%s, full %d times: %d records, %d came out, dropped %v", kind, times, next, len(got), s.Dropped)
}

// fillUp fills the disk and appends until the outbox has nowhere to put
// anything: neither on disk nor in memory.
func fillUp(t *testing.T, o *outbox.Outbox, at string, maxHeld uint64, next *int) {
	t.Helper()
	for range 200 { // something is stored before
		mustAppend(t, o, next)
	}
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(at, "filler"))
	dropped := o.Stats().Dropped[outbox.DroppedMemory]
	for range 20_000 {
		for range 50 {
			mustAppend(t, o, next)
		}
		err := o.Flush()
		s := o.Stats()
		if msg := unbalanced(s); msg != "" {
			t.Fatal(msg)
		}
		if (err != nil) != (s.LastError != "") || (err != nil) == s.ErrorSince.IsZero() {
			t.Fatalf("flush said %v: %+v", err, s)
		}
		if s.HeldBytes > maxHeld {
			t.Fatalf("%d bytes are held, at most %d are allowed", s.HeldBytes, maxHeld)
		}
		if err != nil && s.Dropped[outbox.DroppedMemory] > dropped {
			return
		}
	}
	t.Fatalf("the disk is never full: %+v", o.Stats())
}

func mustAppend(t *testing.T, o *outbox.Outbox, next *int) {
	t.Helper()
	if err := o.Append(noise(*next)); err != nil {
		t.Fatal(err)
	}
	*next++
}

// takeAll takes and acknowledges everything, in order and as it was.
func takeAll(t *testing.T, o *outbox.Outbox, got map[int]bool) {
	t.Helper()
	last := -1
	for {
		b, ok := o.Take(100, 1<<20)
		if !ok {
			return
		}
		for i := range b.Len() {
			var n int
			_, err := fmt.Sscan(string(b.Record(i)[:8]), &n)
			if err != nil || string(b.Record(i)) != string(noise(n)) || n <= last || got[n] {
				t.Fatalf("after record %d comes %.20q", last, b.Record(i))
			}
			got[n], last = true, n
		}
		if err := o.Ack(b); err != nil {
			t.Fatal(err)
		}
	}
}
