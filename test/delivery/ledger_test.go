//go:build linux

package delivery

import (
	"bufio"
	"fmt"
	"io"
	"testing"
)

// id is a prediction's place: boot and number within it.
type id struct{ boot, seq uint64 }

// ledger is what the children said, over all rounds.
type ledger struct {
	t        *testing.T
	rounds   map[uint64]int    // boot → round
	appended map[uint64]uint64 // boot → the last that may have been appended
	flushed  map[uint64]uint64 // boot → the last that was certainly flushed
	acked    map[id]bool
	lastBoot uint64
	drained  bool
	failed   string
}

func newLedger(t *testing.T) *ledger {
	return &ledger{
		t: t, rounds: map[uint64]int{}, appended: map[uint64]uint64{},
		flushed: map[uint64]uint64{}, acked: map[id]bool{},
	}
}

// read takes down what one child says until it ends.
func (l *ledger) read(round int, r io.Reader) {
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		var what string
		var boot, seq uint64
		n, _ := fmt.Sscan(sc.Text(), &what, &boot, &seq)
		switch {
		case what == "boot" && n == 2:
			if boot <= l.lastBoot {
				l.t.Errorf("round %d: boot %d comes after %d", round, boot, l.lastBoot)
			}
			l.lastBoot, l.rounds[boot] = boot, round
		case what == "append" && n == 3:
			l.appended[boot] = seq
		case what == "flushed" && n == 3:
			l.flushed[boot] = seq
		case what == "acked" && n == 3:
			l.acked[id{boot, seq}] = true
		case what == "drained":
			l.drained = true
		default:
			l.failed = sc.Text()
			l.t.Errorf("round %d: the child said %q", round, sc.Text())
		}
	}
	if err := sc.Err(); err != nil {
		l.t.Errorf("round %d: %v", round, err)
	}
}

// sum is how many were counted, over all boots.
func sum(m map[uint64]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// promised are the predictions that must arrive.
func (l *ledger) promised() map[id]bool {
	all := map[id]bool{}
	for boot, last := range l.flushed {
		for seq := uint64(1); seq <= last; seq++ {
			all[id{boot, seq}] = true
		}
	}
	for i := range l.acked {
		all[i] = true
	}
	return all
}
