package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A block holds many records, compressed together: predictions repeat almost
// everything, so that a record takes a tenth of its bytes. It is known by the
// sequence number of its first record.
//
//	byte 0      format, 2
//	bytes 1-4   CRC-32C of all that follows, little-endian
//	bytes 5-8   number of records
//	bytes 9-12  sum of their lengths
//	then a Zstandard frame (RFC 8878) of, per record, its length as uvarint
//	and its bytes
//
// bbolt checks its meta pages only, so the block brings its own checksum: a
// flipped bit must be counted as damage, not published as a prediction.
//
// It lies in the file in chunks: bbolt's pages have at least two keys, so large
// values would leave much of the last one empty.
const (
	blockFormat = 2
	blockHeader = 13
	// blockBytes is how many record bytes go into one block, at most, unless
	// the first record alone has more.
	blockBytes = 256 << 10
	// chunkBytes has three chunks with their keys fill a page.
	chunkBytes = (pageSize-pageHeader)/3 - leafElement - chunkKeyLen
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errDamaged = errors.New("damaged")
)

// The compressor's tables take a megabyte or two: none is made before the
// first flush of something.
var (
	compressor = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(blockBytes), zstd.WithEncoderCRC(false))
		if err != nil {
			panic(err) // the options are constants
		}
		return e
	})
	decompressor = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxBlock))
		if err != nil {
			panic(err)
		}
		return d
	})
)

// maxBlock bounds what a block may unpack to: one record more than it holds.
const maxBlock = 1 << 30

// encodeBlock packs records, which must not be empty.
func encodeBlock(recs []*record) []byte {
	sum := 0
	for _, r := range recs {
		sum += len(r.data)
	}
	raw := make([]byte, 0, sum+len(recs)*3)
	for _, r := range recs {
		raw = binary.AppendUvarint(raw, uint64(len(r.data)))
		raw = append(raw, r.data...)
	}
	buf := make([]byte, blockHeader, blockHeader+len(raw)/4)
	buf[0] = blockFormat
	binary.LittleEndian.PutUint32(buf[5:], uint32(len(recs)))
	binary.LittleEndian.PutUint32(buf[9:], uint32(sum))
	buf = compressor().EncodeAll(raw, buf)
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
	if count == 0 || count > bytes || bytes > maxBlock {
		return 0, 0, fmt.Errorf("block header: %w", errDamaged)
	}
	return count, bytes, nil
}

// decodeBlock unpacks a block. The records share memory of their own, which is
// m's, if there is one.
func decodeBlock(v []byte, m *memory) ([][]byte, error) {
	if m == nil {
		m = new(memory)
	}
	count, bytes, err := blockSize(v)
	if err != nil {
		return nil, err
	}
	if crc32.Checksum(v[5:], castagnoli) != binary.LittleEndian.Uint32(v[1:]) {
		return nil, fmt.Errorf("block checksum: %w", errDamaged)
	}
	if n := min(bytes+3*count, 1<<20); cap(m.raw) < n {
		m.raw = make([]byte, 0, n)
	}
	m.raw, err = decompressor().DecodeAll(v[blockHeader:], m.raw[:0])
	if err != nil {
		return nil, fmt.Errorf("block content: %w: %w", errDamaged, err)
	}
	rest := m.raw
	if len(rest) < bytes+count {
		return nil, fmt.Errorf("block length: %w", errDamaged)
	}
	m.datas = slices.Grow(m.datas[:0], count)
	for range count {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return nil, fmt.Errorf("block record: %w", errDamaged)
		}
		rest = rest[used:]
		m.datas = append(m.datas, rest[:n:n])
		rest = rest[n:]
		bytes -= int(n)
	}
	if bytes != 0 || len(rest) != 0 {
		return nil, fmt.Errorf("block length: %w", errDamaged)
	}
	return m.datas, nil
}

// bitmap marks the records of a block that are done (acknowledged or dropped)
// while others of the same block are not.
type bitmap []byte

func newBitmap(count int) bitmap { return make(bitmap, (count+7)/8) }

func (b bitmap) set(i int) { b[i/8] |= 1 << (i % 8) }

// has is false beyond the end: no bitmap means that none is done.
func (b bitmap) has(i int) bool { return i/8 < len(b) && b[i/8]&(1<<(i%8)) != 0 }
