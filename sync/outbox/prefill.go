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

// prefillMore keeps zeros ahead of what is used. It is called with flushMu
// held, after a commit.
func (o *Outbox) prefillMore(now time.Time) (written int64) {
	var used int64
	err := guard(func() error {
		return o.db.View(func(tx *bolt.Tx) error {
			used = tx.Size()
			return nil
		})
	})
	info, e := os.Stat(o.opts.Path)
	if err = errors.Join(err, e); err != nil || now.Before(o.growAfter) {
		return 0
	}
	size := info.Size()
	if size-used >= spareBytes || size >= o.opts.MaxBytes {
		return 0
	}
	if err := prefill(o.opts.Path, size+growBytes); err != nil {
		o.growAfter = now.Add(growAgain)
		return 0
	}
	return growBytes
}

// prefill writes zeros behind a file's end up to the size, or leaves it as it
// was. Nothing depends on it but the wear.
func prefill(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	zeros := make([]byte, 64<<10)
	for at := info.Size(); at < size && err == nil; at += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		err = errors.Join(err, f.Truncate(info.Size()))
	}
	return errors.Join(err, f.Close())
}
