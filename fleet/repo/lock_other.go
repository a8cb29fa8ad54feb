//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || windows)

package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// lock makes a file that must not be there. A crash leaves it behind: only
// where there is no portable lock that the system gives back.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: if none does, remove %s", ErrLocked, path)
	}
	if err != nil {
		return nil, err
	}
	return func() error { return errors.Join(f.Close(), os.Remove(path)) }, nil
}
