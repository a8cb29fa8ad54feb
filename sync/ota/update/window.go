package update

import (
	"fmt"
	"time"
)

// Window is the part of the day, in local time, in which downloads may run. Its
// zero value is the whole day.
type Window struct {
	From, To time.Duration // since midnight; To below From goes over it
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
