// Package wholefile replaces small files so that a crash or a power cut at any
// moment leaves the old content or the new. It is not for files that several
// processes write at once.
package wholefile

import (
	"errors"
	"os"
)

// Write replaces the file, for its owner to read and write. What a crash leaves
// of the new content beside it (path.new), the next call overwrites.
func Write(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
