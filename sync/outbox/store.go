package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	bucketMeta = []byte("meta")
	bucketDone = []byte("done") // first sequence of a block → its bitmap
	keyAccount = []byte("account")
)

// pageSize of new files. The system's own may be larger (16 KiB on a
// Raspberry Pi 5), and a page is the least that a commit writes.
const pageSize = 4096

// guard turns a panic of bbolt, or a fault on its memory map, into an error:
// both are what a damaged or shortened file looks like.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return fn()
}

// openBolt opens a file, saying ErrLocked when another process has it.
//
// The freelist is kept on disk although that costs a page per commit: without
// it bbolt rebuilds the list at open in a goroutine of its own, where a panic
// over a damaged page cannot be caught. Commits are always fsynced.
func openBolt(path string, wait time.Duration, readOnly bool) (db *bolt.DB, err error) {
	err = guard(func() error {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: wait, ReadOnly: readOnly, FreelistType: bolt.FreelistMapType, PageSize: pageSize,
		})
		return err
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, lockedError(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open outbox %q: %w", path, err)
	}
	return db, nil
}

// isDamage tells a file that cannot be used from one that could not be
// reached: only the former may be set aside.
func isDamage(err error) bool {
	var errno syscall.Errno
	var pathErr *os.PathError
	return err != nil && !errors.Is(err, ErrLocked) && !errors.As(err, &errno) && !errors.As(err, &pathErr)
}

// verify looks up every block and reads its header, so that a damaged tree is
// found at Open and not by the first flush. The records'
// bytes are not read: a block's checksum is compared when it is taken.
func verify(tx *bolt.Tx, acc account) error {
	var count, doneCount uint64
	for _, name := range [][]byte{bucketMeta, bucketDone} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("bucket %s is missing: %w", name, errDamaged)
		}
	}
	marks := tx.Bucket(bucketDone)
	for c := seekBlock(tx, 0); ; {
		first, header, ok, err := c.read(true)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		n, _, err := blockSize(header)
		if err != nil {
			return err
		}
		c.next = first + uint64(n)
		count += uint64(n)
		done := bitmap(marks.Get(seqKey(first)))
		for i := range n {
			if done.has(i) {
				doneCount++
			}
		}
	}
	if count-doneCount != acc.Stored {
		return fmt.Errorf("%d records where the account says %d: %w", count-doneCount, acc.Stored, errDamaged)
	}
	return nil
}

// readAccount reads what writeAccount wrote: the JSON behind its CRC-32C in
// eight hexadecimal digits, since a flipped bit in a digit is still JSON.
func readAccount(tx *bolt.Tx) (account, error) {
	b := tx.Bucket(bucketMeta)
	if b == nil {
		return account{}, fmt.Errorf("bucket meta is missing: %w", errDamaged)
	}
	acc, err := decodeAccount(b.Get(keyAccount))
	if err == nil && acc.Format != accountFormat {
		err = fmt.Errorf("a file of format %d, not %d: %w", acc.Format, accountFormat, errDamaged)
	}
	return acc, err
}

// accountFormat is the file's, too. In format 1 all blocks lay in one bucket:
// salvage still reads such a file.
const accountFormat = 2

func decodeAccount(v []byte) (account, error) {
	var acc account
	sum, buf, _ := bytes.Cut(v, []byte(" "))
	if string(sum) != accountSum(buf) {
		return acc, fmt.Errorf("account: checksum: %w", errDamaged)
	}
	if err := json.Unmarshal(buf, &acc); err != nil {
		return acc, fmt.Errorf("account: %w: %v", errDamaged, err)
	}
	if acc.Format < 1 || acc.Format > accountFormat {
		return acc, fmt.Errorf("account format %d: %w", acc.Format, errDamaged)
	}
	return acc, nil
}

func writeAccount(tx *bolt.Tx, acc account) error {
	acc.Format = accountFormat
	buf, err := json.Marshal(acc)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketMeta).Put(keyAccount, append([]byte(accountSum(buf)+" "), buf...))
}

func accountSum(buf []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(buf, castagnoli)) }

// startFile makes the buckets of a new file and checks an old one, which it
// does not write to.
func startFile(db *bolt.DB) (acc account, fresh bool, err error) {
	err = guard(func() error {
		err := db.View(func(tx *bolt.Tx) error {
			if k, _ := tx.Cursor().First(); k == nil {
				fresh = true
				return nil
			}
			if acc, err = readAccount(tx); err != nil {
				return err
			}
			return verify(tx, acc)
		})
		if err != nil || !fresh {
			return err
		}
		return db.Update(func(tx *bolt.Tx) error {
			for _, name := range [][]byte{bucketMeta, bucketDone} {
				if _, err := tx.CreateBucket(name); err != nil {
					return err
				}
			}
			acc = account{NextSeq: 1}
			return writeAccount(tx, acc)
		})
	})
	return acc, fresh, err
}

// stored is one block as it came from disk.
type stored struct {
	first        uint64
	count, bytes int // whole block
	live         int // records not done
	liveBytes    int
	recs         [][]byte // copies; nil when err is set
	blk          *block   // with its records in memory; set by unpack
	memory       *memory
	marks        bitmap
	err          error // the content is damaged
}

// readBlock reads the first block at or after seq. found is false at the end.
func readBlock(db *bolt.DB, seq uint64) (s stored, found bool, err error) {
	blocks, err := readBlocks(db, seq, 1, func() *memory { return nil })
	if err != nil || len(blocks) == 0 {
		return stored{}, false, err
	}
	return blocks[0], true, nil
}

// readBlocks reads the blocks at and after seq, until there are so many bytes
// of records or no more blocks. Each gets its memory from alloc, or has its own.
func readBlocks(db *bolt.DB, seq uint64, bytes int, alloc func() *memory) (blocks []stored, err error) {
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			marks := tx.Bucket(bucketDone)
			c := seekBlock(tx, seq)
			for bytes > 0 {
				first, blob, ok, err := c.read(false)
				if err != nil && len(blocks) > 0 {
					return nil // who reads on meets it
				}
				if err != nil || !ok {
					return err
				}
				s := stored{first: first, marks: append(bitmap(nil), marks.Get(seqKey(first))...), memory: alloc()}
				s.fill(blob)
				if room := c.room(first); room > 0 && s.err != nil {
					// What it says of itself may be as wrong as the rest.
					s.count, s.live = min(s.count, int(min(room, maxBlock))), min(s.live, int(min(room, maxBlock)))
				} else if s.err == nil {
					c.next = first + uint64(s.count)
				}
				blocks = append(blocks, s)
				bytes -= max(s.bytes, 1)
			}
			return nil
		})
	})
	return blocks, err
}

func (s *stored) fill(v []byte) {
	count, bytes, err := blockSize(v)
	if err != nil {
		s.err = err
		return
	}
	s.count, s.bytes, s.live, s.liveBytes = count, bytes, count, bytes
	recs, err := decodeBlock(v, s.memory)
	if err != nil {
		// How many bytes the done ones had is not known any more; the account
		// of bytes is put right when the last block goes.
		s.err = err
		for i := range count {
			if s.marks.has(i) {
				s.live--
			}
		}
		return
	}
	s.recs = recs
	for i, rec := range recs {
		if s.marks.has(i) {
			s.live--
			s.liveBytes -= len(rec)
		}
	}
}
