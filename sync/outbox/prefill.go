package outbox

import (
	"errors"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Where nothing was ever written, each commit has the file system allocate
// blocks, which costs as many pages in its journal as the commit itself. So a
// file has zeros where its next pages go.
const (
	// prefillBytes of a new file are written at once: an hour's predictions.
	prefillBytes = 4 << 20
	// growBytes are written when less than spareBytes of them are left.
	growBytes  = 256 << 10
	spareBytes = 128 << 10
	// growAgain is how long to wait after a failure, as on a full disk.
	growAgain = 10 * time.Minute
)

// prefillNew is for a file that has just been made.
func prefillNew(db *bolt.DB, opts Options) error {
	used, err := usedBytes(db)
	if err != nil {
		return err
	}
	return prefill(opts.Path, used, max(used, min(prefillBytes, opts.MaxBytes)))
}

// prefillMore keeps zeros ahead of what is used. It is called with flushMu
// held, after a commit, and gives how many bytes it wrote. Where the zeros end
// is not the file's end: bbolt makes it longer by megabytes when one commit needs
// more than there is.
func (o *Outbox) prefillMore(now time.Time) (written int64) {
	if now.Before(o.growAfter) {
		return 0
	}
	used, err := usedBytes(o.db)
	if err != nil {
		return 0 // who writes next meets it
	}
	from := max(used, o.zerosTo)
	if from-used >= spareBytes || from >= o.opts.MaxBytes {
		return 0
	}
	if err := prefill(o.opts.Path, from, from+growBytes); err != nil {
		o.growAfter = now.Add(growAgain)
		return 0
	}
	o.zerosTo = from + growBytes
	return growBytes
}

// zerosEnd is where the zeros of a file that was just opened end: at its own
// end, or, when it has holes, at once.
func zerosEnd(db *bolt.DB, path string) int64 {
	info, err := os.Stat(path)
	used, e := usedBytes(db)
	if errors.Join(err, e) != nil || allocated(info) < info.Size() {
		return used
	}
	return info.Size()
}

func usedBytes(db *bolt.DB) (n int64, err error) {
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			n = tx.Size()
			return nil
		})
	})
	return n, err
}

// prefill writes zeros to a file that ends at from or later, or leaves it as
// long as it was. Nothing depends on it but the wear.
func prefill(path string, from, to int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	zeros := make([]byte, 64<<10)
	for at := from; at < to && err == nil; at += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), to-at)], at)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil && to > info.Size() {
		err = errors.Join(err, f.Truncate(info.Size()))
	}
	return errors.Join(err, f.Close())
}
