package outbox

import (
	"errors"
	"os"
)

// prefillBytes is how much of a new file is written with zeros at once. Where
// nothing was ever written, each commit has the file system allocate blocks,
// which costs as many pages in its journal as the commit itself; this much
// holds the predictions of hours.
const prefillBytes = 4 << 20

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
