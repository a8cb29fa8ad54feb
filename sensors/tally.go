package sensors

import (
	"log/slog"
	"time"
)

// tally logs the first of a run of like events at once and sums up the rest
// once a minute. It is not safe for concurrent use.
type tally struct {
	log     *slog.Logger
	msg     string
	pending uint64
	total   uint64
	last    error
	logged  time.Time
}

func newTally(log *slog.Logger, msg string) *tally { return &tally{log: log, msg: msg} }

func (t *tally) add(err error) {
	t.pending, t.total, t.last = t.pending+1, t.total+1, err
	if t.logged.IsZero() || time.Since(t.logged) >= time.Minute {
		t.flush()
	}
}

// flush logs what was not said yet.
func (t *tally) flush() {
	if t.pending == 0 {
		return
	}
	t.log.Warn(t.msg, "count", t.pending, "total", t.total, "last", t.last)
	t.pending, t.logged = 0, time.Now()
}
