package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// salvageTime bounds the saving of records from a damaged file: a device must
// not be kept from its work by what it did before. What is left stays in the
// file that was set aside.
const salvageTime = 10 * time.Second

// saved is what was read from a damaged file and is in the new one now.
type saved struct {
	acc     account // the old one's; zero when it could not be read
	records uint64  // that are not done
	bytes   uint64
	next    uint64 // the sequence number after the last
	letters uint64 // dead ones
}

// salvager copies blocks from a damaged file.
type salvager struct {
	db    *bolt.DB
	skip  func(first uint64) bool // blocks that are not wanted; nil: none
	saved saved
	marks map[uint64]bitmap
	// The block that is being put together: its chunks so far.
	first  uint64
	blob   []byte
	chunks int
	batch  []savedBlock
	size   int
	// each gets every block instead of db.
	each    func(first uint64, recs [][]byte, marks bitmap) error
	letters []Letter
	// lost gets what is damaged below the pages; nil: nobody asks.
	lost   func(error)
	orphan uint64 // the block of which only later chunks were found
}

type savedBlock struct {
	first uint64
	blob  []byte
	marks bitmap
}

// salvage copies every whole block of a damaged file into db. It reads around
// what is broken; the error says why there is no more, or nil.
func salvage(path string, db *bolt.DB, skip func(uint64) bool) (saved, error) {
	s := &salvager{db: db, skip: skip}
	var damage error
	err := s.read(path, time.Now().Add(salvageTime), func(err error) { damage = err })
	err = errors.Join(err, s.write(), s.writeLetters())
	if err == nil {
		err = damage
	}
	return s.saved, err
}

// read goes through a file that bbolt need not be able to open, until the time
// (zero: no limit). What is damaged is given to note and left out.
func (s *salvager) read(path string, until time.Time, note func(error)) error {
	s.marks = map[uint64]bitmap{}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b := &boltFile{r: f, until: until}
	if b.meta, err = newestMeta(f); err != nil {
		return err
	}
	b.pages = binary.NativeEndian.Uint64(b.meta[metaPages:])
	// The marks lie behind the blocks: they come first in a walk of their own,
	// which also meets whatever is broken.
	if err = b.walk(s.readMarks, note); err == nil {
		err = b.walk(s.readChunk, func(error) {})
	}
	return errors.Join(err, s.endBlock())
}

func (s *salvager) readMarks(bucket []string, k, v []byte) error {
	if len(bucket) != 1 {
		return nil
	}
	switch {
	case bucket[0] == string(bucketDone) && len(k) == 8:
		s.marks[binary.BigEndian.Uint64(k)] = bytes.Clone(v)
	case bucket[0] == string(bucketMeta) && string(k) == string(keyAccount):
		acc, err := decodeAccount(v)
		if err != nil {
			s.tell(err)
			return nil
		}
		s.saved.acc = acc
	case bucket[0] == string(bucketDead):
		if l, err := decodeLetter(k, bytes.Clone(v)); err != nil {
			s.tell(err)
		} else {
			s.letters = append(s.letters, l)
			if len(s.letters) > 2*maxLetters {
				s.letters = newestLetters(s.letters)
			}
		}
	}
	return nil
}

func (s *salvager) readChunk(bucket []string, k, v []byte) error {
	var first uint64
	var i int
	switch {
	case len(bucket) != 1 || isOther([]byte(bucket[0])):
		return nil
	case len(bucket[0]) == seqLen && len(k) == chunkKeyLen:
		first, i = binary.BigEndian.Uint64([]byte(bucket[0])), int(binary.BigEndian.Uint16(k))
	case bucket[0] == "blocks" && len(k) == seqLen+chunkKeyLen: // format 1
		first, i = binary.BigEndian.Uint64(k), int(binary.BigEndian.Uint16(k[seqLen:]))
	default:
		s.tell(fmt.Errorf("a bucket with a name of %d bytes, or a key of %d: %w", len(bucket[0]), len(k), errDamaged))
		return nil
	}
	if i == 0 {
		if err := s.endBlock(); err != nil {
			return err
		}
		s.first, s.blob, s.chunks = first, nil, 0
	}
	if first == s.first && i == s.chunks { // else a chunk before it is missing
		s.blob = append(s.blob, v...)
		s.chunks++
	} else if first != s.first && first != s.orphan {
		s.orphan = first
		s.tell(fmt.Errorf("block %d: its beginning is missing: %w", first, errDamaged))
	}
	return nil
}

// endBlock keeps the block if it is whole, which its checksum tells.
func (s *salvager) endBlock() error {
	blob := s.blob
	s.blob = nil
	if blob == nil {
		return nil // before the first
	}
	recs, err := decodeBlock(blob, nil)
	if err != nil {
		s.tell(fmt.Errorf("block %d: %w", s.first, err))
		return nil
	}
	if s.first < s.saved.next {
		s.tell(fmt.Errorf("block %d begins before the end of the one before it: %w", s.first, errDamaged))
		return nil
	}
	if s.skip != nil && s.skip(s.first) {
		return nil
	}
	marks := s.marks[s.first]
	for i, rec := range recs {
		if !marks.has(i) {
			s.saved.records++
			s.saved.bytes += uint64(len(rec))
		}
	}
	s.saved.next = s.first + uint64(len(recs))
	if s.each != nil {
		return s.each(s.first, recs, marks)
	}
	s.batch = append(s.batch, savedBlock{s.first, blob, marks})
	if s.size += len(blob); s.size >= 1<<20 {
		return s.write()
	}
	return nil
}

func (s *salvager) tell(err error) {
	if s.lost != nil {
		s.lost(err)
	}
}

func (s *salvager) write() error {
	batch := s.batch
	s.batch, s.size = nil, 0
	if len(batch) == 0 {
		return nil
	}
	return guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			done := tx.Bucket(bucketDone)
			for _, blk := range batch {
				if err := putBlock(tx, blk.first, blk.blob); err != nil {
					return err
				}
				if len(blk.marks) > 0 {
					if err := done.Put(seqKey(blk.first), blk.marks); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
}

func (s *salvager) writeLetters() error {
	if s.letters = newestLetters(s.letters); len(s.letters) == 0 {
		return nil
	}
	err := guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) error { return writeLetters(tx, s.letters) })
	})
	if err == nil {
		s.saved.letters = uint64(len(s.letters))
		for _, l := range s.letters {
			s.saved.next = max(s.saved.next, l.Seq+1)
		}
	}
	return err
}

// settle makes the account count what was saved as stored, and what was not as
// damaged.
func (a *account) settle(s saved) {
	switch {
	case s.records <= a.Stored:
		a.count(DroppedDamaged, a.Stored-s.records)
	case s.records-a.Stored <= a.Acknowledged: // their marks are lost: they come again
		a.Acknowledged -= s.records - a.Stored
	default:
		a.Produced += s.records - a.Stored
	}
	a.Stored, a.StoredBytes = s.records, s.bytes
	if n := s.letters; n > a.Dropped[DroppedRefused] { // the account is lost
		n -= a.Dropped[DroppedRefused]
		a.count(DroppedRefused, n)
		a.Produced += n
	}
	a.NextSeq = max(a.NextSeq, s.next, 1)
}

// sayWhat names the outcome for the log.
func (s saved) sayWhat(err error) string {
	if err != nil {
		return fmt.Sprintf("%d records and %d dead letters saved; the rest: %v", s.records, s.letters, err)
	}
	return fmt.Sprintf("%d records and %d dead letters saved", s.records, s.letters)
}
