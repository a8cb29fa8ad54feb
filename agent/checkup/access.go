package checkup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// account is a user with its groups, of the files in /etc.
type account struct {
	uid    uint32
	groups []uint32
}

// account finds a user; extra are groups that the unit gives it besides.
func (d Device) account(user string, extra []string) (a account, ok bool) {
	for line := range strings.Lines(d.text("etc/passwd")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) > 3 && f[0] == user {
			a.uid, ok = id(f[2]), true
			a.groups = append(a.groups, id(f[3]))
		}
	}
	for line := range strings.Lines(d.text("etc/group")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) > 3 && (slices.Contains(extra, f[0]) || slices.Contains(strings.Split(f[3], ","), user)) {
			a.groups = append(a.groups, id(f[2]))
		}
	}
	return a, ok
}

func id(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return ^uint32(0) // nobody's
	}
	return uint32(n)
}

// groupName is a group's name, else its number.
func (d Device) groupName(gid uint32) string {
	for line := range strings.Lines(d.text("etc/group")) {
		if f := strings.Split(line, ":"); len(f) > 2 && id(f[2]) == gid {
			return f[0]
		}
	}
	return strconv.FormatUint(uint64(gid), 10)
}

// Denied tells why the unit's user may not read and write a file, and what to
// do; empty when it may, or when that cannot be known. Who runs the doctor as
// root would not notice.
func (d Device) Denied(path string, u *Unit) string {
	need := os.FileMode(0o6)
	if info, err := os.Stat(d.path(path)); err == nil && info.IsDir() {
		need = 0o3
	}
	info, gid, member, denied := d.lacks(path, need, u)
	if !denied {
		return ""
	}
	return fmt.Sprintf("the service's user %s may not use %s (group %s, mode %04o): %s", u.User, path, d.groupName(gid), info.Mode().Perm(), d.permit(path, u.User, gid, info, member))
}

// Unread tells why the unit's user cannot read a file or look into a folder, and
// what to do; empty when it can, or when that cannot be known.
func (d Device) Unread(path string, u *Unit) string {
	if u == nil || !filepath.IsAbs(path) {
		return ""
	}
	if dir := u.hides(path); dir != "" {
		return fmt.Sprintf("%s is in %s, which the service does not see: move it, such as to /srv", path, dir)
	}
	for i, c := range path {
		if c != '/' || i == 0 {
			continue
		}
		if info, _, _, denied := d.lacks(path[:i], 0o1, u); denied {
			return fmt.Sprintf("the service's user %s may not enter %s (mode %04o): sudo chgrp %s %s && sudo chmod g+x %s", u.User, path[:i], info.Mode().Perm(), u.User, path[:i], path[:i])
		}
	}
	need, right := os.FileMode(0o4), "g+r"
	if info, err := os.Stat(d.path(path)); err == nil && info.IsDir() {
		need, right = 0o5, "g+rx"
	}
	info, _, _, denied := d.lacks(path, need, u)
	if !denied {
		return ""
	}
	return fmt.Sprintf("the service's user %s may not read %s (mode %04o): sudo chgrp %s %s && sudo chmod %s %s", u.User, path, info.Mode().Perm(), u.User, path, right, path)
}

// lacks tells whether the unit's user has not all the rights of need to a file,
// with what that is known by; it is false when it cannot be known.
func (d Device) lacks(path string, need os.FileMode, u *Unit) (info os.FileInfo, gid uint32, member, denied bool) {
	if u == nil || u.User == "" || u.User == "root" {
		return nil, 0, false, false
	}
	a, ok := d.account(u.User, u.Groups)
	if !ok || a.uid == 0 {
		return nil, 0, false, false
	}
	info, err := os.Stat(d.path(path))
	if err != nil {
		return nil, 0, false, false
	}
	uid, gid, ok := owner(info)
	// The first of owner, group and others that fits decides.
	bits, member := info.Mode().Perm(), slices.Contains(a.groups, gid)
	switch {
	case a.uid == uid:
		bits >>= 6
	case member:
		bits >>= 3
	}
	if !info.Mode().IsDir() && !info.Mode().IsRegular() {
		return info, gid, member, ok && bits&need != need
	}
	// A list may say otherwise; those of devices are for who sits at the screen.
	return info, gid, member, ok && bits&need != need && !listed(d.path(path))
}

// permit is how to let the user in.
func (d Device) permit(path, user string, gid uint32, info os.FileInfo, member bool) string {
	switch {
	case info.IsDir() || info.Mode().IsRegular() && !within(path, "/dev"):
		return fmt.Sprintf("sudo chown -R %s: %s", user, path)
	case gid == 0 || member || info.Mode()&0o060 != 0o060:
		return "udev should have given it to group video with mode 0660: sudo udevadm trigger --subsystem-match=video4linux"
	}
	return fmt.Sprintf("sudo usermod -aG %s %s && sudo systemctl restart egret", d.groupName(gid), user)
}
