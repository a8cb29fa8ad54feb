//go:build unix

package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// handOver gives path to the owner of the folder like: a command that root runs
// must not leave files that the agent cannot read.
func handOver(path, like string) {
	if os.Geteuid() != 0 {
		return
	}
	var s unix.Stat_t
	if unix.Stat(like, &s) == nil {
		_ = os.Lchown(path, int(s.Uid), int(s.Gid)) // whoever cannot read it says so
	}
}

// lock waits until no other process holds path.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
