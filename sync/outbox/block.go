package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A block is one bbolt value that holds many records, stored under the
// sequence number of its first. One value per flush instead of one per record
// costs the flash a tenth (a page is the least that bbolt writes).
//
//	byte 0      format, 1
//	bytes 1-4   CRC-32C of all that follows, little-endian
//	bytes 5-8   number of records
//	bytes 9-12  sum of their lengths
//	then, per record, its length as uvarint and its bytes
//
// bbolt checks its meta pages only, so the block brings its own checksum: a
// flipped bit must be counted as damage, not published as a prediction.
const (
	blockFormat = 1
	blockHeader = 13
	// blockBytes is how many record bytes go into one block, at most. Small
	// enough that reading one is cheap, large enough to fill pages.
	blockBytes = 64 << 10
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errDamaged = errors.New("damaged")
)

// encodeBlock packs records, which must not be empty.
func encodeBlock(recs []*record) []byte {
	var sum int
	for _, r := range recs {
		sum += len(r.data)
	}
	buf := make([]byte, blockHeader, blockHeader+sum+len(recs)*3)
	buf[0] = blockFormat
	binary.LittleEndian.PutUint32(buf[5:], uint32(len(recs)))
	binary.LittleEndian.PutUint32(buf[9:], uint32(sum))
	for _, r := range recs {
		buf = binary.AppendUvarint(buf, uint64(len(r.data)))
		buf = append(buf, r.data...)
	}
	binary.LittleEndian.PutUint32(buf[1:], crc32.Checksum(buf[5:], castagnoli))
	return buf
}

// blockSize reads a block's header: how many records, how many bytes of them.
func blockSize(v []byte) (count, bytes int, err error) {
	if len(v) < blockHeader {
		return 0, 0, fmt.Errorf("block of %d bytes: %w", len(v), errDamaged)
	}
	if v[0] != blockFormat {
		return 0, 0, fmt.Errorf("block format %d: %w", v[0], errDamaged)
	}
	count = int(binary.LittleEndian.Uint32(v[5:]))
	bytes = int(binary.LittleEndian.Uint32(v[9:]))
	if count == 0 || count > len(v)-blockHeader || bytes > len(v)-blockHeader {
		return 0, 0, fmt.Errorf("block header: %w", errDamaged)
	}
	return count, bytes, nil
}

// decodeBlock unpacks a block. The records point into v.
func decodeBlock(v []byte) ([][]byte, error) {
	count, bytes, err := blockSize(v)
	if err != nil {
		return nil, err
	}
	if crc32.Checksum(v[5:], castagnoli) != binary.LittleEndian.Uint32(v[1:]) {
		return nil, fmt.Errorf("block checksum: %w", errDamaged)
	}
	recs := make([][]byte, 0, count)
	rest := v[blockHeader:]
	for range count {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return nil, fmt.Errorf("block record: %w", errDamaged)
		}
		rest = rest[used:]
		recs = append(recs, rest[:n:n])
		rest = rest[n:]
		bytes -= int(n)
	}
	if bytes != 0 || len(rest) != 0 {
		return nil, fmt.Errorf("block length: %w", errDamaged)
	}
	return recs, nil
}

// bitmap marks the records of a block that are done (acknowledged or dropped)
// while others of the same block are not.
type bitmap []byte

func newBitmap(count int) bitmap { return make(bitmap, (count+7)/8) }

func (b bitmap) set(i int) { b[i/8] |= 1 << (i % 8) }

// has is false beyond the end: no bitmap means that none is done.
func (b bitmap) has(i int) bool { return i/8 < len(b) && b[i/8]&(1<<(i%8)) != 0 }
