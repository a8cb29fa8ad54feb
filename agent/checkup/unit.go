package checkup

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Unit is what systemd says of egret.service.
type Unit struct {
	Load                string // LoadState: loaded, or why it is not
	Active, Sub, Result string // ActiveState, SubState, Result
	Enabled             string // UnitFileState
	Command             string // ExecStart
	Since               string // of the present state, as systemd writes it
	Exit                int    // of the last run: an exit code, or a signal
	Killed              bool   // Exit is a signal
	Restarts            int
	PID                 int
	NeedReload          bool
	DropIns             []string
	User                string
	Groups              []string
	Closed              bool     // only Devices may be opened
	Devices             []string // DeviceAllow
	MemoryMax           uint64   // bytes; 0: no limit
	NoExec              []string // NoExecPaths: nothing in and below these may be run
	Hidden              []string // folders that its sandbox does not show
	ClockHidden         bool     // ProtectClock: the kernel may not be asked about its clock
}

// unanswered stands for LoadState where systemd did not say it.
const unanswered = "unanswered"

// unitPatience bounds the question: a doctor that hangs helps nobody.
const unitPatience = 5 * time.Second

var unitProperties = "LoadState,ActiveState,SubState,Result,UnitFileState,ExecStart,StateChangeTimestamp,ExecMainStatus,ExecMainCode," +
	"NRestarts,MainPID,NeedDaemonReload,DropInPaths,User,Group,SupplementaryGroups,DevicePolicy,DeviceAllow,MemoryMax,ProtectClock,NoExecPaths,ProtectHome,PrivateTmp"

// Unit asks systemd for egret.service. It is nil where systemd does not run, as
// in most containers, and where there is no such unit.
func (d Device) Unit(ctx context.Context) *Unit {
	if !d.exists("run/systemd/system") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, unitPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", "show", "egret.service", "--no-pager", "--property="+unitProperties).Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil
	case err != nil:
		return &Unit{Load: unanswered}
	}
	return parseUnit(string(out))
}

// parseUnit reads the output of systemctl show; a property with several values
// has several lines.
func parseUnit(text string) *Unit {
	get := map[string][]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			get[name] = append(get[name], value)
		}
	}
	one := func(name string) string { return strings.Join(get[name], " ") }
	number := func(name string) int { n, _ := strconv.Atoi(one(name)); return n }
	if load := one("LoadState"); load == "" || load == "not-found" {
		return nil
	}
	u := &Unit{
		Load:   one("LoadState"),
		Active: one("ActiveState"), Sub: one("SubState"), Result: one("Result"), Enabled: one("UnitFileState"),
		Command: one("ExecStart"), Since: one("StateChangeTimestamp"), Exit: number("ExecMainStatus"),
		Killed: number("ExecMainCode") > 1, // CLD_EXITED is 1
		PID:    number("MainPID"), Restarts: number("NRestarts"), NeedReload: one("NeedDaemonReload") == "yes",
		DropIns: strings.Fields(one("DropInPaths")), User: one("User"),
		Groups: strings.Fields(one("Group") + " " + one("SupplementaryGroups")),
		Closed: one("DevicePolicy") != "auto" && one("DevicePolicy") != "", ClockHidden: one("ProtectClock") == "yes",
	}
	u.MemoryMax, _ = strconv.ParseUint(one("MemoryMax"), 10, 64) // infinity is no number
	if u.MemoryMax == 1<<64-1 {
		u.MemoryMax = 0
	}
	for _, allow := range get["DeviceAllow"] {
		if f := strings.Fields(allow); len(f) > 0 {
			u.Devices = append(u.Devices, f[0])
		}
	}
	if home := one("ProtectHome"); home == "yes" || home == "tmpfs" {
		u.Hidden = append(u.Hidden, "/home", "/root", "/run/user")
	}
	if one("PrivateTmp") == "yes" {
		u.Hidden = append(u.Hidden, "/tmp", "/var/tmp")
	}
	for _, dir := range strings.Fields(one("NoExecPaths")) {
		u.NoExec = append(u.NoExec, strings.TrimLeft(dir, "-+")) // - is for "if it is there"
	}
	return u
}

// Runs tells whether the service starts the agent with this configuration. Of a
// unit that is masked or wrong nobody knows, and that is worth saying.
func (u *Unit) Runs(config string) bool {
	if u == nil || u.Load != "loaded" {
		return u != nil
	}
	config, err := filepath.Abs(config)
	return err == nil && (strings.Contains(u.Command, " "+config+" ") || strings.Contains(u.Command, "="+config+" "))
}

// Verdict is how the service is.
func (u *Unit) Verdict() Verdict {
	switch {
	case u.Load == unanswered:
		return Verdict{Warn, fmt.Sprintf("systemd did not answer within %v: systemctl status egret", unitPatience)}
	case u.Load == "masked":
		return Verdict{Warn, "is masked, so nothing starts it: sudo systemctl unmask egret && sudo systemctl enable --now egret"}
	case u.Load != "loaded":
		return Verdict{Fail, fmt.Sprintf("systemd cannot read its unit (%s): systemctl status egret names the line, often one of a drop-in", u.Load)}
	case u.Active == "failed":
		return Verdict{Fail, fmt.Sprintf("failed since %s, %s", u.Since, u.cause())}
	case u.Sub == "auto-restart":
		return Verdict{Fail, fmt.Sprintf("starts again and again, %d times by now, %s", u.Restarts, u.cause())}
	case u.NeedReload:
		return Verdict{Warn, "its unit or a drop-in was changed and is not in force: sudo systemctl daemon-reload && sudo systemctl restart egret"}
	case u.Active == "activating":
		return Verdict{Warn, "is starting since " + u.Since + ": journalctl -fu egret"}
	case u.Active == "reloading":
		return Verdict{OK, "is reading its configuration anew"}
	case u.Active != "active" && u.Enabled != "enabled":
		return Verdict{Warn, "does not run and will not at the next boot: sudo systemctl enable --now egret"}
	case u.Active != "active":
		return Verdict{Warn, "does not run: sudo systemctl start egret"}
	case u.Enabled != "enabled":
		return Verdict{Warn, "runs, but will not at the next boot: sudo systemctl enable egret"}
	}
	detail := "active since " + u.Since
	if u.Restarts > 0 {
		detail += fmt.Sprintf(", started again %d times", u.Restarts)
	}
	for i, conf := range u.DropIns {
		if i == 0 {
			detail += ", with"
		}
		detail += " " + path.Base(conf)
	}
	return Verdict{OK, detail}
}

// cause says why the last run ended, and what to do.
func (u *Unit) cause() string {
	look := "journalctl -u egret -n 30 tells why"
	switch {
	case u.Result == "watchdog":
		return "neither frames nor inference made progress (watchdog): " + look
	case u.Result == "oom-kill":
		return "it took more than MemoryMax: fewer or smaller models, or a larger MemoryMax in a drop-in"
	case u.Killed:
		return fmt.Sprintf("by signal %d: %s", u.Exit, look)
	case u.Exit == 2:
		return "exit code 2, its configuration is wrong: egret config check /etc/egret/egret.yaml"
	case u.Exit == 3:
		return "exit code 3, it was built without inference: install the package, or make build with a C compiler"
	case u.Exit == 216:
		return "exit code 216, a group in SupplementaryGroups= does not exist: groupadd --system it, or take the drop-in away"
	case u.Exit == 217:
		return "exit code 217, there is no user egret: sudo systemd-sysusers"
	case u.Exit == 226:
		return "exit code 226, a folder that a drop-in names in its sandbox is not there: " + look
	case u.Exit == 243:
		return "exit code 243, a file of LoadCredential= is not there or cannot be decrypted: " + look
	}
	return fmt.Sprintf("exit code %d: %s", u.Exit, look)
}

// What the drop-ins open, by a part of a DeviceAllow each.
var (
	csiDevices    = opened{"raspberry-pi-csi.conf", []string{"dma_heap"}}
	jetsonDevices = opened{"jetson.conf", []string{"nvmap"}}
	usbDevices    = opened{"coral-usb.conf", []string{"usb_device", "/dev/bus/usb"}}
	apexDevices   = opened{"coral-pcie.conf", []string{"apex"}}
	gpuDevices    = opened{"gpu.conf", []string{"drm", "/dev/dri", "mali", "kgsl", "nvmap"}}
)

type opened struct {
	dropIn string
	parts  []string
}

// needs tells to copy the drop-in when the unit allows none of its devices.
func (u *Unit) needs(what string, o opened) Verdict {
	if u == nil || !u.Closed {
		return Verdict{Level: OK}
	}
	for _, device := range u.Devices {
		for _, part := range o.parts {
			if strings.Contains(device, part) {
				return Verdict{Level: OK}
			}
		}
	}
	return Verdict{Warn, fmt.Sprintf("the service's sandbox is closed to %s: %s", what, use(o.dropIn))}
}

// use is how to put a drop-in of the package in force.
func use(dropIn string) string {
	return "sudo mkdir -p /etc/systemd/system/egret.service.d && sudo cp /usr/share/doc/egret/examples/" + dropIn +
		" /etc/systemd/system/egret.service.d/ && sudo systemctl daemon-reload && sudo systemctl restart egret"
}
