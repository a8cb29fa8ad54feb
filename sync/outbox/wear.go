package outbox

import (
	"time"

	bolt "go.etcd.io/bbolt"
)

// wear counts what the outbox writes, and keeps a budget: allowance comes in by
// the clock, commits spend it, and while there is none the interval's flushes
// wait. Its zero value has no budget.
type wear struct {
	budget  int64 // bytes a day; 0: none
	allowed float64
	at      time.Time // of allowed
	pages   int64     // what bbolt had allocated at the last commit
	// Of this life of the outbox.
	start    time.Time
	written  uint64
	produced uint64 // of the account, at the start
	// waiting: a flush is due and there is no allowance for it.
	waiting bool
}

// burst is how much may be saved up: a flap of the network after a quiet hour
// is written as if there were no budget.
const burst = time.Hour

func newWear(budget int64, produced uint64, now time.Time) wear {
	w := wear{budget: budget, at: now, start: now, produced: produced}
	w.allowed = w.most()
	return w
}

func (w *wear) most() float64 { return float64(w.budget) * burst.Hours() / 24 }

// spent notes a commit and what was written beside it; db counts the pages of
// the former, all but the meta page.
func (w *wear) spent(db *bolt.DB, more int64, now time.Time) {
	stats := db.Stats()
	pages := stats.TxStats.GetPageAlloc()
	if pages < w.pages { // another file
		w.pages = 0
	}
	n := pages - w.pages + pageSize + more
	w.pages = pages
	w.written += uint64(n)
	w.refill(now)
	w.allowed -= float64(n)
}

func (w *wear) refill(now time.Time) {
	w.allowed = min(w.allowed+float64(w.budget)*now.Sub(w.at).Hours()/24, w.most())
	w.at = now
}

// allows tells whether the budget has room for a flush.
func (w *wear) allows(now time.Time) bool {
	if w.budget == 0 {
		return true
	}
	w.refill(now)
	return w.allowed > 0
}

// perDay is the present life's writes, for a whole day.
func (w *wear) perDay(now time.Time) uint64 {
	lasted := now.Sub(w.start)
	if lasted < time.Minute {
		return 0 // too early to tell
	}
	return uint64(float64(w.written) * 24 / lasted.Hours())
}
