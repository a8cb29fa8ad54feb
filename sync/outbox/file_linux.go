package outbox

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// lockHolder finds the process that holds a file's lock in /proc/locks. Zero
// means unknown (another user's container, for instance).
func lockHolder(path string) (pid int) {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	f, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer f.Close()
	inode := fmt.Sprintf(":%d", st.Ino)
	for sc := bufio.NewScanner(f); sc.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
		w := strings.Fields(sc.Text())
		if len(w) >= 6 && w[1] == "FLOCK" && strings.HasSuffix(w[5], inode) {
			if _, err := fmt.Sscan(w[4], &pid); err == nil && pid > 0 {
				return pid
			}
		}
	}
	return 0
}

// allocated is what a file takes on disk: less than its size when it has holes.
func allocated(info os.FileInfo) int64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.Size()
	}
	return st.Blocks * 512
}
