package sensors

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Read asks every sensor; DiskFree is that of the file system path lies on.
func (h *Host) Read(path string) HostReading {
	r := HostReading{TemperatureC: h.temperature(), Throttled: h.throttled(), Load1: h.load(), RSS: h.rss()}
	r.MemTotal, r.MemAvailable = h.memory()
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err == nil {
		free := uint64(st.Bavail) * uint64(st.Bsize)
		r.DiskFree = &free
	}
	return r
}

// ClockSynced tells whether the kernel's clock is disciplined by a time
// service (adjtimex(2), STA_UNSYNC).
func ClockSynced() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if errors.Is(err, unix.EPERM) { // as the unit's ProtectClock=yes has it
		return timesyncd("/run/systemd/timesync/synchronized", time.Now()), nil
	}
	if err != nil {
		return false, fmt.Errorf("read the clock's state: %w", err)
	}
	return synced(state, t.Status), nil
}

// timesyncd tells whether systemd-timesyncd has set the clock lately: it touches
// the file each time that it does (systemd-timesyncd.service(8)). The limit is
// the kernel's: it takes 16 s of error to be too much, which at 500 ppm add up
// in nine hours.
func timesyncd(path string, now time.Time) bool {
	info, err := os.Stat(path)
	return err == nil && now.Sub(info.ModTime()) < 9*time.Hour
}

func synced(state int, status int32) bool {
	const timeError = 5 // TIME_ERROR of sys/timex.h
	return state != timeError && status&unix.STA_UNSYNC == 0
}

// text is the first 4 KiB of a file under Root, trimmed.
func (h *Host) text(path string) (string, bool) {
	f, err := os.Open(filepath.Join("/", h.Root, path))
	if err != nil {
		return "", false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	return strings.TrimSpace(string(b)), err == nil
}

func (h *Host) glob(pattern string) []string {
	root := filepath.Join("/", h.Root)
	found, _ := filepath.Glob(filepath.Join(root, pattern))
	for i := range found {
		found[i] = strings.TrimPrefix(found[i], root)
	}
	return found
}

// temperature is the hottest of the processor's zones, else of all but those
// that measure something else; zones give millidegrees, and some a nonsense
// value while they sleep.
func (h *Host) temperature() *float64 {
	var processor, other *float64
	for _, path := range h.glob("sys/class/thermal/thermal_zone*/temp") {
		s, _ := h.text(path)
		milli, err := strconv.ParseInt(s, 10, 32)
		c := float64(milli) / 1000
		if err != nil || c < -60 || c > 200 {
			continue
		}
		kind, _ := h.text(filepath.Join(filepath.Dir(path), "type"))
		hottest := &other
		switch kind = strings.ToLower(kind); {
		case containsAny(kind, "cpu", "soc", "gpu", "pkg", "core", "tj"):
			hottest = &processor
		case containsAny(kind, "pmic", "wifi", "battery", "charger", "modem"):
			// A Jetson's PMIC-Die reads 100 °C all its life.
			continue
		}
		if *hottest == nil || c > **hottest {
			*hottest = &c
		}
	}
	if processor != nil {
		return processor
	}
	return other
}

func containsAny(s string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(s, p) })
}

// throttled asks the Raspberry Pi's firmware, else the cooling devices.
func (h *Host) throttled() *bool {
	if s, ok := h.text("sys/devices/platform/soc/soc:firmware/get_throttled"); ok {
		if bits, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 32); err == nil {
			// Bits 0 to 3 are the present, 16 to 19 what once was:
			// under-voltage, frequency capped, throttled, soft limit.
			now := bits&0xF != 0
			return &now
		}
	}
	var result *bool
	for _, path := range h.glob("sys/class/thermal/cooling_device*/type") {
		kind, _ := h.text(path)
		if !strings.Contains(kind, "cpufreq") && kind != "Processor" {
			continue
		}
		s, ok := h.text(filepath.Join(filepath.Dir(path), "cur_state"))
		n, err := strconv.ParseInt(s, 10, 32)
		if !ok || err != nil {
			continue
		}
		now := n > 0 || result != nil && *result
		result = &now
	}
	return result
}

func (h *Host) memory() (total, available *uint64) {
	s, _ := h.text("proc/meminfo")
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, err := strconv.ParseUint(f[1], 10, 50)
		n := kib << 10
		switch {
		case err != nil:
		case f[0] == "MemTotal:":
			total = &n
		case f[0] == "MemAvailable:":
			available = &n
		}
	}
	return total, available
}

func (h *Host) load() *float64 {
	s, _ := h.text("proc/loadavg")
	first, _, _ := strings.Cut(s, " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return nil
	}
	return &v
}

func (h *Host) rss() *uint64 {
	s, _ := h.text("proc/self/statm")
	f := strings.Fields(s)
	if len(f) < 2 {
		return nil
	}
	pages, err := strconv.ParseUint(f[1], 10, 40)
	if err != nil {
		return nil
	}
	n := pages * uint64(os.Getpagesize())
	return &n
}
