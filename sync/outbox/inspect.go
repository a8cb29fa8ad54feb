package outbox

import (
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// inspectWait is short: who asks sits at a terminal, and an agent that holds
// the file does not let go of it.
const inspectWait = 100 * time.Millisecond

// ErrDamaged is what the functions that read a file without an Outbox say of
// one that an Outbox would set aside.
var ErrDamaged = errDamaged

// Inspect reads a file's account. It never changes the file. The error is
// ErrLocked while an agent has it, os.ErrNotExist when there is none, and
// ErrDamaged.
func Inspect(path string) (Stats, error) {
	var acc account
	err := view(path, func(tx *bolt.Tx) (err error) {
		if acc, err = readAccount(tx); err != nil {
			return err
		}
		return verify(tx, acc)
	})
	return acc.stats(), err
}

// Summary is what Summarize tells of a file.
type Summary struct {
	Stats
	DeadLetters     uint64 // of Dropped["refused"]: those that are kept
	DeadLetterBytes uint64
	FileBytes       int64 // on disk
}

// Summarize is Inspect, with what is beside the queue.
func Summarize(path string) (Summary, error) {
	stats, err := Inspect(path)
	if err != nil {
		return Summary{}, err
	}
	s := Summary{Stats: stats}
	err = DeadLetters(path, func(l Letter) error {
		s.DeadLetters++
		s.DeadLetterBytes += uint64(len(l.Record))
		return nil
	})
	if err != nil {
		return Summary{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return Summary{}, fmt.Errorf("open outbox: %w", err)
	}
	s.FileBytes = info.Size()
	return s, nil
}

// Export calls fn for every stored record, oldest first, until fn gives an
// error, which it returns. rec is valid only during the call. It never changes
// the file; its errors are those of Inspect.
func Export(path string, fn func(seq uint64, rec []byte) error) error {
	return view(path, func(tx *bolt.Tx) error {
		if _, err := readAccount(tx); err != nil {
			return err
		}
		marks := tx.Bucket(bucketDone)
		if marks == nil {
			return fmt.Errorf("bucket %s is missing: %w", bucketDone, errDamaged)
		}
		for c := seekBlock(tx, 0); ; {
			first, blob, ok, err := c.read(false)
			if !ok {
				return err
			}
			if err := exportBlock(first, blob, marks.Get(seqKey(first)), fn); err != nil {
				return err
			}
		}
	})
}

func exportBlock(first uint64, blob []byte, marks bitmap, fn func(uint64, []byte) error) error {
	recs, err := decodeBlock(blob, nil)
	if err != nil {
		return fmt.Errorf("block %d: %w", first, err)
	}
	for i, rec := range recs {
		if marks.has(i) {
			continue
		}
		if err := fn(first+uint64(i), rec); err != nil {
			return err
		}
	}
	return nil
}

// exists: bbolt would make a file that is not there.
func exists(path string) error {
	if info, err := os.Stat(path); err != nil {
		return fmt.Errorf("open outbox: %w", err)
	} else if info.Size() == 0 {
		return fmt.Errorf("open outbox %q: the file is empty: %w", path, errDamaged)
	}
	return nil
}

// asDamage says ErrDamaged also where bbolt has its own words for it.
func asDamage(err error) error {
	if isDamage(err) && !errors.Is(err, errDamaged) {
		return fmt.Errorf("%w: %w", err, errDamaged)
	}
	return err
}

func view(path string, fn func(*bolt.Tx) error) error {
	if err := exists(path); err != nil {
		return err
	}
	db, err := openBolt(path, inspectWait, true)
	if err != nil {
		return asDamage(err)
	}
	// The error of closing a file that was only read says nothing of use.
	defer func() { _ = guard(db.Close) }()
	if err = checkFile(path, checkTime); err == nil {
		err = guard(func() error { return db.View(fn) })
	}
	if err != nil {
		return fmt.Errorf("read outbox %q: %w", path, err)
	}
	return nil
}
