package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"time"
)

// The layout of a bbolt file, version 2, in the machine's byte order: see
// internal/common/meta.go, page.go, inode.go and bucket.go of go.etcd.io/bbolt.
const (
	pageHeader    = 16 // id uint64, flags uint16, count uint16, overflow uint32
	leafElement   = 16 // flags, position, key and value lengths, each uint32
	branchElement = 16 // position, key length uint32, page uint64
	bucketHeader  = 16 // root page uint64 (0: the page follows), sequence uint64
	metaLen       = 64
	metaRoot      = 16
	metaFreelist  = 32
	metaPages     = 40 // the first page number beyond the file's end
	metaTxid      = 48
	metaSum       = 56 // FNV-64a of what is before it
	flagBranch    = 0x01
	flagLeaf      = 0x02
	flagFreelist  = 0x10
	elementBucket = 0x01
	countInIDs    = 0xffff // the number of ids is the first of them
)

// maxDepth is far more levels than a tree of any disk's size has.
const maxDepth = 32

// boltFile reads a bbolt file without bbolt, which believes what it finds: a
// page that is its own ancestor has it recurse until the process dies, and a
// free page beyond the end has it write there.
type boltFile struct {
	r     io.ReaderAt
	pages uint64
	meta  []byte
	seen  map[uint64]struct{}
	until time.Time // zero: no limit
}

// errTooLong: the time was up before anything was found wrong.
var errTooLong = errors.New("the check took too long")

// checkFile looks at all that bbolt will believe: the meta pages, the list of
// free pages, and the tree from its root. Within the time it finds nothing, or
// says what is damaged.
func checkFile(path string, limit time.Duration) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b := &boltFile{r: f, until: time.Now().Add(limit)}
	if b.meta, err = newestMeta(f); err != nil {
		return err
	}
	b.pages = binary.NativeEndian.Uint64(b.meta[metaPages:])
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if b.pages > uint64(info.Size())/pageSize {
		return fmt.Errorf("the file has %d bytes of %d pages: %w", info.Size(), b.pages, errDamaged)
	}
	if err := b.checkFreelist(); err != nil {
		return err
	}
	err = b.walk(func([]string, []byte, []byte) error { return nil }, nil)
	if errors.Is(err, errTooLong) {
		return nil // reads are guarded, and a broken tree is replaced when one meets it
	}
	return err
}

func (b *boltFile) checkFreelist() error {
	at := binary.NativeEndian.Uint64(b.meta[metaFreelist:])
	page, err := b.page(at)
	if err != nil {
		return fmt.Errorf("the list of free pages: %w", err)
	}
	count, ids := uint64(binary.NativeEndian.Uint16(page[10:])), page[pageHeader:]
	if count == countInIDs {
		count, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if binary.NativeEndian.Uint16(page[8:]) != flagFreelist || count > uint64(len(ids)/8) {
		return fmt.Errorf("the list of free pages: %w", errDamaged)
	}
	last := uint64(1)
	for ids = ids[:8*count]; len(ids) > 0; ids = ids[8:] {
		id := binary.NativeEndian.Uint64(ids)
		if id <= last || id >= b.pages {
			return fmt.Errorf("free page %d after %d, of %d: %w", id, last, b.pages, errDamaged)
		}
		last = id
	}
	return nil
}

// newestMeta is the valid one of the two meta pages that was written last.
func newestMeta(f io.ReaderAt) (newest []byte, err error) {
	for page := range int64(2) {
		buf := make([]byte, metaLen)
		if _, err := f.ReadAt(buf, page*pageSize+pageHeader); err != nil {
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
	if size := binary.NativeEndian.Uint32(newest[8:]); size != pageSize {
		return nil, fmt.Errorf("pages of %d bytes: %w", size, errDamaged)
	}
	return newest, nil
}

// page reads a page with what overflows into those after it.
func (b *boltFile) page(id uint64) ([]byte, error) {
	if id < 2 || id >= b.pages {
		return nil, fmt.Errorf("page %d of %d: %w", id, b.pages, errDamaged)
	}
	page := make([]byte, pageSize)
	if _, err := b.r.ReadAt(page, int64(id)*pageSize); err != nil {
		return nil, fmt.Errorf("read page %d: %w", id, err)
	}
	over := uint64(binary.NativeEndian.Uint32(page[12:]))
	if binary.NativeEndian.Uint64(page) != id || over >= b.pages-id || over > maxBlock/pageSize {
		return nil, fmt.Errorf("page %d: %w", id, errDamaged)
	}
	if over > 0 {
		page = append(page, make([]byte, over*pageSize)...)
		if _, err := b.r.ReadAt(page[pageSize:], int64(id+1)*pageSize); err != nil {
			return nil, fmt.Errorf("read page %d: %w", id, err)
		}
	}
	return page, nil
}

// walk calls item for every key and value, in order, with the names of the
// buckets around it; they are valid only during the call. A page that is
// damaged ends it, or is given to skip (when not nil) and left out.
func (b *boltFile) walk(item func(bucket []string, k, v []byte) error, skip func(error)) error {
	b.seen = map[uint64]struct{}{}
	return b.tree(nil, binary.NativeEndian.Uint64(b.meta[metaRoot:]), 0, item, skip)
}

func (b *boltFile) tree(bucket []string, id uint64, depth int, item func([]string, []byte, []byte) error, skip func(error)) error {
	page, err := b.page(id)
	if err == nil {
		err = b.visit(id, page, depth)
	}
	if err == nil {
		if flags := binary.NativeEndian.Uint16(page[8:]); flags == flagLeaf {
			return b.leaf(bucket, page, depth, item, skip)
		} else if flags != flagBranch {
			err = fmt.Errorf("page %d has the flags %#x: %w", id, flags, errDamaged)
		}
	}
	if err != nil {
		return orSkip(err, skip)
	}
	for i := range int(binary.NativeEndian.Uint16(page[10:])) {
		at := pageHeader + i*branchElement
		if at+branchElement > len(page) {
			return orSkip(fmt.Errorf("page %d: %w", id, errDamaged), skip)
		}
		pos, klen := binary.NativeEndian.Uint32(page[at:]), binary.NativeEndian.Uint32(page[at+4:])
		if _, err := part(page, at, pos, klen); err != nil {
			if err := orSkip(err, skip); err != nil {
				return err
			}
			continue
		}
		if err := b.tree(bucket, binary.NativeEndian.Uint64(page[at+8:]), depth+1, item, skip); err != nil {
			return err
		}
	}
	return nil
}

// visit refuses a page that the tree holds twice.
func (b *boltFile) visit(id uint64, page []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d is %d levels deep: %w", id, depth, errDamaged)
	}
	if !b.until.IsZero() && time.Now().After(b.until) {
		return errTooLong
	}
	for i := range uint64(len(page) / pageSize) {
		if _, twice := b.seen[id+i]; twice {
			return fmt.Errorf("page %d is in the tree twice: %w", id+i, errDamaged)
		}
		b.seen[id+i] = struct{}{}
	}
	return nil
}

func (b *boltFile) leaf(bucket []string, page []byte, depth int, item func([]string, []byte, []byte) error, skip func(error)) error {
	for i := range int(binary.NativeEndian.Uint16(page[10:])) {
		at := pageHeader + i*leafElement
		if at+leafElement > len(page) {
			return orSkip(fmt.Errorf("leaf with %d elements: %w", i, errDamaged), skip)
		}
		flags, pos := binary.NativeEndian.Uint32(page[at:]), binary.NativeEndian.Uint32(page[at+4:])
		klen, vlen := binary.NativeEndian.Uint32(page[at+8:]), binary.NativeEndian.Uint32(page[at+12:])
		k, err := part(page, at, pos, klen)
		var v []byte
		if err == nil {
			v, err = part(page, at, pos+klen, vlen)
		}
		switch {
		case err != nil:
		case flags == 0:
			err = item(bucket, k, v)
			if err != nil {
				return err
			}
		case flags == elementBucket && len(v) >= bucketHeader:
			name := append(bucket[:len(bucket):len(bucket)], string(k))
			if root := binary.NativeEndian.Uint64(v); root != 0 {
				err = b.tree(name, root, depth+1, item, skip)
			} else if inline := v[bucketHeader:]; depth > maxDepth || len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != flagLeaf {
				err = fmt.Errorf("bucket %q: %w", k, errDamaged)
			} else {
				err = b.leaf(name, inline, depth+1, item, skip)
			}
		default:
			err = fmt.Errorf("leaf element with the flags %#x: %w", flags, errDamaged)
		}
		if err != nil {
			if err := orSkip(err, skip); err != nil {
				return err
			}
		}
	}
	return nil
}

// part is n bytes of the page, pos bytes behind an element.
func part(page []byte, at int, pos, n uint32) ([]byte, error) {
	from := uint64(at) + uint64(pos)
	to := from + uint64(n)
	if to > uint64(len(page)) {
		return nil, fmt.Errorf("element beyond its page: %w", errDamaged)
	}
	return page[from:to:to], nil
}

// orSkip passes damage to skip; anything else ends the walk.
func orSkip(err error, skip func(error)) error {
	if skip == nil || !errors.Is(err, errDamaged) && !errors.Is(err, io.EOF) {
		return err
	}
	skip(err)
	return nil
}
