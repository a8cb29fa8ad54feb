package fleet

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/sync/payload"
)

// Screen shows a live view on a terminal, whose size is asked each time.
func Screen(w io.Writer, size func() Size, only []payload.ReleaseState) func(Update) error {
	var drawn time.Time
	var cost time.Duration
	return func(u Update) error {
		// A large fleet shall not take more than a third of a processor.
		if time.Since(drawn) < 2*cost && u.Trouble == "" {
			return nil
		}
		// Ages grow, so that once a second is needed without news too.
		if !u.Dirty && time.Since(drawn) < time.Second {
			return nil
		}
		began := time.Now()
		defer func() { drawn, cost = time.Now(), time.Since(began) }()
		fits := size()
		var b strings.Builder
		b.WriteString("\x1b[H\x1b[2J") // home, clear
		if u.Trouble != "" {
			fits.Rows = max(fits.Rows-1, 0)
			b.WriteString(cut(trouble(u), fits.Columns) + "\n")
		}
		if err := u.Status().Only(only).Print(&b, fits); err != nil {
			return err
		}
		_, err := io.WriteString(w, b.String())
		return err
	}
}

func trouble(u Update) string { return clean(u.Trouble, maxReason) + ": trying again" }

// Lines shows a live view as a line per change, for pipes and logs, after the
// status at the beginning.
func Lines(w io.Writer, who string, only []payload.ReleaseState) func(Update) error {
	return func(u Update) error {
		if u.First {
			if err := u.Status().Only(only).Print(w, Size{}); err != nil {
				return err
			}
		}
		var b strings.Builder
		for _, c := range u.Changes {
			if wanted(c, only) {
				fmt.Fprintf(&b, "%s %s\n", c.Time.Format(time.RFC3339), c.line(who))
			}
		}
		if u.Missed > 0 {
			fmt.Fprintf(&b, "%s %d changes more\n", time.Now().UTC().Format(time.RFC3339), u.Missed)
		}
		if u.Trouble != "" {
			fmt.Fprintf(&b, "%s %s\n", time.Now().UTC().Format(time.RFC3339), trouble(u))
		}
		_, err := io.WriteString(w, b.String())
		return err
	}
}

// JSON shows a live view as one JSON object per line: the status, then changes.
func JSON(w io.Writer, only []payload.ReleaseState) func(Update) error {
	enc := json.NewEncoder(w)
	return func(u Update) error {
		if u.First {
			if err := enc.Encode(u.Status().Only(only)); err != nil {
				return err
			}
		}
		for _, c := range u.Changes {
			if wanted(c, only) {
				if err := enc.Encode(c); err != nil {
					return err
				}
			}
		}
		if u.Missed == 0 && u.Trouble == "" {
			return nil
		}
		return enc.Encode(struct {
			Time    time.Time `json:"time"`
			Missed  uint64    `json:"missed,omitempty"`
			Trouble string    `json:"trouble,omitempty"`
		}{time.Now().UTC(), u.Missed, clean(u.Trouble, maxReason)})
	}
}

// wanted: the rollout's changes always are.
func wanted(c Change, only []payload.ReleaseState) bool {
	return c.Device == nil || len(only) == 0 || slices.Contains(only, c.Device.State)
}

func (c Change) line(who string) string {
	if c.Device == nil {
		return inForce(who, c.Rollout, c.Problem)
	}
	d := *c.Device
	if c.Gone {
		return d.ID + " is gone"
	}
	parts := []string{d.ID}
	if d.Online != "" {
		parts = append(parts, d.Online)
	}
	parts = append(parts, string(d.State))
	for _, part := range []string{d.Release, note(d)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}
