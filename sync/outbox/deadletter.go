package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A dead letter is a record that the other side will not take, kept for a
// person to look at. Its key is its sequence number, big-endian:
//
//	byte 0       format, 1
//	bytes 1-4    CRC-32C of the key and all that follows, little-endian
//	bytes 5-12   when it was refused, nanoseconds since 1970
//	bytes 13-14  length of the reason
//	then the reason and the record
const (
	letterFormat = 1
	letterHeader = 15
	maxReason    = 500
)

// Dead letters are for looking at, not a second queue: the oldest make room.
const (
	maxLetters     = 1000
	maxLetterBytes = 4 << 20
)

var bucketDead = []byte("dead")

// Letter is a dead letter.
type Letter struct {
	Seq    uint64
	Time   time.Time // when it was refused
	Reason string
	Record []byte
}

// Refuse takes the records of b out of the queue for good and keeps them as
// dead letters, of which there are at most 1,000 and 4 MiB: the oldest go
// first. They count as dropped, with the reason "refused". The next flush
// writes them, in the same transaction as the account.
func (o *Outbox) Refuse(b Batch, reason string) error {
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return ErrClosed
	}
	now := time.Now()
	for _, r := range b.end() {
		o.leasedN--
		o.letters = append(o.letters, Letter{Seq: r.seq, Time: now, Reason: reason, Record: bytes.Clone(r.data)})
		o.acc.Dropped[DroppedRefused]++
		o.finish(r)
	}
	o.letters = newestLetters(o.letters)
	o.held.trim()
	o.stored.trim()
	return nil
}

// newestLetters keeps the bounds.
func newestLetters(ls []Letter) []Letter {
	size := 0
	for i := len(ls) - 1; i >= 0; i-- {
		size += letterHeader + len(ls[i].Reason) + len(ls[i].Record)
		if len(ls)-i > maxLetters || size > maxLetterBytes {
			return append([]Letter(nil), ls[i+1:]...)
		}
	}
	return ls
}

func encodeLetter(l Letter) []byte {
	buf := make([]byte, letterHeader, letterHeader+len(l.Reason)+len(l.Record))
	buf[0] = letterFormat
	binary.LittleEndian.PutUint64(buf[5:], uint64(l.Time.UnixNano()))
	binary.LittleEndian.PutUint16(buf[13:], uint16(len(l.Reason)))
	buf = append(append(buf, l.Reason...), l.Record...)
	binary.LittleEndian.PutUint32(buf[1:], letterSum(seqKey(l.Seq), buf))
	return buf
}

func letterSum(k, v []byte) uint32 {
	return crc32.Update(crc32.Checksum(k, castagnoli), castagnoli, v[5:])
}

// decodeLetter shares v's memory.
func decodeLetter(k, v []byte) (Letter, error) {
	if len(k) != 8 || len(v) < letterHeader || v[0] != letterFormat {
		return Letter{}, fmt.Errorf("dead letter %x: %w", k, errDamaged)
	}
	n := int(binary.LittleEndian.Uint16(v[13:]))
	if letterSum(k, v) != binary.LittleEndian.Uint32(v[1:]) || n > len(v)-letterHeader {
		return Letter{}, fmt.Errorf("dead letter %d: checksum: %w", binary.BigEndian.Uint64(k), errDamaged)
	}
	return Letter{
		Seq:    binary.BigEndian.Uint64(k),
		Time:   time.Unix(0, int64(binary.LittleEndian.Uint64(v[5:]))).UTC(),
		Reason: string(v[letterHeader : letterHeader+n]),
		Record: v[letterHeader+n:],
	}, nil
}

// writeLetters adds to the bucket, which files of before do not have, and
// removes the oldest beyond the bounds.
func writeLetters(tx *bolt.Tx, ls []Letter) error {
	if len(ls) == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists(bucketDead)
	if err != nil {
		return fmt.Errorf("bucket dead: %w: %w", errDamaged, err)
	}
	for _, l := range ls {
		if err := b.Put(seqKey(l.Seq), encodeLetter(l)); err != nil {
			return err
		}
	}
	count, size := 0, 0
	var old [][]byte
	c := b.Cursor()
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		count++
		size += len(v)
		if count > maxLetters || size > maxLetterBytes {
			old = append(old, k)
		}
	}
	for _, k := range old {
		err = errors.Join(err, b.Delete(k))
	}
	return err
}

// DeadLetters calls fn for every dead letter of a file, oldest first, until fn
// gives an error, which it returns. The record is valid only during the call.
// It never changes the file; its errors are those of Inspect.
func DeadLetters(path string, fn func(Letter) error) error {
	return view(path, func(tx *bolt.Tx) error {
		if _, err := readAccount(tx); err != nil {
			return err
		}
		b := tx.Bucket(bucketDead)
		if b == nil {
			return nil // a file without any
		}
		return b.ForEach(func(k, v []byte) error {
			l, err := decodeLetter(k, v)
			if err != nil {
				return err
			}
			return fn(l)
		})
	})
}
