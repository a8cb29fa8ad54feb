package outbox

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// corruptions are what a failing card does to a file. b has whole pages.
var corruptions = map[string]func(rng *rand.Rand, b []byte) []byte{
	"bits flipped": func(rng *rand.Rand, b []byte) []byte {
		for range 1 + rng.IntN(20) {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		return b
	},
	"page overwritten": func(rng *rand.Rand, b []byte) []byte {
		page := anyPage(rng, b)
		for i := range page {
			page[i] = byte(rng.Uint32())
		}
		return b
	},
	"page zeroed": func(rng *rand.Rand, b []byte) []byte {
		clear(anyPage(rng, b))
		return b
	},
	"page in another's place": func(rng *rand.Rand, b []byte) []byte {
		copy(anyPage(rng, b), anyPage(rng, b))
		return b
	},
	"page half written": func(rng *rand.Rand, b []byte) []byte {
		copy(anyPage(rng, b)[:512*(1+rng.IntN(7))], anyPage(rng, b))
		return b
	},
	"file cut": func(rng *rand.Rand, b []byte) []byte { return b[:rng.IntN(len(b))] },
}

func anyPage(rng *rand.Rand, b []byte) []byte {
	n := rng.IntN(len(b)/pageSize) * pageSize
	return b[n : n+pageSize]
}

// soaking: `make proofs` runs the random tests for longer.
func soaking() bool { return os.Getenv("EGRET_SOAK") != "" }

// Whatever is done to the file: no panic, no hang, every record that comes out
// is one that went in, and the account adds up. The file is damaged before it
// is opened, or, every third time, by its back while it is open.
func TestCorruptedFile(t *testing.T) {
	rounds := 12
	if soaking() {
		rounds = 200
	}
	good := filledBytes(t)
	for name, corrupt := range corruptions {
		t.Run(name, func(t *testing.T) {
			for round := range rounds {
				rng := rand.New(rand.NewPCG(11, uint64(round)))
				bounded(t, round, func() error { return surviveCorruption(t.TempDir(), good, round, rng, corrupt) })
			}
		})
	}
}

// filledBytes is the content of a file that has also deleted something, up to
// its last page in use.
func filledBytes(t *testing.T) []byte {
	t.Helper()
	path := filled(t)
	o, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b, _ := o.Take(130, 1<<20)
		if err := o.Ack(b); err != nil {
			t.Fatal(err)
		}
		flush(t, o)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(good, "\x00"))
	return good[:(used+pageSize-1)/pageSize*pageSize]
}

// bounded gives one round a deadline: a hang fails with every goroutine's
// stack. It is no expectation of speed.
func bounded(t *testing.T, round int, fn func() error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- fn() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	case <-time.After(2 * time.Minute):
		panic(fmt.Sprintf("%s, round %d: the outbox hangs", t.Name(), round))
	}
}

func surviveCorruption(dir string, good []byte, round int, rng *rand.Rand, corrupt func(*rand.Rand, []byte) []byte) error {
	path := filepath.Join(dir, "outbox.db")
	bad := corrupt(rng, bytes.Clone(good))
	first := bad
	if round%3 == 2 {
		first = good
	}
	if err := os.WriteFile(path, first, 0o600); err != nil {
		return err
	}
	o, err := Open(Options{Path: path})
	if err != nil {
		return err
	}
	if round%3 == 2 {
		if err := os.WriteFile(path, bad, 0o600); err != nil { // in place: the same inode
			return err
		}
	}
	if err := useCorrupted(o); err != nil {
		return err
	}
	if msg := unbalanced(o.Stats()); msg != "" {
		return fmt.Errorf("%s", msg)
	}
	if err := o.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	// And what is left behind is a good file.
	o, err = Open(Options{Path: path})
	if err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	defer o.Close()
	if s := o.Stats(); s.Stored != 0 || s.Held != 0 {
		return fmt.Errorf("drained, closed and opened again: %+v", s)
	}
	return nil
}

// useCorrupted appends, flushes and takes everything.
func useCorrupted(o *Outbox) error {
	for i := 2000; i < 2010; i++ {
		if err := o.Append(rec(i)); err != nil {
			return err
		}
	}
	if err := o.Flush(); err != nil {
		return err
	}
	newest := false
	for {
		b, ok := o.Take(7, 1<<20)
		if !ok {
			// A damaged tree that a read met is replaced by the next flush.
			if err := o.Flush(); err != nil {
				return err
			}
			if b, ok = o.Take(7, 1<<20); !ok {
				break
			}
		}
		for i := range b.Len() {
			var n int
			_, err := fmt.Sscanf(string(b.Record(i)), `{"seq":%d,`, &n)
			if err != nil || string(b.Record(i)) != string(rec(n)) {
				return fmt.Errorf("a damaged record came out: %q", b.Record(i))
			}
			newest = newest || n == 2009
		}
		if err := o.Ack(b); err != nil {
			return err
		}
	}
	if s := o.Stats(); !newest && s.Dropped[DroppedDamaged] == 0 {
		return fmt.Errorf("what was appended since is gone, and not counted: %+v", s)
	}
	return nil
}
