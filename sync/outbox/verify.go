package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Verified is what Verify has read.
type Verified struct {
	Blocks, Records, DeadLetters uint64
	Account                      bool // it could be read
}

// Verify reads all of a file: the pages that bbolt believes, every block's and
// dead letter's checksum, and whether the account agrees with them. finding is
// called for each thing that is wrong. It never changes the file; its errors
// are ErrLocked, os.ErrNotExist and those of reading.
func Verify(path string, finding func(string)) (Verified, error) {
	var v Verified
	release, err := share(path)
	if errors.Is(err, errDamaged) {
		finding(err.Error())
		return v, nil
	} else if err != nil {
		return v, err
	}
	defer release()
	found := 0
	tell := func(text string) { found++; finding(text) }
	if err = verifyPages(path, tell); err == nil {
		err = v.content(path, tell)
	}
	if err == nil && found == 0 {
		_, err = Inspect(path) // what the agent's next start would find
	}
	if err != nil && !errors.Is(err, errDamaged) && !errors.Is(err, io.EOF) {
		return v, fmt.Errorf("read outbox %q: %w", path, err)
	}
	if err != nil {
		finding(err.Error())
	}
	return v, nil
}

// verifyPages looks at what lies around the tree.
func verifyPages(path string, finding func(string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b := &boltFile{r: f}
	if b.meta, err = newestMeta(f); err != nil {
		return err
	}
	b.pages = binary.NativeEndian.Uint64(b.meta[metaPages:])
	if b.pages > uint64(info.Size())/pageSize {
		finding(fmt.Sprintf("the file has %d bytes of %d pages: it was cut", info.Size(), b.pages))
	}
	if err := b.checkFreelist(); errors.Is(err, errDamaged) || errors.Is(err, io.EOF) {
		finding(err.Error())
	} else if err != nil {
		return err
	}
	return nil
}

// content reads the tree and what is in it.
func (v *Verified) content(path string, finding func(string)) error {
	var live, next uint64
	known := map[uint64]bool{}
	s := &salvager{each: func(first uint64, recs [][]byte, marks bitmap) error {
		known[first] = true
		v.Blocks++
		next = first + uint64(len(recs))
		for i := range recs {
			if !marks.has(i) {
				live++
			}
		}
		return nil
	}}
	s.lost = func(err error) { finding(err.Error()) }
	if err := s.read(path, time.Time{}, s.lost); err != nil {
		return err
	}
	v.Records, v.DeadLetters = live, uint64(len(s.letters))
	for first := range s.marks {
		if !known[first] {
			finding(fmt.Sprintf("marks of a block %d that is not there", first))
		}
	}
	if n := len(s.letters); n > 0 {
		next = max(next, s.letters[n-1].Seq+1)
	}
	v.account(s.saved.acc, next, finding)
	return nil
}

func (v *Verified) account(acc account, next uint64, finding func(string)) {
	if v.Account = acc.Format != 0; !v.Account {
		finding("the account cannot be read")
		return
	}
	sum := acc.Acknowledged + acc.Stored
	for _, n := range acc.Dropped {
		sum += n
	}
	if sum != acc.Produced {
		finding(fmt.Sprintf("the account does not add up: %d produced, but %d acknowledged, stored and dropped", acc.Produced, sum))
	}
	if acc.Stored != v.Records {
		finding(fmt.Sprintf("%d records where the account says %d", v.Records, acc.Stored))
	}
	if refused := acc.Dropped[DroppedRefused]; refused < v.DeadLetters {
		finding(fmt.Sprintf("%d dead letters where the account says that %d were refused", v.DeadLetters, refused))
	}
	if acc.NextSeq < next {
		finding(fmt.Sprintf("the next record would be number %d, which is taken", acc.NextSeq))
	}
}
