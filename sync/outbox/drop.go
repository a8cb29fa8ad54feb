package outbox

import (
	"fmt"
	"time"
)

// oldestDroppable is the first record that is neither leased nor being
// written just now: those are in other hands.
func (l *line) oldestDroppable() *record {
	for _, r := range l.recs {
		if r.state == free && !r.flushing {
			return r
		}
	}
	return nil
}

func (o *Outbox) drop(r *record, reason string) {
	o.acc.Dropped[reason]++
	o.drops.add(reason, 1)
	o.finish(r)
}

// lose counts stored records that are not in memory as dropped.
func (o *Outbox) lose(records, bytes uint64, reason string) {
	records = min(records, o.unloaded)
	o.unloaded -= records
	o.acc.Stored -= records
	o.acc.StoredBytes -= min(o.acc.StoredBytes, bytes)
	if o.acc.Stored == 0 {
		o.acc.StoredBytes = 0
	}
	o.acc.Dropped[reason] += records
	o.drops.add(reason, records)
	o.counted = true
	o.changed()
}

func (o *Outbox) loseBlock(s stored, reason string) {
	s.live = int(min(uint64(s.live), o.nextSeq-min(s.first, o.nextSeq)))
	o.dead[s.first] = struct{}{}
	o.loadedTo = s.first + 1
	o.lose(uint64(s.live), uint64(s.liveBytes), reason)
}

// makeRoom thins, if it may, and drops the oldest records until MaxBytes is kept: whole blocks of
// those that are only on disk, single records of those in memory. Leased
// records stay, so the bound may be passed by what is in flight.
func (o *Outbox) makeRoom() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	bound := o.opts.MaxBytes
	if o.opts.Thin != nil {
		var err error
		if bound, err = o.thin(); err != nil {
			return err
		}
	}
	for o.total() > bound {
		r := o.stored.oldestDroppable()
		if o.unloaded > 0 && (r == nil || r.seq >= o.loadedTo) {
			if err := o.dropBlock(); err != nil {
				return err
			}
			continue
		}
		if r == nil && o.total() > o.opts.MaxBytes {
			r = o.held.oldestDroppable()
		}
		if r == nil {
			break
		}
		o.drop(r, DroppedFull)
		o.stored.trim()
		o.held.trim()
	}
	return nil
}

// dropBlock drops the oldest block that is not in memory. It lets go of mu
// while it reads.
func (o *Outbox) dropBlock() error {
	db, from, changes := o.db, o.loadedTo, o.changes
	o.mu.Unlock()
	s, found, err := readBlock(db, from)
	o.mu.Lock()
	switch {
	case err != nil:
		return err
	case changes != o.changes || from != o.loadedTo:
	case !found:
		o.lose(o.unloaded, 0, DroppedDamaged)
	case o.skip(s.first):
	case s.err != nil:
		o.loseBlock(s, DroppedDamaged)
	default:
		o.loseBlock(s, DroppedFull)
	}
	return nil
}

// dropLog coalesces drops into one line a minute.
type dropLog struct {
	counts map[string]uint64
	last   time.Time
}

func (d *dropLog) add(reason string, n uint64) {
	if n == 0 {
		return
	}
	if d.counts == nil {
		d.counts = map[string]uint64{}
	}
	d.counts[reason] += n
}

// take gives what to say, if it is time to say something.
func (d *dropLog) take(now time.Time) (string, bool) {
	if len(d.counts) == 0 || now.Sub(d.last) < time.Minute {
		return "", false
	}
	text := ""
	for _, reason := range []string{DroppedFull, DroppedThinned, DroppedMemory, DroppedDamaged} {
		if n := d.counts[reason]; n > 0 {
			text += fmt.Sprintf("%s%d %s", sep(text), n, reason)
		}
	}
	d.counts, d.last = nil, now
	return text, true
}

func sep(text string) string {
	if text == "" {
		return ""
	}
	return ", "
}
