package checkup

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages are where the programs of sources come from on Debian and its kin.
var packages = map[string]string{
	"rpicam-vid":     "rpicam-apps (Raspberry Pi OS 12; before, the program is libcamera-vid)",
	"libcamera-vid":  "libcamera-apps; from Raspberry Pi OS 12 on the program is rpicam-vid",
	"ffmpeg":         "ffmpeg",
	"gst-launch-1.0": "gstreamer1.0-tools",
}

// Program tells what is wrong with a command source's program before it is run:
// it is not there, or the unit's sandbox keeps it from its devices. words are
// the program and its arguments.
func (d Device) Program(words []string, u *Unit) Verdict {
	if len(words) == 0 {
		return Verdict{Level: OK}
	}
	program := words[0]
	path, err := exec.LookPath(program)
	if err != nil {
		why := "is not there"
		if errors.Is(err, fs.ErrPermission) {
			why = "may not be run"
		}
		if from := packages[filepath.Base(program)]; from != "" {
			return Verdict{Fail, fmt.Sprintf("the program %s %s: sudo apt install %s", program, why, from)}
		}
		return Verdict{Fail, fmt.Sprintf("the program %s %s: install it, or write its whole path", program, why)}
	}
	if u == nil {
		return Verdict{Level: OK}
	}
	if why := u.unrunnable(path); why != "" {
		return Verdict{Fail, fmt.Sprintf("%s is in %s: move it to /usr/local/bin", path, why)}
	}
	line := strings.Join(words, " ")
	switch {
	case strings.Contains(line, "rpicam-") || strings.Contains(line, "libcamera-"):
		return u.needs("a CSI camera", csiDevices)
	case strings.Contains(line, "nvargus"):
		return u.needs("a Jetson's CSI camera", jetsonDevices)
	}
	return Verdict{Level: OK}
}

// unrunnable says where a program lies that the unit's sandbox keeps from being
// run; empty when it does not.
func (u *Unit) unrunnable(path string) string {
	if dir := u.hides(path); dir != "" {
		return dir + ", which the service does not see"
	}
	for _, dir := range u.NoExec {
		if within(path, dir) {
			return dir + ", from where the service may run nothing"
		}
	}
	return ""
}

// hides is the folder around path that the unit's sandbox does not show; empty
// when it shows it.
func (u *Unit) hides(path string) string {
	for _, dir := range u.Hidden {
		if within(path, dir) {
			return dir
		}
	}
	return ""
}
