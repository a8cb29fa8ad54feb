package outbox

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// refuse takes n records and refuses them.
func refuse(t *testing.T, o *Outbox, n int, reason string) {
	t.Helper()
	b, _ := o.Take(n, 1<<30)
	if b.Len() != n {
		t.Fatalf("took %d records, want %d", b.Len(), n)
	}
	if err := o.Refuse(b, reason); err != nil {
		t.Fatal(err)
	}
}

func deadLetters(t *testing.T, path string) (ls []Letter) {
	t.Helper()
	err := DeadLetters(path, func(l Letter) error {
		l.Record = bytes.Clone(l.Record)
		ls = append(ls, l)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ls
}

func closed(t *testing.T, o *Outbox) {
	t.Helper()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRefusedRecordsAreKeptAsDeadLetters(t *testing.T) {
	for _, when := range []string{"held", "stored", "flushed while leased"} {
		t.Run(when, func(t *testing.T) {
			path := tempPath(t)
			o := open(t, path, nil)
			appendN(t, o, 0, 50)
			if when == "stored" {
				flush(t, o)
			}
			b, _ := o.Take(3, 1<<20)
			if b.First() != 1 {
				t.Errorf("first is %d, want 1", b.First())
			}
			if when == "flushed while leased" {
				flush(t, o)
			}
			if err := o.Refuse(b, "poison"); err != nil {
				t.Fatal(err)
			}
			if err := o.Refuse(b, "twice"); err != nil {
				t.Fatal(err)
			}
			if !o.due(time.Now()) {
				t.Error("no flush is due")
			}
			checkAccount(t, o)
			closed(t, o)
			ls := deadLetters(t, path)
			if len(ls) != 3 || ls[2].Seq != 3 || ls[2].Reason != "poison" || string(ls[2].Record) != string(rec(2)) || time.Since(ls[2].Time) > time.Hour {
				t.Errorf("dead letters: %+v", ls)
			}
			again := open(t, path, nil)
			wantSeqs(t, drain(t, again), 3, 47)
			if s := again.Stats(); s.Dropped[DroppedRefused] != 3 || s.Acknowledged != 47 {
				t.Errorf("account: %+v", s)
			}
		})
	}
}

func TestDeadLettersAreBounded(t *testing.T) {
	t.Run("number", func(t *testing.T) {
		path := tempPath(t)
		o := open(t, path, nil)
		appendN(t, o, 0, 1500)
		for range 3 {
			refuse(t, o, 400, "poison")
			flush(t, o)
		}
		closed(t, o)
		ls := deadLetters(t, path)
		if len(ls) != maxLetters || ls[0].Seq != 201 || ls[maxLetters-1].Seq != 1200 {
			t.Errorf("%d letters from %d on", len(ls), ls[0].Seq)
		}
		if s, err := Inspect(path); err != nil || s.Dropped[DroppedRefused] != 1200 {
			t.Errorf("account: %+v, %v", s, err)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		path := tempPath(t)
		o := open(t, path, func(opts *Options) { opts.MaxHeld = 64 << 20 })
		for range 30 {
			if err := o.Append(bytes.Repeat([]byte("x"), 200<<10)); err != nil {
				t.Fatal(err)
			}
		}
		refuse(t, o, 30, "poison")
		closed(t, o)
		if ls := deadLetters(t, path); len(ls) != 20 || ls[19].Seq != 30 {
			t.Errorf("%d letters", len(ls))
		}
	})
}

// A flush that fails keeps the letters for the next one.
func TestDeadLettersSurviveAFailedFlush(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, nil)
	appendN(t, o, 0, 5)
	refuse(t, o, 2, "poison")
	p, _ := o.plan()
	o.settle(p, errors.New("disk full"))
	refuse(t, o, 1, "poison")
	closed(t, o)
	if ls := deadLetters(t, path); len(ls) != 3 {
		t.Errorf("dead letters: %+v", ls)
	}
}

func TestLongReasonsAreCut(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, nil)
	appendN(t, o, 0, 1)
	refuse(t, o, 1, strings.Repeat("é", 1000))
	closed(t, o)
	if ls := deadLetters(t, path); len(ls) != 1 || len(ls[0].Reason) > maxReason || string(ls[0].Record) != string(rec(0)) {
		t.Errorf("dead letters: %+v", ls)
	}
}

func TestRetry(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, nil)
	appendN(t, o, 0, 20)
	flush(t, o)
	refuse(t, o, 5, "poison")
	closed(t, o)
	if _, err := Retry(path, 3, 9); !errors.Is(err, ErrNoLetter) {
		t.Errorf("a number that is none: %v", err)
	}
	if n, err := Retry(path, 4, 2, 4); n != 2 || err != nil {
		t.Fatalf("retried %d, %v", n, err)
	}
	if s, err := Inspect(path); err != nil || s.Stored != 17 || s.Dropped[DroppedRefused] != 3 || unbalanced(s) != "" {
		t.Errorf("account: %+v, %v", s, err)
	}
	if n, err := Retry(path); n != 3 || err != nil {
		t.Fatalf("retried %d, %v", n, err)
	}
	if n, err := Retry(path); n != 0 || err != nil {
		t.Errorf("retried %d of none, %v", n, err)
	}
	again := open(t, path, nil)
	if again.Boot() != 2 {
		t.Errorf("boot %d: a retry is none", again.Boot())
	}
	appendN(t, again, 20, 1)
	got := drain(t, again)
	wantSeqs(t, got[:15], 5, 15)
	for i, want := range []int{1, 3, 0, 2, 4, 20} {
		if got[15+i] != string(rec(want)) {
			t.Errorf("number %d is %.12s, want %d", 15+i, got[15+i], want)
		}
	}
	if s := again.Stats(); s.Acknowledged != 21 || s.Produced != 21 || len(s.Dropped) != 0 {
		t.Errorf("account: %+v", s)
	}
}

func TestRetryNeedsTheFile(t *testing.T) {
	path := tempPath(t)
	if _, err := Retry(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	o := open(t, path, nil)
	if _, err := Retry(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a file in use: %v", err)
	}
	closed(t, o)
	if n, err := Retry(path); n != 0 || err != nil {
		t.Errorf("a file without dead letters: %d, %v", n, err)
	}
	if _, err := Retry(path, 1); !errors.Is(err, ErrNoLetter) {
		t.Errorf("a file without dead letters: %v", err)
	}
	if s, err := Summarize(path); err != nil || s.DeadLetters != 0 || s.FileBytes == 0 {
		t.Errorf("summary: %+v, %v", s, err)
	}
}

// withLetters makes a file with a backlog and dead letters.
func withLetters(t *testing.T) string {
	path := tempPath(t)
	o, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		appendN(t, o, i*100, 100)
		flush(t, o)
	}
	refuse(t, o, 3, "poison")
	closed(t, o)
	return path
}

// Dead letters of a damaged file are saved, also when its account is not.
func TestSalvageKeepsDeadLetters(t *testing.T) {
	for name, damage := range map[string]func(*bolt.Tx) error{
		"account gone": func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Delete(keyAccount) },
		"marks gone":   func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketDone) },
	} {
		t.Run(name, func(t *testing.T) {
			path := withLetters(t)
			change(t, path, damage)
			o := open(t, path, nil)
			s := o.Stats()
			if s.Dropped[DroppedRefused] != 3 || s.Stored < 1997 || o.Boot() != 2 {
				t.Errorf("account: %+v", s)
			}
			checkAccount(t, o)
			closed(t, o)
			if ls := deadLetters(t, path); len(ls) != 3 || string(ls[2].Record) != string(rec(2)) {
				t.Errorf("dead letters: %+v", ls)
			}
		})
	}
}

// change edits a file with bbolt.
func change(t *testing.T, path string, fn func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: pageSize})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestRecoverReadsAroundDamage(t *testing.T) {
	path := withLetters(t)
	aside := filepath.Join(filepath.Dir(path), "outbox.db.damaged-1")
	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
	change(t, aside, func(tx *bolt.Tx) error {
		b := tx.Bucket(seqKey(501))
		v := bytes.Clone(b.Get(chunkKey(0)))
		v[40] ^= 1
		return errors.Join(b.Put(chunkKey(0), v), tx.Bucket(seqKey(1001)).Delete(chunkKey(0)), tx.Bucket(bucketMeta).Put([]byte("x"), nil))
	})
	var got []string
	r, err := Recover(aside, func(_ uint64, rec []byte) error {
		got = append(got, string(rec))
		return nil
	})
	if err != nil || r.Records != 1797 || r.Missing != 200 || !errors.Is(r.Damage, errDamaged) {
		t.Errorf("recovered %+v, %v", r, err)
	}
	wantSeqs(t, got[:497], 3, 497)
	wantSeqs(t, got[497:897], 600, 400)
	wantSeqs(t, got[897:], 1100, 900)
	letters := 0
	if r, err := RecoverLetters(aside, func(Letter) error { letters++; return nil }); err != nil || letters != 3 || r.Records != 3 {
		t.Errorf("recovered %d letters, %+v, %v", letters, r, err)
	}
	stop := errors.New("stop")
	if _, err := Recover(aside, func(uint64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the caller's error became %v", err)
	}
}

func TestRecoverOfWhatIsNoOutbox(t *testing.T) {
	path := tempPath(t)
	none := func(uint64, []byte) error { return nil }
	if _, err := Recover(path, none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a database\n"), 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Recover(path, none); err == nil {
		t.Error("a text file gave no error")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	open(t, path, nil)
	if _, err := Recover(path, none); !errors.Is(err, ErrLocked) {
		t.Errorf("a file in use: %v", err)
	}
}

func TestVerify(t *testing.T) {
	edited := func(edit func(*account)) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			acc, err := readAccount(tx)
			if err != nil {
				return err
			}
			edit(&acc)
			return writeAccount(tx, acc)
		}
	}
	for name, tt := range map[string]struct {
		damage func(*bolt.Tx) error
		want   []string // parts of the findings, in order
	}{
		"sound": {func(*bolt.Tx) error { return nil }, nil},
		"a chunk's bit": {func(tx *bolt.Tx) error {
			b := tx.Bucket(seqKey(101))
			v := bytes.Clone(b.Get(chunkKey(0)))
			v[40] ^= 1
			return b.Put(chunkKey(0), v)
		}, []string{"block 101: block checksum", "1897 records where the account says 1997"}},
		"a letter's bit": {func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketDead)
			v := bytes.Clone(b.Get(seqKey(2)))
			v[20] ^= 1
			return b.Put(seqKey(2), v)
		}, []string{"dead letter 2: checksum"}},
		"marks": {func(tx *bolt.Tx) error { return tx.Bucket(bucketDone).Put(seqKey(7), []byte{1}) },
			[]string{"marks of a block 7"}},
		"sum":          {edited(func(a *account) { a.Produced++ }), []string{"does not add up: 2001 produced, but 2000"}},
		"next":         {edited(func(a *account) { a.NextSeq = 5 }), []string{"number 5, which is taken"}},
		"letters":      {edited(func(a *account) { a.Dropped, a.Acknowledged = nil, 3 }), []string{"says that 0 were refused"}},
		"account gone": {func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Delete(keyAccount) }, []string{"the account cannot be read"}},
		"bucket gone": {func(tx *bolt.Tx) error {
			return errors.Join(tx.DeleteBucket(bucketDone), edited(func(a *account) { a.Stored, a.Produced = 2000, 2003 })(tx))
		}, []string{"bucket done is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := withLetters(t)
			change(t, path, tt.damage)
			var got []string
			v, err := Verify(path, func(f string) { got = append(got, f) })
			if err != nil {
				t.Fatal(err)
			}
			if v.Blocks < 19 || v.Records < 1897 {
				t.Errorf("read %+v", v)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("findings %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.Contains(got[i], tt.want[i]) {
					t.Errorf("finding %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}

// Pages that are broken are found without bbolt's help.
func TestVerifyBrokenPages(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"both metas gone": func(b []byte) []byte { clear(b[:2*pageSize]); return b },
		"all pages ones": func(b []byte) []byte {
			for i := 2 * pageSize; i < len(b); i++ {
				b[i] = 0xff
			}
			return b
		},
		"cut": func(b []byte) []byte { return b[:8*pageSize] },
	} {
		t.Run(name, func(t *testing.T) {
			path := withLetters(t)
			mangle(t, path, damage)
			found := 0
			if _, err := Verify(path, func(string) { found++ }); err != nil || found == 0 {
				t.Errorf("%d findings, %v", found, err)
			}
		})
	}
}

func FuzzDecodeLetter(f *testing.F) {
	f.Add(seqKey(1), encodeLetter(Letter{Seq: 1, Reason: "r", Record: []byte("{}")}))
	f.Add([]byte(nil), []byte(nil))
	f.Add(seqKey(2), bytes.Repeat([]byte{1}, 40))
	f.Fuzz(func(t *testing.T, k, v []byte) {
		l, err := decodeLetter(k, v)
		if err != nil {
			return
		}
		if again := encodeLetter(l); !bytes.Equal(again, v) {
			t.Fatal("does not come back")
		}
	})
}
