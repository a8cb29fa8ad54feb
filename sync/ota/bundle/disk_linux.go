package bundle

import (
	"syscall"
)

// freeBytes is what may still be written to a folder's file system.
func freeBytes(dir string) (n int64, ok bool) {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}
