package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// device is an ext4 of its own on a loop device: what is written to it can be
// counted below the file system, journal and all. /proc/self/io would count
// pages that are deleted before they reach the disk.
type device struct {
	dir  string // where it is mounted
	loop string // /dev/loopN
}

const deviceBytes = 256 << 20

// commitEvery is how often the device's journal is written, and is the pause
// between paced flushes: both are 5 s by default, and each flush then costs a
// write of the journal too, since it changes the file's time. Flushes without a
// pause share one among dozens, as those of the peers do here.
const commitEvery = time.Second

// newDevice needs root and loop devices. The error is one line.
func newDevice(dir string) (_ *device, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("not root")
	}
	image := filepath.Join(dir, "disk")
	d := &device{dir: filepath.Join(dir, "mount")}
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, deviceBytes), os.MkdirAll(d.dir, 0o755)); err != nil {
		return nil, err
	}
	// Not lazily: the kernel would go on with it while we count.
	if _, err := command("mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image); err != nil {
		return nil, err
	}
	if d.loop, err = command("losetup", "--find", "--show", image); err != nil {
		return nil, err
	}
	if _, err := command("mount", "-o", fmt.Sprintf("noatime,commit=%d", commitEvery/time.Second), d.loop, d.dir); err != nil {
		_, e := command("losetup", "-d", d.loop)
		return nil, errors.Join(err, e)
	}
	return d, nil
}

func (d *device) close() error {
	_, err := command("umount", d.dir)
	_, e := command("losetup", "-d", d.loop)
	return errors.Join(err, e)
}

// written is how many bytes have ever been written to the device, after what
// the file system still holds back. Field 7 of stat is in sectors of 512
// bytes: Documentation/block/stat.rst.
func (d *device) written() (int64, error) {
	if err := d.sync(); err != nil {
		return 0, err
	}
	data, err := os.ReadFile("/sys/block/" + filepath.Base(d.loop) + "/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data))
	if len(fields) < 7 {
		return 0, fmt.Errorf("the device's statistics have %d fields", len(fields))
	}
	n, err := strconv.ParseInt(fields[6], 10, 64)
	return n * 512, err
}

func (d *device) sync() error {
	_, err := command("sync", "-f", d.dir)
	return err
}

// during counts what is written while fn runs, per one of n.
func (d *device) during(n int, fn func() error) (float64, error) {
	before, err := d.written()
	if err != nil {
		return 0, err
	}
	if err := fn(); err != nil {
		return 0, err
	}
	after, err := d.written()
	return float64(after-before) / float64(n), err
}

func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	text := string(bytes.TrimSpace(out))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.ReplaceAll(text, "\n", " "))
	}
	return text, nil
}
