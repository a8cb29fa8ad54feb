package fleet

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// Size is what fits on a terminal; 0 is no limit.
type Size struct{ Columns, Rows int }

// Print writes the status for people: the rollout, counts, a row per device.
func (s Status) Print(w io.Writer, size Size) error {
	lines := s.head()
	shown := len(s.Devices)
	// The table's head takes two lines, and the cursor one.
	if size.Rows > 0 && len(lines)+2+shown+1 > size.Rows {
		shown = min(max(size.Rows-len(lines)-4, 1), shown)
	}
	lines = append(lines, rows(s.Devices[:shown], s.Time)...)
	if more := len(s.Devices) - shown; more > 0 {
		lines = append(lines, fmt.Sprintf("… and %s more: --only shows those in some states", devices(more)))
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(cut(strings.TrimRight(line, " "), size.Columns))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s Status) head() []string {
	c := s.Counts
	lines := []string{s.rollout(), fmt.Sprintf("%d of %s online%s", c.Online, devices(c.Devices), s.progress())}
	var rest []string
	for _, o := range []struct {
		n    int
		what string
	}{{c.Pinned, "pinned"}, {c.Silent, "silent (no report)"}, {c.Unreadable, "unreadable"}} {
		if o.n > 0 {
			rest = append(rest, fmt.Sprintf("%d %s", o.n, o.what))
		}
	}
	if len(rest) > 0 {
		lines = append(lines, strings.Join(rest, ", "))
	}
	for i, o := range s.Others {
		if i == maxOthers {
			lines = append(lines, fmt.Sprintf("… and %d cohorts more", len(s.Others)-i))
			break
		}
		line := fmt.Sprintf("cohort %s: %s", o.Cohort, devices(o.Devices))
		if o.Rollout != nil {
			line += fmt.Sprintf(", release %s %s for %s", o.Rollout.Release, o.Rollout.State, Percent(o.Rollout.BasisPoints))
		}
		lines = append(lines, line)
	}
	if s.Beyond > 0 {
		lines = append(lines, fmt.Sprintf("more devices than can be kept: %d messages were left out", s.Beyond))
	}
	return lines
}

// maxOthers bounds the lines about other cohorts.
const maxOthers = 8

func devices(n int) string {
	if n == 1 {
		return "1 device"
	}
	return fmt.Sprintf("%d devices", n)
}

func (s Status) rollout() string { return inForce(scope(s.Cohort, s.Pin), s.Rollout, s.Problem) }

func (s Status) progress() string {
	var parts []string
	for _, state := range append(slices.Clone(States), otherState) {
		if n := s.Counts.States[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", state, n))
		}
	}
	if s.Rollout == nil || s.Pin != "" {
		return join("; ", parts)
	}
	if s.Counts.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("waiting %d", s.Counts.Waiting))
	}
	return fmt.Sprintf(", %d selected", s.Counts.Selected) + join(": ", parts)
}

func join(before string, parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return before + strings.Join(parts, ", ")
}

// columns of the table: the widest that each may get.
var columns = []struct {
	title string
	most  int
	value func(Device, time.Time) string
}{
	{"DEVICE", 32, func(d Device, _ time.Time) string { return d.ID }},
	{"ONLINE", 7, func(d Device, _ time.Time) string { return dash(d.Online) }},
	{"STATE", 16, func(d Device, _ time.Time) string { return string(d.State) }},
	{"SINCE", 5, func(d Device, now time.Time) string { return age(d.Since, now) }},
	{"RELEASE", 24, func(d Device, _ time.Time) string { return dash(d.Release) }},
	{"SERVING", 32, func(d Device, _ time.Time) string { return dash(serving(d)) }},
	{"PROGRESS, REASON", 0, func(d Device, _ time.Time) string { return note(d) }},
}

// rows are the table's lines, its head first.
func rows(devices []Device, now time.Time) []string {
	if len(devices) == 0 {
		return nil
	}
	cells := make([][]string, 0, len(devices)+1)
	var head []string
	for _, c := range columns {
		head = append(head, c.title)
	}
	cells = append(cells, head)
	for _, d := range devices {
		cells = append(cells, cellsOf(d, now))
	}
	widest := make([]int, len(columns))
	for _, row := range cells {
		for i, cell := range row {
			widest[i] = min(max(widest[i], width(cell)), columns[i].most)
		}
	}
	lines := []string{""}
	for _, row := range cells {
		var b strings.Builder
		for i, cell := range row[:len(row)-1] {
			b.WriteString(pad(cell, widest[i]) + "  ")
		}
		lines = append(lines, b.String()+row[len(row)-1])
	}
	return lines
}

func cellsOf(d Device, now time.Time) []string {
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.value(d, now)
	}
	return row
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// age is how long ago t was; "?" when the device's clock is ahead of ours.
func age(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "-"
	case d < -time.Minute:
		return "?"
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(d, 0)/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d < 10_000*24*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return "?" // a clock that was never set
}

// maxServed bounds a model's name, so that its version is seen.
const maxServed = 26

// serving is cats/3; of several models, by their names in the configuration.
func serving(d Device) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(d.Serving)) {
		m := d.Serving[name]
		if len(d.Serving) == 1 {
			name = m.Name
		}
		parts = append(parts, fmt.Sprintf("%s/%d", cut(name, maxServed), m.Version))
	}
	return strings.Join(parts, " ")
}

func note(d Device) string {
	var parts []string
	if d.Waiting {
		parts = append(parts, "waiting")
	}
	if p := d.Progress; p != nil && p.Of > 0 && p.Done >= 0 {
		switch d.State {
		case payload.Downloading:
			parts = append(parts, fmt.Sprintf("%d%% of %.1f MB", percent(*p), float64(p.Of)/1e6))
		case payload.Shadow, payload.Trial:
			parts = append(parts, fmt.Sprintf("%d of %d frames", p.Done, p.Of))
		}
	}
	if d.Pin != nil {
		parts = append(parts, "pinned to "+d.Pin.Release)
	}
	if d.PinProblem != "" {
		parts = append(parts, "its pin: "+d.PinProblem)
	}
	if d.Reason != "" {
		parts = append(parts, d.Reason)
	}
	return strings.Join(parts, "; ")
}

func percent(p payload.Progress) int64 {
	return int64(100 * min(float64(p.Done)/float64(p.Of), 1))
}

// inForce is a document, or that there is none, in one line.
func inForce(who string, r *release.Rollout, problem string) string {
	switch {
	case problem != "":
		return fmt.Sprintf("%s: the rollout document cannot be read: %s", who, problem)
	case r == nil:
		return who + ": no rollout"
	}
	return who + ": " + describe(*r)
}
