package main

import (
	"fmt"
	"slices"
)

// window is what was seen in one calm window: no fault for some seconds, the
// same configuration, everything delivered. Only such moments can be compared.
type window struct {
	At     float64            `json:"at"` // seconds since the start
	Values map[string]float64 `json:"values"`
}

// limit is what a series is held to.
type limit struct {
	Series, What, Unit string
	// Trend is how much the series may grow over the judged time, or Share of
	// its own size when that is more. Only growth counts.
	Trend, Share float64
	// Most, when it is not nil, is the largest value that any window may have.
	Most *float64
	// Scale divides the values for people.
	Scale float64
}

// verdict is a limit and what was found.
type verdict struct {
	Series  string  `json:"series"`
	What    string  `json:"what"`
	Unit    string  `json:"unit"`
	Windows int     `json:"windows"`
	First   float64 `json:"first"` // median of the first third
	Last    float64 `json:"last"`  // median of the last third
	Largest float64 `json:"largest"`
	Trend   float64 `json:"trend"` // over the judged time
	Bound   float64 `json:"bound"`
	Kind    string  `json:"kind"` // "trend" or "most"
	OK      bool    `json:"ok"`
}

const mib = 1 << 20

func most(v float64) *float64 { return &v }

// limits are the bounds of the soak; docs/TESTING.md says why each is what it is.
var limits = []limit{
	{Series: "rss", What: "resident memory", Unit: "MiB", Most: most(256 * mib), Scale: mib},
	{Series: "used", What: "resident and in use", Unit: "MiB", Trend: 8 * mib, Share: 0.05, Scale: mib},
	{Series: "anon_used", What: "of it anonymous", Unit: "MiB", Trend: 8 * mib, Share: 0.05, Scale: mib},
	{Series: "native", What: "of that native code's", Unit: "MiB", Trend: 8 * mib, Share: 0.05, Scale: mib},
	{Series: "heap", What: "live heap after a collection", Unit: "MiB", Trend: 2 * mib, Scale: mib},
	{Series: "goroutines", What: "goroutines", Trend: 3},
	{Series: "fds", What: "file descriptors", Trend: 3},
	{Series: "threads", What: "threads", Trend: 4},
	{Series: "children", What: "child processes", Most: most(1)},
	{Series: "zombies", What: "of them zombies", Most: most(0)},
	{Series: "temp_files", What: "temporary files", Most: most(0)},
	{Series: "state_bytes", What: "state folder", Unit: "MiB", Trend: 8 * mib, Scale: mib},
	{Series: "state_files", What: "files in it", Trend: 2},
	{Series: "stored", What: "predictions stored", Most: most(0)},
	{Series: "flash_calm", What: "flash per prediction while acknowledged", Unit: "bytes", Most: most(0)},
	{Series: "flash_faults", What: "flash per flush_interval under faults", Unit: "KiB", Most: most(64 << 10), Scale: 1 << 10},
	{Series: "settled", What: "seconds until all is well again", Unit: "s", Most: most(45)},
}

// judge holds each limit against the windows after the warm-up.
func judge(limits []limit, windows []window, warmup float64) (all []verdict, err error) {
	windows = slices.DeleteFunc(slices.Clone(windows), func(w window) bool { return w.At < warmup })
	if len(windows) < 5 {
		return nil, fmt.Errorf("%d calm windows after the warm-up are too few for a verdict: let it run longer (SOAK=3m at least)", len(windows))
	}
	for _, l := range limits {
		v, err := l.judge(windows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func (l limit) judge(windows []window) (verdict, error) {
	var at, values []float64
	for _, w := range windows {
		value, ok := w.Values[l.Series]
		if !ok {
			return verdict{}, fmt.Errorf("no %s in the window at %.0f s: nothing to judge", l.Series, w.At)
		}
		at, values = append(at, w.At), append(values, value)
	}
	third := max(1, len(values)/3)
	v := verdict{
		Series: l.Series, What: l.What, Unit: l.Unit, Windows: len(values),
		First: median(values[:third]), Last: median(values[len(values)-third:]), Largest: slices.Max(values),
		Trend: slope(at, values) * (at[len(at)-1] - at[0]),
	}
	if l.Most != nil {
		v.Kind, v.Bound, v.OK = "most", *l.Most, v.Largest <= *l.Most
		return v, nil
	}
	v.Kind, v.Bound = "trend", max(l.Trend, l.Share*v.First)
	v.OK = v.Trend <= v.Bound
	return v, nil
}

// slope is that of Theil and Sen: the median of the slopes between all pairs.
// A few windows that something disturbed do not move it, as they do that of
// least squares.
func slope(x, y []float64) float64 {
	var all []float64
	for i := range x {
		for j := i + 1; j < len(x); j++ {
			if x[j] != x[i] {
				all = append(all, (y[j]-y[i])/(x[j]-x[i]))
			}
		}
	}
	return median(all)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
