package outbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// element is where in the file, which has a leaf as its root, a block's element
// begins, and where its value does.
func element(t *testing.T, path string, first uint64) (at, value int64) {
	t.Helper()
	buf, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	meta, err := newestMeta(f)
	if err != nil {
		t.Fatal(err)
	}
	root := binary.NativeEndian.Uint64(meta[metaRoot:]) * pageSize
	for i := range uint64(binary.NativeEndian.Uint16(buf[root+10:])) {
		at := root + pageHeader + i*leafElement
		key := at + uint64(binary.NativeEndian.Uint32(buf[at+4:]))
		if n := uint64(binary.NativeEndian.Uint32(buf[at+8:])); string(buf[key:key+n]) == string(seqKey(first)) {
			return int64(at), int64(key + n)
		}
	}
	t.Fatalf("block %d is not in the file's root", first)
	return 0, 0
}

// poke overwrites bytes of a file.
func poke(t *testing.T, path string, at int64, b ...byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, at)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// What breaks in a file after it was opened costs one block, whatever it says of
// itself, and no more.
func TestDamageUnderAnOpenOutbox(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"a name's length": func(t *testing.T, path string) {
			at, _ := element(t, path, 501)
			poke(t, path, at+8, 9)
		},
		"a bucket's flag": func(t *testing.T, path string) {
			at, _ := element(t, path, 501)
			poke(t, path, at, 0)
		},
		"a block's number of records": func(t *testing.T, path string) {
			_, value := element(t, path, 501)
			buf, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			page := int64(binary.NativeEndian.Uint64(buf[value:])) * pageSize
			if binary.NativeEndian.Uint16(buf[page+8:]) == flagBranch {
				page = int64(binary.NativeEndian.Uint64(buf[page+pageHeader+8:])) * pageSize
			}
			chunk := page + pageHeader + int64(binary.NativeEndian.Uint32(buf[page+pageHeader+4:])) + chunkKeyLen
			poke(t, path, chunk+6, buf[chunk+6]^0x20) // 8,192 more
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			o := open(t, path, nil)
			damage(t, path)
			got := drain(t, o)
			flush(t, o) // may replace the file
			got = append(got, drain(t, o)...)
			wantSeqs(t, got[:500], 0, 500)
			wantSeqs(t, got[500:], 600, 1400)
			if s := o.Stats(); s.Dropped[DroppedDamaged] != 100 || s.Stored != 0 {
				t.Errorf("account: %+v", s)
			}
			checkAccount(t, o)
		})
	}
}

// A transaction can be in the file although it gave an error: its last fsync
// failed. The next one writes the same blocks again.
func TestCommitThatFailedAtItsEnd(t *testing.T) {
	o := open(t, tempPath(t), nil)
	appendN(t, o, 0, 10)
	p, _ := o.plan()
	if err := o.db.Update(p.write); err != nil {
		t.Fatal(err)
	}
	o.settle(p, syscall.EIO)
	appendN(t, o, 10, 5)
	flush(t, o)
	wantSeqs(t, drain(t, o), 0, 15)
	checkAccount(t, o)
}

// A file in which all blocks lie in one bucket, as before, is set aside and all
// of it is saved.
func TestFormer(t *testing.T) {
	path := tempPath(t)
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: pageSize})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		meta, err := tx.CreateBucket(bucketMeta)
		blocks, err2 := tx.CreateBucket([]byte("blocks"))
		done, err3 := tx.CreateBucket(bucketDone)
		if err := errors.Join(err, err2, err3); err != nil {
			return err
		}
		for first := uint64(1); first < 300; first += 100 {
			var recs []*record
			for i := range 100 {
				recs = append(recs, &record{data: rec(int(first) - 1 + i)})
			}
			blob := encodeBlock(recs)
			for i := 0; len(blob) > 0; i++ {
				n := min(len(blob), 1000)
				if err := blocks.Put(append(seqKey(first), chunkKey(i)...), blob[:n]); err != nil {
					return err
				}
				blob = blob[n:]
			}
		}
		marks := newBitmap(100)
		marks.set(0)
		acc, err := json.Marshal(account{Format: 1, Boot: 7, Produced: 300, Acknowledged: 1, Stored: 299, NextSeq: 301})
		return errors.Join(err, done.Put(seqKey(1), marks), meta.Put(keyAccount, append([]byte(accountSum(acc)+" "), acc...)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	o := open(t, path, nil)
	if s := o.Stats(); o.Boot() != 8 || s.Stored != 299 || s.Produced != 300 || len(s.Dropped) > 0 {
		t.Errorf("boot %d, account %+v", o.Boot(), s)
	}
	wantSeqs(t, drain(t, o), 1, 299)
	checkAccount(t, o)
}
