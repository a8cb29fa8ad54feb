package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// A chunk's key is its block's first sequence number and its place in the
// block, both big-endian, so that the bucket's order is the blocks'.
const chunkKeyLen = 8 + 2

// maxChunks follows from the key.
const maxChunks = 1 << 16

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func chunkKey(first uint64, i int) []byte {
	return binary.BigEndian.AppendUint16(seqKey(first), uint16(i))
}

// putBlock stores a block's bytes.
func putBlock(b *bolt.Bucket, first uint64, blob []byte) error {
	for i := 0; len(blob) > 0; i++ {
		if i == maxChunks {
			return errors.New("block has too many chunks")
		}
		n := min(len(blob), chunkBytes)
		if err := b.Put(chunkKey(first, i), blob[:n]); err != nil {
			return err
		}
		blob = blob[n:]
	}
	return nil
}

// deleteBlock removes all chunks of a block.
func deleteBlock(b *bolt.Bucket, first uint64) error {
	c := b.Cursor()
	for i := range maxChunks {
		// Not Next: what it gives after a Delete is not defined.
		key := chunkKey(first, i)
		if k, _ := c.Seek(key); !bytes.Equal(k, key) {
			return nil
		}
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// blockCursor walks blocks in order.
type blockCursor struct {
	c    *bolt.Cursor
	k, v []byte // the next chunk
	prev []byte
	blob []byte
}

// seekBlock stands before the first block at or after seq.
func seekBlock(b *bolt.Bucket, seq uint64) *blockCursor {
	c := &blockCursor{c: b.Cursor()}
	c.k, c.v = c.c.Seek(seqKey(seq))
	return c
}

// next gives a block and copies its bytes, or its header only, which stay until
// the next call; ok is false at the end. A key out of its place is an error: nothing behind it can be
// trusted.
func (c *blockCursor) next(headerOnly bool) (first uint64, blob []byte, ok bool, err error) {
	c.blob = c.blob[:0]
	for i := 0; ; i++ {
		if i > 0 && (c.k == nil || !bytes.HasPrefix(c.k, seqKey(first))) {
			return first, c.blob, true, nil
		}
		if c.k == nil {
			return 0, nil, false, nil
		}
		if len(c.k) != chunkKeyLen || bytes.Compare(c.k, c.prev) <= 0 || int(binary.BigEndian.Uint16(c.k[8:])) != i {
			return 0, nil, false, fmt.Errorf("block key %x after %x: %w", c.k, c.prev, errDamaged)
		}
		first = binary.BigEndian.Uint64(c.k)
		if i == 0 || !headerOnly {
			c.blob = append(c.blob, c.v...)
		}
		c.prev = append(c.prev[:0], c.k...)
		c.k, c.v = c.c.Next()
	}
}
