package outbox

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// The layout of a bbolt file, version 2, in the machine's byte order: see
// internal/common/meta.go, page.go and inode.go of go.etcd.io/bbolt.
const (
	pageHeader   = 16 // id uint64, flags uint16, count uint16, overflow uint32
	metaLen      = 64
	metaSum      = 56 // FNV-64a of what is before it
	metaTxid     = 48
	metaPages    = 40 // the first page number beyond the file's end
	metaFreelist = 32
	flagFreelist = 0x10
	countInIDs   = 0xffff // the number of ids is the first of them
)

// checkFreelist looks at the list of free pages, which bbolt believes: with an
// id beyond the end it writes to that place of the file, wherever it is.
func checkFreelist(path string, pageSize int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	meta, err := newestMeta(f, pageSize)
	if err != nil {
		return err
	}
	pages := binary.NativeEndian.Uint64(meta[metaPages:])
	at := binary.NativeEndian.Uint64(meta[metaFreelist:])
	if at < 2 || at >= pages {
		return fmt.Errorf("the list of free pages is on page %d of %d: %w", at, pages, errDamaged)
	}
	offset := int64(at) * int64(pageSize)
	head := make([]byte, pageHeader+8)
	if _, err := f.ReadAt(head, offset); err != nil {
		return fmt.Errorf("read the list of free pages: %w", err)
	}
	count := uint64(binary.NativeEndian.Uint16(head[10:]))
	offset += pageHeader
	if count == countInIDs {
		count = binary.NativeEndian.Uint64(head[pageHeader:])
		offset += 8
	}
	if binary.NativeEndian.Uint16(head[8:]) != flagFreelist || count > pages {
		return fmt.Errorf("the list of free pages: %w", errDamaged)
	}
	ids := make([]byte, 8*count)
	if _, err := f.ReadAt(ids, offset); err != nil {
		return fmt.Errorf("read the list of free pages: %w", err)
	}
	last := uint64(1)
	for ; len(ids) > 0; ids = ids[8:] {
		id := binary.NativeEndian.Uint64(ids)
		if id <= last || id >= pages {
			return fmt.Errorf("free page %d after %d, of %d: %w", id, last, pages, errDamaged)
		}
		last = id
	}
	return nil
}

// newestMeta is the valid one of the two meta pages that was written last.
func newestMeta(f io.ReaderAt, pageSize int) (newest []byte, err error) {
	for page := range int64(2) {
		buf := make([]byte, metaLen)
		if _, err := f.ReadAt(buf, page*int64(pageSize)+pageHeader); err != nil {
			return nil, fmt.Errorf("read meta page %d: %w", page, err)
		}
		sum := fnv.New64a()
		sum.Write(buf[:metaSum])
		if sum.Sum64() != binary.NativeEndian.Uint64(buf[metaSum:]) {
			continue
		}
		if newest == nil || binary.NativeEndian.Uint64(buf[metaTxid:]) > binary.NativeEndian.Uint64(newest[metaTxid:]) {
			newest = buf
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("both meta pages: %w", errDamaged)
	}
	return newest, nil
}
