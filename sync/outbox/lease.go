package outbox

import (
	"errors"
	"slices"
	"sort"
)

// Take leases the oldest records that are not leased: at most maxRecords, and
// at most maxBytes unless the first alone has more. It waits for no new record
// and no flush; it may read one block at a time from disk. Later calls give
// later records until the batch is released.
func (o *Outbox) Take(maxRecords, maxBytes int) (Batch, bool) {
	b := leasing{o: o, maxRecords: maxRecords, maxBytes: maxBytes}
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		r := o.stored.oldestFree()
		if o.unloaded > 0 && (r == nil || r.seq >= o.loadedTo) && len(b.recs) < maxRecords && !o.closed {
			if !o.load() {
				break
			}
			continue
		}
		if r == nil {
			r = o.held.oldestFree()
		}
		if !b.add(r) {
			break
		}
	}
	return b.Batch, b.Len() > 0
}

// TakeLive is Take for the records that were appended since the last flush
// only: what is new need not wait until a backlog has gone.
func (o *Outbox) TakeLive(maxRecords, maxBytes int) (Batch, bool) {
	b := leasing{o: o, maxRecords: maxRecords, maxBytes: maxBytes}
	o.mu.Lock()
	defer o.mu.Unlock()
	for b.add(o.held.oldestFree()) {
	}
	return b.Batch, b.Len() > 0
}

// leasing is a batch in the making.
type leasing struct {
	Batch
	o                    *Outbox
	maxRecords, maxBytes int
	size                 int
}

// add leases r; false when the batch is full or there is none.
func (b *leasing) add(r *record) bool {
	if r == nil || b.o.closed || len(b.recs) >= b.maxRecords || len(b.recs) > 0 && b.size+len(r.data) > b.maxBytes {
		return false
	}
	r.state = leased
	b.o.leasedN++
	b.size += len(r.data)
	b.recs = append(b.recs, r)
	return true
}

// load brings the next block from disk into memory. It is called with mu held
// and lets go of it while it reads; false means that the disk gave an error.
func (o *Outbox) load() bool {
	if o.broken != nil {
		return false
	}
	db, from, changes := o.db, o.loadedTo, o.changes
	o.mu.Unlock()
	s, found, err := readBlock(db, from)
	o.mu.Lock()
	switch {
	case o.closed:
		return false
	case changes != o.changes || from != o.loadedTo || db != o.db:
		return true // look again
	case err != nil:
		o.fail(err)
		if errors.Is(err, errDamaged) {
			o.broken = err
			notify(o.wake)
		}
		return false
	case !found:
		// Blocks whose header was damaged could not say how many they held.
		o.lose(o.unloaded, 0, DroppedDamaged)
		return true
	}
	if o.skip(s.first) {
		return true
	}
	if s.err != nil {
		o.loseBlock(s, DroppedDamaged)
		return true
	}
	o.adopt(s)
	return true
}

// skip steps over a block that is in memory already or waits for deletion.
func (o *Outbox) skip(first uint64) bool {
	_, dead := o.dead[first]
	if !dead && o.blocks[first] == nil {
		return false
	}
	o.loadedTo = first + 1
	return true
}

// adopt makes the records of a block that was read takeable.
func (o *Outbox) adopt(s stored) {
	blk := &block{first: s.first, count: s.count, left: s.live, done: newBitmap(s.count)}
	copy(blk.done, s.marks)
	var recs []*record
	for i, data := range s.recs {
		if !blk.done.has(i) {
			recs = append(recs, &record{seq: s.first + uint64(i), data: data, blk: blk, index: i})
		}
	}
	o.blocks[s.first] = blk
	o.unloaded -= min(o.unloaded, uint64(s.live))
	o.loadedTo = s.first + uint64(s.count)
	o.insertStored(recs)
}

// insertStored adds the consecutive records of one block where they belong.
func (o *Outbox) insertStored(recs []*record) {
	if len(recs) == 0 {
		return
	}
	o.stored.trim()
	at := sort.Search(len(o.stored.recs), func(i int) bool { return o.stored.recs[i].seq > recs[0].seq })
	o.stored.recs = slices.Insert(o.stored.recs, at, recs...)
	o.stored.next = min(o.stored.next, at)
}

// Ack removes the records of b for good. Those that were never flushed have
// then never touched the disk; the deletion of stored ones is committed with
// the next flush.
func (o *Outbox) Ack(b Batch) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return ErrClosed
	}
	for _, r := range b.recs {
		if r.state != leased {
			continue // given back twice
		}
		o.leasedN--
		o.acc.Acknowledged++
		o.finish(r)
	}
	o.held.trim()
	o.stored.trim()
	return nil
}

// Release gives the records of b back for another try, in their old place.
func (o *Outbox) Release(b Batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range b.recs {
		if r.state == leased {
			r.state = free
			o.leasedN--
			o.acc.Duplicated++
			o.counted = true
		}
	}
	o.held.rewind()
	o.stored.rewind()
	notify(o.ready)
}

// finish takes r out of Held or Stored; the caller has counted it elsewhere.
func (o *Outbox) finish(r *record) {
	r.state = done
	o.counted = true
	if r.blk == nil {
		o.heldN--
		o.heldSize -= int64(len(r.data))
		return
	}
	o.acc.Stored--
	o.acc.StoredBytes -= min(o.acc.StoredBytes, uint64(len(r.data)))
	r.blk.mark(r.index)
	o.touched[r.blk] = struct{}{}
}

func (b *block) mark(i int) {
	b.done.set(i)
	b.left--
}
