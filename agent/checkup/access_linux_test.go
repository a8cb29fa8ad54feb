package checkup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestQueryCapture(t *testing.T) {
	if captures, known := queryCapture("/dev/null"); captures || known {
		t.Error("/dev/null answered as a camera would")
	}
	if _, known := queryCapture("/dev/is-not-there"); known {
		t.Error("a node that is not there is known")
	}
}

// TestDenied: what root may open, the service's user may not. The files are this
// user's own, so the accounts are made around its numbers.
func TestDenied(t *testing.T) {
	d := board(t)
	node := filepath.Join(d.Root, "dev/video0")
	info, err := os.Stat(node)
	if err != nil {
		t.Fatal(err)
	}
	uid, gid, ok := owner(info)
	if !ok {
		t.Fatal("files have no owners here")
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(d.Root, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d.Root, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("passwd", fmt.Sprintf("egret:x:%d:4444::/:/bin/false\n", uid+1000))
	unit := &Unit{User: "egret"}
	for _, tt := range []struct {
		name   string
		mode   os.FileMode
		groups string // lines of /etc/group
		extra  []string
		says   string
	}{
		{"group of the node", 0o660, fmt.Sprintf("video:x:%d:egret\n", gid), nil, ""},
		{"group by the unit", 0o660, fmt.Sprintf("video:x:%d:\n", gid), []string{"video"}, ""},
		{"everybody", 0o666, "", nil, ""},
		{"no member", 0o660, fmt.Sprintf("video:x:%d:\n", gid), nil, "the service's user egret may not use /dev/video0 (group video, mode 0660)"},
		{"a member without right", 0o640, fmt.Sprintf("video:x:%d:egret\n", gid), nil, "udevadm trigger"},
		{"root's alone", 0o600, fmt.Sprintf("video:x:%d:\n", gid), nil, "udevadm trigger"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.Chmod(node, tt.mode); err != nil {
				t.Fatal(err)
			}
			write("group", tt.groups)
			unit.Groups = tt.extra
			level := Fail
			if tt.says == "" {
				level = OK
			}
			holds(t, d.Camera("/dev/video0", unit), level, tt.says)
		})
	}
	if why := d.Denied("/dev", unit); !strings.Contains(why, "chown") {
		t.Errorf("a folder of another user's: %q", why)
	}
	for mode, says := range map[os.FileMode]string{0o644: "", 0o600: "chmod g+r /srv/password", 0o640: "chgrp egret /srv/password"} {
		add(t, d, "srv/password", "secret")
		if err := os.Chmod(filepath.Join(d.Root, "srv/password"), mode); err != nil {
			t.Fatal(err)
		}
		unit.Groups = nil
		if why := d.Unread("/srv/password", unit); (why == "") != (says == "") || !strings.Contains(why, says) {
			t.Errorf("a file of mode %04o: %q, want %q", mode, why, says)
		}
	}
	if err := os.Chmod(filepath.Join(d.Root, "srv"), 0o700); err != nil {
		t.Fatal(err)
	}
	if why := d.Unread("/srv/password", unit); !strings.Contains(why, "may not enter /srv") {
		t.Errorf("in a closed folder: %q", why)
	}
	if why := d.Unread("/home/pi/model", &Unit{User: "egret", Hidden: []string{"/home"}}); !strings.Contains(why, "does not see") {
		t.Errorf("in a home: %q", why)
	}
	if why := d.Denied("/dev/video0", &Unit{User: "stranger"}); why != "" {
		t.Errorf("of a user that is not known: %q", why)
	}
}
