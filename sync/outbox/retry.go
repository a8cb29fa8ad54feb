package outbox

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ErrNoLetter: there is no dead letter with such a number.
var ErrNoLetter = errors.New("no such dead letter")

// Retry puts dead letters back into a file's queue, as its newest records, so
// that one that is refused again holds up nothing that was there before. seqs
// are their numbers; none means all. They stop counting as dropped. It gives
// how many there were; with an error the file is as it was. The errors are
// those of Inspect, and ErrNoLetter.
func Retry(path string, seqs ...uint64) (n int, err error) {
	err = edit(path, func(tx *bolt.Tx) error {
		acc, err := readAccount(tx)
		if err != nil {
			return err
		}
		if err := verify(tx, acc); err != nil {
			return err
		}
		letters, err := takeLetters(tx, seqs)
		if err != nil || len(letters) == 0 {
			return err
		}
		n = len(letters)
		if err := requeue(tx, &acc, letters); err != nil {
			return err
		}
		return writeAccount(tx, acc)
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// takeLetters removes the letters from their bucket.
func takeLetters(tx *bolt.Tx, seqs []uint64) (letters []Letter, err error) {
	b := tx.Bucket(bucketDead)
	if b == nil && len(seqs) > 0 {
		return nil, fmt.Errorf("%d: %w", seqs[0], ErrNoLetter)
	} else if b == nil {
		return nil, nil
	}
	if len(seqs) == 0 {
		err = b.ForEach(func(k, v []byte) error {
			l, err := decodeLetter(k, slices.Clone(v))
			if err == nil { // what is damaged stays where it is
				letters = append(letters, l)
			}
			return nil
		})
	}
	slices.Sort(seqs)
	for _, seq := range slices.Compact(seqs) {
		v := b.Get(seqKey(seq))
		if v == nil {
			return nil, fmt.Errorf("%d: %w", seq, ErrNoLetter)
		}
		l, err := decodeLetter(seqKey(seq), slices.Clone(v))
		if err != nil {
			return nil, err
		}
		letters = append(letters, l)
	}
	for _, l := range letters {
		err = errors.Join(err, b.Delete(seqKey(l.Seq)))
	}
	return letters, err
}

// requeue writes letters as blocks of new numbers and counts them.
func requeue(tx *bolt.Tx, acc *account, letters []Letter) error {
	acc.NextSeq = max(acc.NextSeq, 1)
	for len(letters) > 0 {
		var recs []*record
		size := 0
		for _, l := range letters {
			if len(recs) > 0 && size+len(l.Record) > blockBytes {
				break
			}
			recs = append(recs, &record{data: l.Record})
			size += len(l.Record)
		}
		if err := putBlock(tx, acc.NextSeq, encodeBlock(recs)); err != nil {
			return err
		}
		letters = letters[len(recs):]
		n := uint64(len(recs))
		acc.NextSeq += n
		acc.Stored += n
		acc.StoredBytes += uint64(size)
		// A letter that the account does not know of is a new record to it.
		known := min(n, acc.Dropped[DroppedRefused])
		acc.Produced += n - known
		if known > 0 {
			acc.Dropped[DroppedRefused] -= known
		}
		if acc.Dropped[DroppedRefused] == 0 {
			delete(acc.Dropped, DroppedRefused)
		}
	}
	return nil
}

// edit changes a file that no agent has open. A damaged one is not touched:
// the agent's next start saves what it can.
func edit(path string, fn func(*bolt.Tx) error) error {
	if err := exists(path); err != nil {
		return err
	}
	db, err := openBolt(path, inspectWait, false)
	if err != nil {
		return asDamage(err)
	}
	if err = checkFile(path, time.Duration(math.MaxInt64)); err == nil {
		err = guard(func() error { return db.Update(fn) })
	}
	if err = errors.Join(err, guard(db.Close)); err != nil {
		return fmt.Errorf("change outbox %q: %w", path, err)
	}
	return nil
}
