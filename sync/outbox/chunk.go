package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// A block is a bucket of the file's root, named by the block's first sequence
// number, big-endian, so that their order is the blocks'. A new one then costs
// its own pages and the path to the root's last leaf, where the account is
// too: blocks that shared a bucket would have the last of its leaves written
// again with each flush. A small one lies in the root's leaf itself.
//
// In the bucket are the block's chunks, by their place in it.
const (
	seqLen      = 8
	chunkKeyLen = 2
	maxChunks   = 1 << 16 // follows from the key
)

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func chunkKey(i int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(i)) }

// putBlock stores a block's bytes, in the place of what is there: a commit of
// which only the last fsync failed is in the file, and is tried again.
func putBlock(tx *bolt.Tx, first uint64, blob []byte) error {
	if err := deleteBlock(tx, first); err != nil {
		return err
	}
	b, err := tx.CreateBucket(seqKey(first))
	if err != nil {
		return fmt.Errorf("block %d: %w", first, err)
	}
	b.FillPercent = 1 // nothing is ever added
	for i := 0; len(blob) > 0; i++ {
		if i == maxChunks {
			return errors.New("block has too many chunks")
		}
		n := min(len(blob), chunkBytes)
		if err := b.Put(chunkKey(i), blob[:n]); err != nil {
			return err
		}
		blob = blob[n:]
	}
	return nil
}

// deleteBlock removes a block, if it is there.
func deleteBlock(tx *bolt.Tx, first uint64) error {
	err := tx.DeleteBucket(seqKey(first))
	switch {
	case errors.Is(err, bolterrors.ErrBucketNotFound):
		return nil
	case errors.Is(err, bolterrors.ErrIncompatibleValue):
		return fmt.Errorf("block %d is no bucket: %w", first, errDamaged)
	case err != nil:
		return fmt.Errorf("block %d: %w", first, err)
	}
	return nil
}

// isOther tells whether the name is that of a bucket that is no block.
func isOther(name []byte) bool {
	switch string(name) {
	case string(bucketMeta), string(bucketDone), string(bucketDead):
		return true
	}
	return false
}

// blockCursor walks blocks in order.
type blockCursor struct {
	tx   *bolt.Tx
	c    *bolt.Cursor
	k    []byte // the next block's
	next uint64 // no block may begin before it
	blob []byte
}

// seekBlock stands before the first block at or after seq.
func seekBlock(tx *bolt.Tx, seq uint64) *blockCursor {
	c := &blockCursor{tx: tx, c: tx.Cursor(), next: seq}
	c.k, _ = c.c.Seek(seqKey(seq))
	return c
}

// read gives a block and copies its bytes, or its header only, which stay until
// the next call; ok is false at the end. A name out of its place is an error:
// nothing behind it can be trusted.
func (c *blockCursor) read(headerOnly bool) (first uint64, blob []byte, ok bool, err error) {
	if c.k == nil || isOther(c.k) { // these come behind all blocks
		return 0, nil, false, nil
	}
	if len(c.k) != seqLen {
		return 0, nil, false, fmt.Errorf("a bucket with a name of %d bytes: %w", len(c.k), errDamaged)
	}
	first = binary.BigEndian.Uint64(c.k)
	b := c.tx.Bucket(c.k)
	if first < c.next || b == nil {
		return 0, nil, false, fmt.Errorf("block %d where %d or later was sought: %w", first, c.next, errDamaged)
	}
	c.next = first + 1
	c.blob = c.blob[:0]
	i, chunks := 0, b.Cursor()
	for k, v := chunks.First(); k != nil; k, v = chunks.Next() {
		if len(k) != chunkKeyLen || int(binary.BigEndian.Uint16(k)) != i {
			return 0, nil, false, fmt.Errorf("block %d has no chunk %d: %w", first, i, errDamaged)
		}
		c.blob = append(c.blob, v...)
		if i++; headerOnly {
			break
		}
	}
	c.k, _ = c.c.Next()
	return first, c.blob, true, nil
}

// room is how many sequence numbers there are for a block, which was read last,
// before the next one; 0 when there is none.
func (c *blockCursor) room(first uint64) uint64 {
	if len(c.k) != seqLen {
		return 0
	}
	return binary.BigEndian.Uint64(c.k) - first
}
