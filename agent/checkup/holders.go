package checkup

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Holder is a process that has something open.
type Holder struct {
	PID  int
	Name string
}

func (h Holder) String() string { return fmt.Sprintf("%s (pid %d)", h.Name, h.PID) }

// Holders are the processes, this one left out, that have a file open, as far
// as this user may see.
func (d Device) Holders(path string) []Holder {
	return d.holders(d.resolve(path))
}

func (d Device) holders(target string) (list []Holder) {
	for _, proc := range d.glob("proc/[0-9]*") {
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil || pid == os.Getpid() && d.Root == "" {
			continue
		}
		for _, fd := range d.glob(proc + "/fd/*") {
			if to, err := os.Readlink(d.path(fd)); err == nil && to == target {
				list = append(list, Holder{PID: pid, Name: d.text(proc + "/comm")})
				break
			}
		}
	}
	return list
}

// Listener is who listens at a TCP port; ok is false when nobody does, and the
// name is empty when this user may not see whose it is.
func (d Device) Listener(port int) (h Holder, ok bool) {
	for _, table := range []string{"proc/net/tcp", "proc/net/tcp6"} {
		f, err := os.Open(d.path(table))
		if err != nil {
			continue
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			inode, found := listening(lines.Text(), port)
			if !found {
				continue
			}
			if all := d.holders("socket:[" + inode + "]"); len(all) > 0 {
				return all[0], true
			}
			ok = true
		}
	}
	return Holder{}, ok
}

// listening reads a line of /proc/net/tcp: slot, local address, remote address,
// state (0A listens), …, inode as the tenth word.
func listening(line string, port int) (inode string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != "0A" {
		return "", false
	}
	_, text, _ := strings.Cut(f[1], ":")
	b, err := hex.DecodeString(text)
	return f[9], err == nil && len(b) == 2 && int(b[0])<<8|int(b[1]) == port
}
