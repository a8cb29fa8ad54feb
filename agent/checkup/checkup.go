// Package checkup finds what goes wrong on a device around the agent: camera
// nodes, power, heat, clock, disk, memory, accelerators and the systemd unit.
// It only looks: it changes nothing, and opens nothing but camera nodes to ask
// what they are. What a configuration asks for is the doctor's business
// (package agent), not this one's.
package checkup

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Level is how bad a verdict is.
type Level string

// The levels. Warn is for what works now and may not tomorrow, or works less
// well than it could: it does not fail the doctor.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// Verdict is what was found, and for a bad one what to do, in one line.
type Verdict struct {
	Level  Level
	Detail string
}

// Of is the verdict on what gave detail or err.
func Of(detail string, err error) Verdict {
	if err != nil {
		return Verdict{Fail, err.Error()}
	}
	return Verdict{OK, detail}
}

// Device is the machine that is looked at. The zero value is this one. Any
// goroutine may use it.
type Device struct {
	// Root is put before every path, for tests; empty means the real root.
	Root string
	// Captures tells whether a node gives pictures; known is false when it
	// cannot be asked. Nil asks the driver.
	Captures func(node string) (captures, known bool)
	// Synced tells whether the kernel's clock is disciplined. Nil asks it.
	Synced func() (bool, error)
	// Machine is the kernel's architecture, as uname -m says. Nil asks it.
	Machine func() string
}

func (d Device) path(path string) string { return filepath.Join("/", d.Root, path) }

// text is the first 64 KiB of a file, trimmed; empty when there is none.
func (d Device) text(path string) string {
	f, err := os.Open(d.path(path))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 64<<10))
	return strings.TrimSpace(string(b))
}

// glob is the paths that match, without the root, in order.
func (d Device) glob(pattern string) []string {
	root := strings.TrimSuffix(d.path("/"), "/")
	found, _ := filepath.Glob(d.path(pattern)) // only a wrong pattern fails
	for i := range found {
		found[i] = strings.TrimPrefix(found[i], root)
	}
	slices.Sort(found)
	return found
}

func (d Device) exists(path string) bool {
	_, err := os.Stat(d.path(path))
	return err == nil
}

// linkTarget is where a symbolic link leads, one step, as an absolute path
// below the root; empty when path is no link.
func (d Device) linkTarget(path string) string {
	to, err := os.Readlink(d.path(path))
	if err != nil {
		return ""
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(path), to)
	}
	return filepath.Clean(to)
}

// resolve follows the links of a device's name; they are few.
func (d Device) resolve(path string) string {
	for range 8 {
		to := d.linkTarget(path)
		if to == "" {
			break
		}
		path = to
	}
	return path
}
