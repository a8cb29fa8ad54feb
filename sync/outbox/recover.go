package outbox

import (
	"errors"
	"fmt"
	"time"
)

// Recovered is what Recover found.
type Recovered struct {
	Records uint64 // given to fn
	// Missing is how many more the account says there are; zero also when the
	// account cannot be read.
	Missing uint64
	// Damage is the first of what could not be read; nil when all could.
	Damage error
}

// Recover is Export for a file that may be damaged, such as one that was set
// aside: it calls fn for every record that can be read, oldest first. Records
// whose marks are lost come although they were acknowledged. The error is for
// files of which nothing can be read, ErrLocked, os.ErrNotExist, and fn's.
func Recover(path string, fn func(seq uint64, rec []byte) error) (Recovered, error) {
	var r Recovered
	s := &salvager{each: func(first uint64, recs [][]byte, marks bitmap) error {
		for i, rec := range recs {
			if marks.has(i) {
				continue
			}
			r.Records++
			if err := fn(first+uint64(i), rec); err != nil {
				return err
			}
		}
		return nil
	}}
	err := readDamaged(path, s, &r)
	if stored := s.saved.acc.Stored; stored > r.Records {
		r.Missing = stored - r.Records
	}
	return r, err
}

// RecoverLetters is Recover for dead letters.
func RecoverLetters(path string, fn func(Letter) error) (Recovered, error) {
	var r Recovered
	s := &salvager{each: func(uint64, [][]byte, bitmap) error { return nil }}
	if err := readDamaged(path, s, &r); err != nil {
		return r, err
	}
	for _, l := range s.letters {
		r.Records++
		if err := fn(l); err != nil {
			return r, err
		}
	}
	return r, nil
}

func readDamaged(path string, s *salvager, r *Recovered) error {
	release, err := share(path)
	if err != nil {
		return err
	}
	defer release()
	s.lost = func(err error) {
		if r.Damage == nil {
			r.Damage = err
		}
	}
	if err := s.read(path, time.Time{}, s.lost); err != nil {
		return fmt.Errorf("read outbox %q: %w", path, err)
	}
	return nil
}

// share keeps agents from the file while it is read. One that bbolt cannot
// open is no agent's.
func share(path string) (release func(), err error) {
	if err := exists(path); err != nil {
		return nil, err
	}
	db, err := openBolt(path, inspectWait, true)
	switch {
	case err == nil:
		return func() { _ = guard(db.Close) }, nil
	case errors.Is(err, ErrLocked), !isDamage(err):
		return nil, err
	}
	return func() {}, nil
}
