package update

import (
	"fmt"
	"strings"
	"time"
)

// Window is the part of the day, in local time, in which downloads may run. Its
// zero value is the whole day.
type Window struct {
	From, To time.Duration // since midnight; To below From goes over it
}

// ParseWindow reads "01:00-05:30"; empty is the whole day.
func ParseWindow(s string) (Window, error) {
	if s == "" {
		return Window{}, nil
	}
	from, to, ok := strings.Cut(s, "-")
	a, err := time.Parse("15:04", strings.TrimSpace(from))
	b, err2 := time.Parse("15:04", strings.TrimSpace(to))
	if !ok || err != nil || err2 != nil || a.Equal(b) {
		return Window{}, fmt.Errorf("%q is no part of a day: write it as 01:00-05:30", s)
	}
	midnight := time.Date(a.Year(), a.Month(), a.Day(), 0, 0, 0, 0, time.UTC)
	return Window{a.Sub(midnight), b.Sub(midnight)}, nil
}

// Left is for how long the window stays open from t on; 0 when it is closed,
// below 0 when it never closes.
func (w Window) Left(t time.Time) time.Duration {
	if w == (Window{}) {
		return -1
	}
	now := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second
	switch {
	case w.From < w.To && now >= w.From && now < w.To:
		return w.To - now
	case w.From > w.To && now >= w.From:
		return 24*time.Hour - now + w.To
	case w.From > w.To && now < w.To:
		return w.To - now
	}
	return 0
}

func (w Window) String() string {
	clock := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60) }
	return clock(w.From) + "-" + clock(w.To)
}
