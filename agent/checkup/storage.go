package checkup

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Mount is where a folder lies.
type Mount struct {
	Point, Type, Source string
	ReadOnly            bool
}

// MountOf finds the mount of a folder in /proc/self/mountinfo; ok is false where
// there is none.
func (d Device) MountOf(dir string) (m Mount, ok bool) {
	for line := range strings.Lines(d.text("proc/self/mountinfo")) {
		// id parent major:minor root point options … - type source options
		before, after, found := strings.Cut(strings.TrimSpace(line), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !found || len(f) < 6 || len(g) < 2 {
			continue
		}
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(f[4])
		if within(dir, point) && len(point) >= len(m.Point) { // a later one hides an earlier one
			options := strings.Split(f[5], ",")
			if len(g) > 2 {
				options = append(options, strings.Split(g[2], ",")...)
			}
			m, ok = Mount{Point: point, Type: g[0], Source: g[1], ReadOnly: slices.Contains(options, "ro")}, true
		}
	}
	return m, ok
}

func within(path, dir string) bool {
	path = filepath.Clean(path)
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// Storage is what the state folder needs of its disk.
type Storage struct {
	Dir      string
	Free     *uint64 // bytes; nil: not known
	Outbox   int64   // what outbox.max_bytes allows the queue to take
	Taken    int64   // what the outbox's file takes already
	Budgeted bool    // outbox.flash_budget is set
}

// diskLow is the free space below which nothing works for long.
const diskLow = 16 << 20

// Storage tells whether the state folder keeps what is put there.
func (d Device) Storage(s Storage) Verdict {
	m, known := d.MountOf(s.Dir)
	free := ""
	if s.Free != nil {
		free = fmt.Sprintf(", %d MiB free", *s.Free>>20)
	}
	switch {
	case known && m.ReadOnly:
		return Verdict{Fail, fmt.Sprintf("%s is on %s, which is read-only: mount -o remount,rw %s, and dmesg says whether the disk is failing", s.Dir, m.Point, m.Point)}
	case s.Free != nil && *s.Free < diskLow:
		return Verdict{Fail, fmt.Sprintf("%s has %d MiB free: make room (journalctl --vacuum-size=50M, apt clean)", s.Dir, *s.Free>>20)}
	case known && (m.Type == "tmpfs" || m.Type == "ramfs"):
		return Verdict{Warn, fmt.Sprintf("%s is in memory (%s): nothing survives a restart of the machine; set state_dir to a folder on a disk", s.Dir, m.Type)}
	case known && m.Type == "overlay":
		return Verdict{Warn, fmt.Sprintf("%s is on an overlay, whose changes may be gone after a restart: give a container a volume there, and a Raspberry Pi a writable partition", s.Dir)}
	case s.Free != nil && int64(*s.Free) < s.Outbox-s.Taken:
		return Verdict{Warn, fmt.Sprintf("%s has %d MiB free and outbox.max_bytes may take %d MiB more: lower it, or make room", s.Dir, *s.Free>>20, (s.Outbox-s.Taken)>>20)}
	case known && strings.HasPrefix(m.Source, "/dev/mmcblk") && !s.Budgeted:
		free += ", on a card: outbox.flash_budget, such as 50MB/day, spares it"
	}
	return Verdict{OK, s.Dir + free}
}
