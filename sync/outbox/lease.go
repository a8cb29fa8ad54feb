package outbox

import (
	"slices"
	"sort"
)

// Take leases the oldest records that are not leased: at most maxRecords, and
// at most maxBytes unless the first alone has more. It waits for no new record
// and no flush, but may have to read from disk. Later calls give later records
// until the batch is released.
func (o *Outbox) Take(maxRecords, maxBytes int) (Batch, bool) {
	b := leasing{o: o, maxRecords: maxRecords, maxBytes: maxBytes}
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		r := o.stored.oldestFree()
		if o.unloaded > 0 && (r == nil || r.seq >= o.loadedTo) && b.Len() < maxRecords && !o.closed {
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
}

// add leases r; false when the batch is full or there is none.
func (b *leasing) add(r *record) bool {
	if r == nil || b.o.closed || b.Len() >= b.maxRecords || b.Len() > 0 && b.bytes+len(r.data) > b.maxBytes {
		return false
	}
	if b.lease == nil {
		b.lease = &lease{recs: make([]*record, 0, min(b.maxRecords, 64))}
	}
	r.state = leased
	b.o.leasedN++
	b.bytes += len(r.data)
	b.recs = append(b.recs, r)
	return true
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
	for _, r := range b.end() {
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
	for _, r := range b.end() {
		r.state = free
		o.leasedN--
		o.acc.Duplicated++
		o.counted = true
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
	o.touch(r.blk)
}

// touch has the next flush write a block's marks.
func (o *Outbox) touch(blk *block) {
	if !blk.touched {
		blk.touched = true
		o.touched = append(o.touched, blk)
	}
}

// mark notes that record i is done.
func (b *block) mark(i int) {
	b.done.set(i)
	b.left--
}
