package outbox

import (
	"crypto/sha512"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv("OUTBOX_CHILD"); mode != "" {
		os.Exit(child(mode, os.Getenv("OUTBOX_PATH")))
	}
	goleak.VerifyTestMain(m)
}

// open opens an outbox that never flushes by itself; when the test ends the
// account must add up and the file must pass bbolt's own check.
func open(t *testing.T, path string, change func(*Options)) *Outbox {
	t.Helper()
	opts := Options{Path: path, FlushInterval: time.Hour, LockTimeout: 50 * time.Millisecond}
	if change != nil {
		change(&opts)
	}
	o, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		checkAccount(t, o)
		if err := o.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		fsck(t, path)
	})
	return o
}

func fsck(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatalf("check %s: %v", path, err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt check: %v", err)
		}
		acc, err := readAccount(tx)
		if err != nil {
			return err
		}
		return verify(tx, acc)
	}); err != nil {
		t.Errorf("verify: %v", err)
	}
}

func checkAccount(t *testing.T, o *Outbox) {
	t.Helper()
	if msg := unbalanced(o.Stats()); msg != "" {
		t.Fatal(msg)
	}
}

func unbalanced(s Stats) string {
	sum := s.Acknowledged + s.Held + s.Stored
	for _, n := range s.Dropped {
		sum += n
	}
	if s.Produced != sum {
		return fmt.Sprintf("account does not add up: %+v", s)
	}
	return ""
}

// rec is the i-th record; no compressor makes much of it.
func rec(i int) []byte {
	return fmt.Appendf(nil, `{"seq":%d,"pad":"%x"}`, i, sha512.Sum512(fmt.Append(nil, i)))
}

func appendN(t *testing.T, o *Outbox, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		if err := o.Append(rec(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// drain takes and acknowledges everything.
func drain(t *testing.T, o *Outbox) (got []string) {
	t.Helper()
	for {
		b, ok := o.Take(7, 1<<20)
		if !ok {
			return got
		}
		for i := range b.Len() {
			got = append(got, string(b.Record(i)))
		}
		if err := o.Ack(b); err != nil {
			t.Fatal(err)
		}
	}
}

func wantSeqs(t *testing.T, got []string, from, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("got %d records, want %d", len(got), n)
	}
	for i, g := range got {
		if g != string(rec(from+i)) {
			t.Fatalf("record %d is %.30s, want %.30s", i, g, rec(from+i))
		}
	}
}

func flush(t *testing.T, o *Outbox) {
	t.Helper()
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
}

func tempPath(t testing.TB) string { return filepath.Join(t.TempDir(), "outbox.db") }
