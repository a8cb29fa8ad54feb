package configs

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span, written as Go writes it: 500ms, 10s, 1h30m.
type Duration time.Duration

// String is the duration in the form that a file has it.
func (d Duration) String() string { return time.Duration(d).String() }

// ParseDuration reads a duration; a bare number is refused, because people
// differ on its unit.
func ParseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil && (s != "0" && d >= 0) {
		return Duration(d), nil
	}
	if _, e := strconv.ParseFloat(s, 64); e == nil && err != nil || s == "0" {
		return 0, fmt.Errorf("%q lacks a unit (did you mean %q?)", s, s+"s")
	}
	if err == nil {
		return 0, fmt.Errorf("%q is negative", s)
	}
	return 0, fmt.Errorf("%q is not a duration such as 500ms, 10s or 1h30m", s)
}

// Bytes is a size in bytes, written with or without a unit: 65536, 256KiB, 1GB.
type Bytes int64

var byteUnits = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// String is the size with the largest binary unit that divides it.
func (b Bytes) String() string {
	for _, u := range byteUnits[:4] {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// PerDay is a number of bytes a day, written as 50MB/day; 0 is no limit.
type PerDay int64

// leastPerDay is about one commit an hour.
const leastPerDay = 512 << 10

func (p PerDay) String() string {
	if p == 0 {
		return "0"
	}
	return Bytes(p).String() + "/day"
}

// ParsePerDay reads bytes a day.
func ParsePerDay(s string) (PerDay, error) {
	if s == "0" {
		return 0, nil
	}
	size, ok := strings.CutSuffix(s, "/day")
	if !ok {
		return 0, fmt.Errorf("%q is not a number of bytes a day such as 50MB/day, or 0", s)
	}
	n, err := ParseBytes(strings.TrimSpace(size))
	if err == nil && n < leastPerDay {
		err = fmt.Errorf("%q is too little: give at least 512KiB/day, or 0 for no limit", s)
	}
	return PerDay(n), err
}

// ParseBytes reads a size.
func ParseBytes(s string) (Bytes, error) {
	number, size := s, int64(1)
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, size = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%q is not a size such as 65536, 256KiB or 1GB", s)
	case err != nil || n > math.MaxInt64/size:
		return 0, fmt.Errorf("%q is too large", s)
	case n < 0:
		return 0, fmt.Errorf("%q is negative", s)
	}
	return Bytes(n * size), nil
}

// Score is a threshold from 0 to 1 that may be left out. Its zero value is left
// out; values compare with ==.
type Score struct {
	Set   bool
	Value float64
}

// Pointer is the value, or nil when it was left out.
func (s Score) Pointer() *float64 {
	if !s.Set {
		return nil
	}
	return &s.Value
}

// Delegates is one delegate or several in order of preference. Its zero value
// is none; values compare with ==.
type Delegates struct{ lines string }

// DelegateList is a list of delegates' specifications.
func DelegateList(specs ...string) Delegates { return Delegates{strings.Join(specs, "\n")} }

// List is the delegates' specifications.
func (d Delegates) List() []string {
	if d.lines == "" {
		return nil
	}
	return strings.Split(d.lines, "\n")
}

// Threads is a number of threads; 0 is "auto", to be measured.
type Threads int

// String is the number, or auto.
func (t Threads) String() string {
	if t == 0 {
		return "auto"
	}
	return strconv.Itoa(int(t))
}

// MaxThreads bounds a number of threads.
const MaxThreads = 64

// ParseThreads reads a number of threads.
func ParseThreads(s string) (Threads, error) {
	if s == "auto" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is neither auto nor a whole number", s)
	case n < 1 || n > MaxThreads:
		return 0, fmt.Errorf("%d is out of range: 1 to %d, or auto", n, MaxThreads)
	}
	return Threads(n), nil
}

// Versions is which versions of a model are loaded. Its zero value is latest;
// values compare with ==.
type Versions struct{ text string }

// AllVersions is the policy all.
var AllVersions = Versions{"all"}

const maxVersions = 16

// VersionList is the policy specific: these versions and no others.
func VersionList(versions ...int) Versions {
	words := make([]string, len(versions))
	for i, v := range versions {
		words[i] = strconv.Itoa(v)
	}
	return Versions{strings.Join(words, ",")}
}

// List is the versions of the policy specific, ascending; nil with the others.
func (v Versions) List() []int {
	if v.text == "" || v == AllVersions {
		return nil
	}
	var list []int
	for word := range strings.SplitSeq(v.text, ",") {
		n, _ := strconv.Atoi(word) // VersionList wrote it
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// ParseVersions reads a policy's word, or one version.
func ParseVersions(s string) (Versions, error) {
	switch n, err := strconv.Atoi(s); {
	case s == "latest" || s == "":
		return Versions{}, nil
	case s == "all":
		return AllVersions, nil
	case err == nil && n >= 0:
		return VersionList(n), nil
	}
	return Versions{}, fmt.Errorf("%q is none of latest, all and a list of versions such as [2, 3]", s)
}

// Window is a part of the day. Its zero value is the whole day; To below From
// goes over midnight.
type Window struct{ From, To time.Duration }

// ParseWindow reads 01:00-05:30; empty is the whole day.
func ParseWindow(s string) (Window, error) {
	if s == "" {
		return Window{}, nil
	}
	from, to, ok := strings.Cut(s, "-")
	a, err := clock(from)
	b, err2 := clock(to)
	if !ok || err != nil || err2 != nil || a == b {
		return Window{}, fmt.Errorf("%q is no part of a day such as 01:00-05:30", s)
	}
	return Window{a, b}, nil
}

func clock(s string) (time.Duration, error) {
	t, err := time.Parse("15:04", strings.TrimSpace(s))
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, err
}

// String is the window as a file has it.
func (w Window) String() string {
	if w == (Window{}) {
		return ""
	}
	text := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60) }
	return text(w.From) + "-" + text(w.To)
}
