package outbox

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

func TestDamagedFileIsSetAside(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"text file":       func([]byte) []byte { return bytes.Repeat([]byte("not a database\n"), 2000) },
		"short text":      func([]byte) []byte { return []byte("hello\n") },
		"both metas gone": func(b []byte) []byte { clear(b[:2*pageSize]); return b },
		"cut to one page": func(b []byte) []byte { return b[:pageSize] },
		"free pages beyond the end": func(b []byte) []byte {
			for page := range slices.Chunk(b, pageSize) {
				for i := 0; binary.NativeEndian.Uint16(page[8:]) == flagFreelist && i < int(page[10]); i++ {
					page[pageHeader+8*i+6] |= 0x40
				}
			}
			return b
		},
		"all pages ones": func(b []byte) []byte {
			for i := 2 * pageSize; i < len(b); i++ {
				b[i] = 0xff
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			mangle(t, path, damage)
			if _, err := Inspect(path); err == nil {
				t.Error("Inspect gave no error")
			}
			o := open(t, path, nil)
			if o.Boot() != 2 {
				t.Errorf("boot %d came a second time, want 2", o.Boot())
			}
			aside, _ := filepath.Glob(path + ".damaged-*")
			if len(aside) != 1 {
				t.Errorf("set aside: %v, want one file", aside)
			}
			appendN(t, o, 2000, 10)
			flush(t, o)
			if name == "free pages beyond the end" { // the records were never in danger
				wantSeqs(t, drain(t, o), 0, 2010)
			} else {
				wantSeqs(t, drain(t, o), 2000, 10)
			}
		})
	}
}

// TestSavesWhatIsReadable: of a file with broken pages, the records of all other
// pages are saved, and the account tells how many are not.
func TestSavesWhatIsReadable(t *testing.T) {
	path := filled(t)
	var pages []int
	change(t, path, func(tx *bolt.Tx) error {
		for first := uint64(301); first < 1000; first += 200 {
			pages = append(pages, int(tx.Bucket(seqKey(first)).Root()))
		}
		return nil
	})
	mangle(t, path, func(b []byte) []byte {
		for _, page := range pages {
			b[page*pageSize+8] = 0xff
		}
		return b
	})
	o := open(t, path, nil)
	s := o.Stats()
	lost := s.Dropped[DroppedDamaged]
	if s.Boot != 2 || s.Produced != 2000 || lost != 400 || s.Stored != 2000-lost || s.Stored < 1000 {
		t.Errorf("account: %+v", s)
	}
	checkAccount(t, o)
	got := drain(t, o)
	if uint64(len(got)) != 2000-lost || got[0] != string(rec(0)) || got[len(got)-1] != string(rec(1999)) {
		t.Errorf("%d records came out, lost %d", len(got), lost)
	}
}

// filled makes a file with a backlog of several blocks.
func filled(t *testing.T) string {
	path := tempPath(t)
	o, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		appendN(t, o, i*100, 100)
		flush(t, o)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func mangle(t *testing.T, path string, fn func([]byte) []byte) {
	t.Helper()
	buf, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, fn(buf), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A list of free pages that names a page in use harms only a writer: the fresh
// file has all that was stored, and goes on with the account.
func TestPageFreeAndInUseIsFoundByTheFirstWrite(t *testing.T) {
	path := filled(t)
	editFreelist(t, path, func(root uint64, ids []uint64) []uint64 {
		ids = append(ids, root)
		slices.Sort(ids)
		return ids
	})
	o := open(t, path, nil)
	if s := o.Stats(); s.Boot != 2 || s.Dropped[DroppedDamaged] != 0 || s.Stored != 2000 {
		t.Errorf("account: %+v", s)
	}
	checkAccount(t, o)
	appendN(t, o, 2000, 10)
	flush(t, o)
	wantSeqs(t, drain(t, o), 0, 2010)
}

func TestCheckFile(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(ids []uint64) []uint64
		good bool
	}{
		"as it was":      {func(ids []uint64) []uint64 { return ids }, true},
		"empty":          {func([]uint64) []uint64 { return nil }, true},
		"beyond the end": {func(ids []uint64) []uint64 { return append(ids, 1<<54) }, false},
		"a meta page":    {func(ids []uint64) []uint64 { return append([]uint64{1}, ids...) }, false},
		"twice":          {func(ids []uint64) []uint64 { return append(ids[:1:1], ids...) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			editFreelist(t, path, func(_ uint64, ids []uint64) []uint64 { return tt.edit(ids) })
			if err := checkFile(path, time.Minute); (err == nil) != tt.good || err != nil && !isDamage(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// editFreelist changes the ids in a file's list of free pages; root is the
// page of the root bucket.
func editFreelist(t *testing.T, path string, edit func(root uint64, ids []uint64) []uint64) {
	t.Helper()
	mangle(t, path, func(b []byte) []byte {
		meta, err := newestMeta(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		page := b[binary.NativeEndian.Uint64(meta[metaFreelist:])*pageSize:]
		var ids []uint64
		for i := range int(binary.NativeEndian.Uint16(page[10:])) {
			ids = append(ids, binary.NativeEndian.Uint64(page[pageHeader+8*i:]))
		}
		if len(ids) == 0 {
			t.Fatal("the file has no free pages")
		}
		ids = edit(binary.NativeEndian.Uint64(meta[metaRoot:]), ids)
		binary.NativeEndian.PutUint16(page[10:], uint16(len(ids)))
		for i, id := range ids {
			binary.NativeEndian.PutUint64(page[pageHeader+8*i:], id)
		}
		return b
	})
}

// Whatever bits are flipped: no panic, every record that comes out is one
// that went in, and the account adds up.
func TestFlippedBits(t *testing.T) {
	path := filled(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	good = bytes.TrimRight(good, "\x00")
	rounds := 200
	if soaking() {
		rounds = 1000
	}
	rng := rand.New(rand.NewPCG(7, 7))
	for round := range rounds {
		dir := t.TempDir()
		path := filepath.Join(dir, "outbox.db")
		bad := append(bytes.Clone(good), make([]byte, 64<<10)...)
		for range 1 + rng.IntN(20) {
			bad[rng.IntN(len(good))] ^= 1 << rng.IntN(8)
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := Open(Options{Path: path})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		appendN(t, o, 2000, 10)
		for _, got := range drain(t, o) {
			if !bytes.HasPrefix([]byte(got), []byte(`{"seq":`)) || len(got) < 100 || got[len(got)-1] != '}' {
				t.Errorf("round %d: a damaged record came out: %q", round, got)
			}
		}
		checkAccount(t, o)
		if err := o.Close(); err != nil {
			t.Errorf("round %d: close: %v", round, err)
		}
	}
}

func TestDamagedBlockIsCountedAndSkipped(t *testing.T) {
	path := filled(t)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		bad := bytes.Clone(tx.Bucket(seqKey(1)).Get(chunkKey(0)))
		bad[len(bad)-5] ^= 1
		return tx.Bucket(seqKey(1)).Put(chunkKey(0), bad)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	o := open(t, path, nil)
	wantSeqs(t, drain(t, o), 100, 1900)
	if s := o.Stats(); s.Dropped[DroppedDamaged] != 100 || s.Stored != 0 {
		t.Errorf("account: %+v", s)
	}
}

// A file that breaks while it is open is replaced; what is in memory goes on.
func TestReplaceWhileRunning(t *testing.T) {
	path := filled(t)
	o := open(t, path, nil)
	b, _ := o.Take(50, 1<<20)
	appendN(t, o, 2000, 10)
	o.flushMu.Lock()
	old := o.db
	err := o.replace(errDamaged)
	o.flushMu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	checkAccount(t, o)
	if err := o.Ack(b); err != nil {
		t.Fatal(err)
	}
	flush(t, o)
	got := drain(t, o)
	wantSeqs(t, got[:len(got)-10], 50, len(got)-10)
	wantSeqs(t, got[len(got)-10:], 2000, 10)
	if s := o.Stats(); s.Dropped[DroppedDamaged] != 0 || s.Boot != 2 {
		t.Errorf("account: %+v", s)
	}
}

func FuzzDecodeBlock(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(encodeBlock([]*record{{data: []byte("a")}}))
	f.Add(encodeBlock([]*record{{data: []byte("a")}, {data: bytes.Repeat([]byte("b"), 300)}}))
	f.Add(bytes.Repeat([]byte{1}, 40))
	f.Fuzz(func(t *testing.T, v []byte) {
		if len(v) > 1<<20 {
			return
		}
		recs, err := decodeBlock(v, nil)
		if err != nil {
			return
		}
		var again []*record
		for _, r := range recs {
			again = append(again, &record{data: r})
		}
		back, err := decodeBlock(encodeBlock(again), nil)
		if err != nil || len(back) != len(recs) {
			t.Fatalf("does not come back: %v", err)
		}
	})
}
