package checkup

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shown is what systemctl show says of a healthy service.
const shown = `Restart=always
ExecStart={ path=/usr/bin/egret ; argv[]=/usr/bin/egret run --config /etc/egret/egret.yaml ; ignore_errors=no ; pid=0 }
LoadState=loaded
ActiveState=active
SubState=running
Result=success
UnitFileState=enabled
StateChangeTimestamp=Sat 2026-11-21 10:00:00 UTC
ExecMainStatus=0
ExecMainCode=0
NRestarts=0
MainPID=412
NeedDaemonReload=no
DropInPaths=/etc/systemd/system/egret.service.d/coral-usb.conf
User=egret
Group=egret
SupplementaryGroups=video plugdev
DevicePolicy=closed
DeviceAllow=char-video4linux rw
DeviceAllow=char-usb_device rw
MemoryMax=536870912
ProtectClock=yes
NoExecPaths=
ProtectHome=yes
PrivateTmp=no
`

// unit is shown with other values, each written Name=value.
func unit(t *testing.T, changes ...string) *Unit {
	t.Helper()
	text := shown
	for _, c := range changes {
		name, _, _ := strings.Cut(c, "=")
		i := strings.Index(text, "\n"+name+"=")
		if i < 0 {
			t.Fatalf("nothing called %s", name)
		}
		end := strings.IndexByte(text[i+1:], '\n')
		text = text[:i+1] + c + text[i+1+end:]
	}
	return parseUnit(text)
}

func TestUnit(t *testing.T) {
	for _, tt := range []struct {
		name    string
		changes []string
		level   Level
		says    string
	}{
		{"active", nil, OK, "active since Sat 2026-11-21 10:00:00 UTC, with coral-usb.conf"},
		{"restarted", []string{"NRestarts=3"}, OK, "started again 3 times"},
		{"reloading", []string{"ActiveState=reloading", "SubState=reload-notify"}, OK, "reading its configuration"},
		{"masked", []string{"LoadState=masked", "ActiveState=inactive"}, Warn, "unmask"},
		{"a wrong line in a drop-in", []string{"LoadState=bad-setting", "ActiveState=inactive"}, Fail, "bad-setting"},
		{"no credential", []string{"ActiveState=activating", "SubState=auto-restart", "ExecMainStatus=243", "ExecMainCode=1"}, Fail, "LoadCredential="},
		{"not enabled", []string{"UnitFileState=disabled"}, Warn, "systemctl enable egret"},
		{"stopped", []string{"ActiveState=inactive"}, Warn, "systemctl start egret"},
		{"stopped and not enabled", []string{"ActiveState=inactive", "UnitFileState=disabled"}, Warn, "enable --now"},
		{"starting", []string{"ActiveState=activating", "SubState=start"}, Warn, "is starting"},
		{"changed on disk", []string{"NeedDaemonReload=yes"}, Warn, "daemon-reload"},
		{"wrong configuration", []string{"ActiveState=failed", "ExecMainStatus=2", "ExecMainCode=1"}, Fail, "exit code 2, its configuration is wrong"},
		{"without inference", []string{"ActiveState=failed", "ExecMainStatus=3", "ExecMainCode=1"}, Fail, "built without inference"},
		{"failing", []string{"ActiveState=activating", "SubState=auto-restart", "NRestarts=9", "ExecMainStatus=1", "ExecMainCode=1"}, Fail, "9 times by now, exit code 1"},
		{"no group", []string{"ActiveState=activating", "SubState=auto-restart", "ExecMainStatus=216", "ExecMainCode=1"}, Fail, "SupplementaryGroups="},
		{"no user", []string{"ActiveState=failed", "ExecMainStatus=217", "ExecMainCode=1"}, Fail, "systemd-sysusers"},
		{"killed", []string{"ActiveState=failed", "ExecMainStatus=11", "ExecMainCode=3"}, Fail, "by signal 11"},
		{"signal 2 is no exit code 2", []string{"ActiveState=failed", "ExecMainStatus=2", "ExecMainCode=2"}, Fail, "by signal 2"},
		{"watchdog", []string{"ActiveState=failed", "Result=watchdog", "ExecMainStatus=6", "ExecMainCode=2"}, Fail, "watchdog"},
		{"memory", []string{"ActiveState=failed", "Result=oom-kill", "ExecMainStatus=9", "ExecMainCode=2"}, Fail, "more than MemoryMax"},
	} {
		t.Run(tt.name, func(t *testing.T) { holds(t, unit(t, tt.changes...).Verdict(), tt.level, tt.says) })
	}
}

func TestParseUnit(t *testing.T) {
	u := unit(t)
	if !u.Runs("/etc/egret/egret.yaml") || u.Runs("/etc/egret/egret") || (*Unit)(nil).Runs("/etc/egret/egret.yaml") {
		t.Error("mistakes which configuration it runs")
	}
	if u.Runs("egret.yaml") || u.Runs("/egret/egret.yaml") {
		t.Error("takes a file of the same name elsewhere for the service's")
	}
	if wrong := unit(t, "LoadState=bad-setting", "ExecStart="); !wrong.Runs("/etc/egret/egret.yaml") {
		t.Error("is silent about a unit that cannot be loaded")
	}
	if u.MemoryMax != 512<<20 || u.PID != 412 || strings.Join(u.Groups, " ") != "egret video plugdev" || strings.Join(u.Devices, " ") != "char-video4linux char-usb_device" {
		t.Errorf("%+v", u)
	}
	if u := unit(t, "MemoryMax=infinity"); u.MemoryMax != 0 {
		t.Errorf("no limit is %d", u.MemoryMax)
	}
	if parseUnit("LoadState=not-found\n") != nil || parseUnit("") != nil {
		t.Error("a unit that is not there")
	}
	if u := fake(t, nil).Unit(context.Background()); u != nil {
		t.Error("a unit where systemd does not run")
	}
}

func TestProgram(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	program := func(name string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var d Device
	holds(t, d.Program([]string{"rpicam-vid"}, nil), Fail, "sudo apt install rpicam-apps")
	holds(t, d.Program([]string{"no-such-program"}, nil), Fail, "install it, or write its whole path")
	holds(t, d.Program([]string{program("plain", 0o644)}, nil), Fail, "may not be run")
	program("rpicam-vid", 0o755)
	program("gst-launch-1.0", 0o755)
	program("other", 0o755)
	open := unit(t, "DeviceAllow=char-dma_heap rw")
	holds(t, d.Program([]string{"rpicam-vid"}, nil), OK, "")
	holds(t, d.Program([]string{"rpicam-vid"}, unit(t)), Warn, "examples/raspberry-pi-csi.conf")
	holds(t, d.Program([]string{"rpicam-vid"}, open), OK, "")
	holds(t, d.Program([]string{"gst-launch-1.0", "nvarguscamerasrc"}, unit(t)), Warn, "examples/jetson.conf")
	holds(t, d.Program([]string{"gst-launch-1.0", "videotestsrc"}, unit(t)), OK, "")
	holds(t, d.Program([]string{"other"}, unit(t)), OK, "")
	holds(t, d.Program([]string{"other"}, unit(t, "NoExecPaths=/var/lib/egret "+dir)), Fail, "may run nothing: move it to /usr/local/bin")
	if unit(t, "PrivateTmp=yes").hides("/tmp/camera") != "/tmp" {
		t.Error("shows the machine's /tmp to a service with one of its own")
	}
	if unit(t).hides("/home/pi/bin/camera") == "" || unit(t).hides("/usr/bin/home/x") != "" || unit(t, "ProtectHome=read-only").hides("/home/pi/x") != "" {
		t.Error("mistakes what the service does not see")
	}
}
