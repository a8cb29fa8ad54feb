package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// hour makes up the windows of a run of an hour, of which the first ten minutes
// are the warm-up. Each window follows on 17 faults and 12 reloads.
const (
	hourWindows, hourWarmup = 70, 600.
	rareFaults              = 2  // of one kind, between two windows
	reloadsBetween          = 12 // and as many windows remain to be judged
)

func hour(value func(n int) float64) (windows []window) {
	for n := range hourWindows {
		at := float64(n+1) * 3600 / hourWindows
		windows = append(windows, window{At: at, Values: map[string]float64{"x": value(n)}})
	}
	return windows
}

func limitOf(t *testing.T, series string) limit {
	t.Helper()
	for _, l := range limits {
		if l.Series == series {
			l.Series = "x"
			return l
		}
	}
	t.Fatalf("there is no limit of %s", series)
	return limit{}
}

// TestJudge: what stays as it is passes with all its noise, and the smallest
// leaks that the soak is for do not.
func TestJudge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func(size float64) float64 { return size * rng.NormFloat64() }
	for _, tt := range []struct {
		name, series string
		value        func(n int) float64
		want         bool
	}{
		{"flat", "fds", func(int) float64 { return 19 }, true},
		{"flat with noise", "fds", func(int) float64 { return math.Round(19 + noise(2)) }, true},
		{"one outlier", "fds", func(n int) float64 { return 19 + map[bool]float64{true: 500}[n == 60] }, true},
		{"one descriptor per fault of the rarest kind", "fds", func(n int) float64 { return 19 + rareFaults*float64(n) }, false},
		{"one descriptor in ten of them, with noise", "fds", func(n int) float64 { return math.Round(19 + rareFaults*float64(n)/10 + noise(1)) }, false},
		{"one goroutine per fault, with noise", "goroutines", func(n int) float64 { return math.Round(55 + rareFaults*float64(n) + noise(3)) }, false},
		{"threads with noise", "threads", func(int) float64 { return math.Round(13 + noise(1)) }, true},
		{"one thread per fault", "threads", func(n int) float64 { return 13 + rareFaults*float64(n) }, false},
		{"fewer goroutines", "goroutines", func(n int) float64 { return 100 - float64(n) }, true},
		{"memory with noise of 5 MiB", "used", func(int) float64 { return 150*mib + noise(5*mib) }, true},
		{"memory that grew in the warm-up", "used", func(n int) float64 { return 150*mib + 60*mib*min(1, float64(n)/11) + noise(2*mib) }, true},
		{"64 KiB per reload, with noise", "used", func(n int) float64 { return 150*mib + 64<<10*reloadsBetween*float64(n) + noise(5*mib) }, false},
		{"more than half of MemoryMax once", "rss", func(n int) float64 { return 100*mib + map[bool]float64{true: 200 * mib}[n == 60] }, false},
		{"64 KiB per reload in the heap", "heap", func(n int) float64 { return 14*mib + 64<<10*reloadsBetween*float64(n) + noise(mib/2) }, false},
		{"4 KiB per reload in the heap", "heap", func(n int) float64 { return 14*mib + 4<<10*reloadsBetween*float64(n) + noise(mib/4) }, false},
		{"a heap with noise", "heap", func(int) float64 { return 14*mib + noise(mib) }, true},
		{"one zombie once", "zombies", func(n int) float64 { return float64(n / (hourWindows - 1)) }, false},
		{"no zombie", "zombies", func(int) float64 { return 0 }, true},
		{"one byte to the flash", "flash_calm", func(n int) float64 { return float64(n%2) / 100 }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := judge([]limit{limitOf(t, tt.series)}, hour(tt.value), hourWarmup)
			if err != nil {
				t.Fatal(err)
			}
			if v := all[0]; v.OK != tt.want {
				t.Errorf("holds: %v, want %v: %+v", v.OK, tt.want, v)
			}
		})
	}
}

// TestJudgeSaysWhatItCannot: too few windows, or none with the series, are no
// verdict that something holds.
func TestJudgeSaysWhatItCannot(t *testing.T) {
	flat := func(int) float64 { return 1 }
	if all, err := judge([]limit{{Series: "x"}}, hour(flat)[:14], hourWarmup); err == nil {
		t.Errorf("of too few windows it says %+v", all)
	}
	if all, err := judge([]limit{{Series: "y"}}, hour(flat), hourWarmup); err == nil {
		t.Errorf("of a series that is not there it says %+v", all)
	}
}

// TestReport: what does not hold is named, and what a run was too short to see.
func TestReport(t *testing.T) {
	windows := hour(func(int) float64 { return 0 })
	for _, w := range windows {
		for _, l := range limits {
			w.Values[l.Series] = 1
		}
	}
	r := result{Windows: windows, Warmup: hourWarmup, Faults: map[string]int{"a": 3, "b": 90}, Reloads: map[string]int{"x": 10, "wrong: y": 4}}
	r.Checks = []check{{"exit code", "0", true}, {"dropped", "7", false}}
	dir := t.TempDir()
	err := r.report(options{out: dir + "/soak.json", plot: dir + "/soak.svg"})
	if want := "did not hold: of them zombies; temporary files; predictions stored; flash per prediction while acknowledged; dropped"; fmt.Sprint(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
	if again := judgeAgain(options{out: dir + "/soak.json", plot: dir + "/soak.svg"}); fmt.Sprint(again) != fmt.Sprint(err) {
		t.Errorf("judged again: %v, want %v", again, err)
	}
	var b strings.Builder
	r.print(&b)
	for _, want := range []string{"93 faults, 14 reloads (4 of them refused", "| dropped | 7 | **FAILS** |", "| exit code | 0 | holds |", "3 × a, 90 × b", `each "a", the rarest fault`, "takes a longer run"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
