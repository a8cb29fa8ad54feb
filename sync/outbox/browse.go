package outbox

import (
	"encoding/binary"

	bolt "go.etcd.io/bbolt"
)

// Browse calls fn for stored records that are not acknowledged, as of the last
// flush, newest first and older than before (0: all), until fn gives false or
// so many blocks were read. rec is valid only during the call. next is where to
// go on, 0 at the end. It leases nothing and changes nothing; damaged blocks
// are passed over.
func (o *Outbox) Browse(before uint64, blocks int, fn func(seq uint64, rec []byte) bool) (next uint64, err error) {
	o.mu.Lock()
	db, closed := o.db, o.closed
	o.mu.Unlock()
	if closed {
		return 0, ErrClosed
	}
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			next = browse(tx, before, blocks, fn)
			return nil
		})
	})
	return next, err
}

func browse(tx *bolt.Tx, before uint64, blocks int, fn func(uint64, []byte) bool) (next uint64) {
	marks := tx.Bucket(bucketDone)
	if marks == nil {
		return 0
	}
	c := tx.Cursor()
	for k := lastBefore(c, before); k != nil; k, _ = c.Prev() {
		if len(k) != seqLen {
			continue // these come behind all blocks
		}
		first := binary.BigEndian.Uint64(k)
		if blocks--; blocks < 0 {
			return first + maxSeqs(tx, first, before)
		}
		_, blob, ok, err := seekBlock(tx, first).read(false)
		if err != nil || !ok {
			continue
		}
		recs, err := decodeBlock(blob, nil)
		if err != nil {
			continue
		}
		done := bitmap(marks.Get(k))
		for i := len(recs) - 1; i >= 0; i-- {
			seq := first + uint64(i)
			if before != 0 && seq >= before || done.has(i) {
				continue
			}
			if !fn(seq, recs[i]) {
				return seq
			}
		}
	}
	return 0
}

// lastBefore stands on the last name that may be of a block with records before
// seq; 0 is the last of all.
func lastBefore(c *bolt.Cursor, seq uint64) []byte {
	if seq == 0 {
		k, _ := c.Last()
		return k
	}
	if k, _ := c.Seek(seqKey(seq)); k == nil {
		k, _ = c.Last()
		return k
	}
	k, _ := c.Prev()
	return k
}

// maxSeqs is how many numbers a block has, as far as before.
func maxSeqs(tx *bolt.Tx, first, before uint64) uint64 {
	_, header, ok, err := seekBlock(tx, first).read(true)
	if err != nil || !ok {
		return 1
	}
	n, _, err := blockSize(header)
	if err != nil {
		return 1
	}
	if before != 0 {
		return min(uint64(n), before-first)
	}
	return uint64(n)
}
