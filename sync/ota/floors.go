package ota

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// floors are the newest versions that were ever believed, and the latest time
// at which metadata was good.
type floors struct {
	Roles versions  `json:"roles"`
	Time  time.Time `json:"time"`
}

var (
	floorsBucket = []byte("ota")
	floorsKey    = []byte("floors")

	errDamaged = errors.New("the file is damaged")
)

// ledger keeps the floors on disk. They are read once: while it is open nobody
// else writes to its file, which another process cannot open.
type ledger struct {
	path string
	log  *slog.Logger
	db   *bbolt.DB
	fl   floors
}

// openLedger sets a damaged file aside and begins a new one without floors.
func openLedger(path string, log *slog.Logger) (*ledger, error) {
	l := &ledger{path: path, log: log}
	err := l.open()
	if errors.Is(err, errDamaged) {
		err = l.replace(err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	return l, nil
}

// guard turns a panic of bbolt, or a fault on its memory map, into an error:
// both are what a damaged or shortened file looks like.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return fn()
}

func (l *ledger) open() error {
	err := guard(func() (err error) {
		l.db, err = bbolt.Open(l.path, 0o600, &bbolt.Options{Timeout: time.Second})
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return ErrBusy
	case errors.As(err, new(syscall.Errno)), errors.As(err, new(*os.PathError)):
		return err // it could not be reached, which says nothing about what is in it
	case err != nil:
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return guard(l.read)
}

func (l *ledger) read() error {
	l.fl = floors{Roles: versions{}}
	return l.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(floorsBucket)
		if b == nil {
			return nil
		}
		fl, err := parseFloors(b.Get(floorsKey))
		if err == nil {
			l.fl = fl
		}
		return err
	})
}

// parseFloors reads what write wrote: the JSON behind its CRC-32 in eight
// hexadecimal digits, since a flipped bit in a version is still JSON.
func parseFloors(data []byte) (floors, error) {
	fl := floors{Roles: versions{}}
	sum, body, _ := bytes.Cut(data, []byte(" "))
	if string(sum) != checksum(body) {
		return floors{}, fmt.Errorf("%w: checksum", errDamaged)
	}
	if err := json.Unmarshal(body, &fl); err != nil {
		return floors{}, fmt.Errorf("%w: %v", errDamaged, err)
	}
	return fl, nil
}

func checksum(data []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(data)) }

// replace sets the file aside and begins another with the floors in memory.
//
// The damaged one is not closed: a panic may have left bbolt's locks taken, and
// closing would wait for them for ever. It costs a descriptor until the end.
func (l *ledger) replace(why error) error {
	aside := l.path + ".damaged"
	if err := os.Rename(l.path, aside); err != nil {
		return fmt.Errorf("%w, and cannot be set aside: %w", why, err)
	}
	l.log.Warn("the file of version floors is damaged and was set aside: the floors are those of the saved metadata, as far as there is any",
		"file", aside, "error", oneLine(why))
	fl := l.fl
	if err := l.open(); err != nil {
		return err
	}
	if l.fl = fl; fl.Roles == nil {
		l.fl.Roles = versions{}
	}
	return nil
}

// write makes these the floors.
func (l *ledger) write(fl floors) error {
	l.fl = fl // they hold in this process even when the disk takes nothing
	data, err := json.Marshal(fl)
	if err != nil {
		return fmt.Errorf("write version floors: %w", err)
	}
	data = append([]byte(checksum(data)+" "), data...)
	if err = l.put(data); errors.Is(err, errDamaged) {
		if err = l.replace(err); err == nil {
			err = l.put(data)
		}
	}
	if err != nil {
		return fmt.Errorf("write version floors: %w", err)
	}
	return nil
}

func (l *ledger) put(data []byte) error {
	return guard(func() error {
		return l.db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(floorsBucket)
			if err != nil {
				return err
			}
			return b.Put(floorsKey, data)
		})
	})
}

func (l *ledger) close() error { return guard(l.db.Close) }

// check refuses a version below its floor, unless other keys sign the role now.
func (fl floors) check(vs versions) error {
	for name, v := range vs {
		if low, ok := fl.Roles[name]; ok && low.Keys == v.Keys && v.Version < low.Version {
			return fmt.Errorf("%s version %d: %w (version %d)", name, v.Version, ErrRollback, low.Version)
		}
	}
	return nil
}

// raise returns the floors after vs was believed at that time.
func (fl floors) raise(vs versions, at time.Time) floors {
	next := floors{Roles: versions{}, Time: fl.Time}
	maps.Copy(next.Roles, fl.Roles)
	maps.Copy(next.Roles, vs)
	if at.After(next.Time) {
		next.Time = at
	}
	return next
}
