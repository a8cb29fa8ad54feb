package outbox

import (
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// plan is what one transaction writes: decided with mu held, written without.
type plan struct {
	acc     account
	added   []addition
	dead    []uint64          // blocks to delete that are not in memory
	emptied []*block          // blocks to delete that are
	marked  map[uint64]bitmap // marks to write, copied
	touched []*block
	letters []Letter
	// rewritten blocks replace those of the same number.
	rewritten []addition
}

type addition struct {
	blk  *block
	recs []*record
}

// Flush writes what is held and what has left since the last one, in one
// transaction, and fsyncs. When it fails everything stays as it was, in
// memory, for the next one.
func (o *Outbox) Flush() error {
	o.flushMu.Lock()
	defer o.flushMu.Unlock()
	o.mu.Lock()
	closed, err := o.closed, o.broken
	o.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if err == nil {
		err = o.makeRoom()
	}
	if err == nil {
		err = o.commit()
	}
	if errors.Is(err, errDamaged) {
		if rerr := o.replace(err); rerr != nil {
			err = rerr
		} else {
			err = o.commit()
		}
	}
	o.report(err)
	if err != nil {
		return fmt.Errorf("flush outbox %q: %w", o.opts.Path, err)
	}
	return nil
}

func (o *Outbox) commit() error {
	p, any := o.plan()
	if !any {
		return nil
	}
	err := guard(func() error { return o.db.Update(p.write) })
	o.settle(p, err)
	if err == nil {
		now := time.Now()
		more := o.prefillMore(now)
		o.mu.Lock()
		o.wear.spent(o.db, more, now)
		o.mu.Unlock()
	}
	return err
}

// plan takes a snapshot. The account in it counts the held records as stored,
// which they are once it is committed.
func (o *Outbox) plan() (plan, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held.trim()
	p := plan{acc: o.acc, marked: map[uint64]bitmap{}}
	p.acc.Dropped = cloneCounts(o.acc.Dropped)
	p.acc.Stored += o.heldN
	p.acc.StoredBytes += uint64(o.heldSize)
	p.acc.NextSeq = o.nextSeq
	p.added = o.pack()
	p.rewritten = o.rewrites()
	for first := range o.dead {
		p.dead = append(p.dead, first)
	}
	p.touched, o.touched = o.touched, nil
	for _, blk := range p.touched {
		blk.touched = false
		if blk.left == 0 {
			p.emptied = append(p.emptied, blk)
		} else {
			p.marked[blk.first] = append(bitmap(nil), blk.done...)
		}
	}
	p.letters, o.letters = o.letters, nil
	any := o.counted || len(p.added)+len(p.dead)+len(p.touched)+len(p.rewritten) > 0
	o.counted = false
	return p, any
}

// pack groups the held records into blocks of consecutive records and enters
// the blocks, so that nobody loads them while they are being written.
func (o *Outbox) pack() []addition {
	var added []addition
	var size int
	for _, r := range o.held.recs {
		if r.state == done {
			continue
		}
		n := len(added)
		if n == 0 || size+len(r.data) > blockBytes || r.seq != added[n-1].blk.first+uint64(len(added[n-1].recs)) {
			blk := &block{first: r.seq}
			o.blocks[r.seq] = blk
			added = append(added, addition{blk: blk})
			size, n = 0, n+1
		}
		r.flushing = true
		size += len(r.data)
		added[n-1].recs = append(added[n-1].recs, r)
	}
	for _, a := range added {
		a.blk.count, a.blk.left, a.blk.done = len(a.recs), len(a.recs), newBitmap(len(a.recs))
	}
	return added
}

func (p plan) write(tx *bolt.Tx) error {
	marks := tx.Bucket(bucketDone)
	for _, blk := range p.emptied {
		p.dead = append(p.dead, blk.first)
	}
	for _, first := range p.dead {
		if err := errors.Join(deleteBlock(tx, first), marks.Delete(seqKey(first))); err != nil {
			return err
		}
	}
	if err := writeRewritten(tx, marks, p.rewritten); err != nil {
		return err
	}
	for first, m := range p.marked {
		if err := marks.Put(seqKey(first), m); err != nil {
			return err
		}
	}
	for _, a := range p.added {
		if err := putBlock(tx, a.blk.first, encodeBlock(a.recs)); err != nil {
			return err
		}
	}
	return errors.Join(writeLetters(tx, p.letters), writeAccount(tx, p.acc))
}

// settle brings the memory in line with what the transaction did.
func (o *Outbox) settle(p plan, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changed()
	if err != nil {
		o.undo(p)
		return
	}
	for _, first := range p.dead {
		delete(o.dead, first)
	}
	for _, blk := range p.emptied {
		delete(o.blocks, blk.first)
	}
	o.settleRewritten(p)
	for _, a := range p.added {
		o.settleBlock(a)
	}
	if n := len(p.added); n > 0 {
		last := p.added[n-1].recs
		o.dropHeldUpTo(last[len(last)-1].seq)
	}
	o.stored.trim()
}

func (o *Outbox) undo(p plan) {
	o.counted = true
	o.letters = newestLetters(append(p.letters, o.letters...))
	for _, blk := range p.touched {
		o.touch(blk)
	}
	for _, a := range p.added {
		delete(o.blocks, a.blk.first)
		for _, r := range a.recs {
			r.flushing = false
		}
	}
}

// settleBlock turns held records into stored ones. A block of which something
// is in flight stays in memory; any other is forgotten until it is taken.
func (o *Outbox) settleBlock(a addition) {
	keep := false
	for i, r := range a.recs {
		r.flushing = false
		r.blk, r.index = a.blk, i
		if r.state == done { // acknowledged meanwhile, and counted then
			a.blk.mark(i)
			o.touch(a.blk)
			keep = true
			continue
		}
		keep = keep || r.state == leased
		o.heldN--
		o.heldSize -= int64(len(r.data))
		o.acc.Stored++
		o.acc.StoredBytes += uint64(len(r.data))
	}
	if keep {
		o.insertStored(a.recs)
		return
	}
	delete(o.blocks, a.blk.first)
	o.unloaded += uint64(a.blk.left)
	o.loadedTo = min(o.loadedTo, a.blk.first)
}

// dropHeldUpTo forgets the held records that are stored now.
func (o *Outbox) dropHeldUpTo(seq uint64) {
	n := 0
	for n < len(o.held.recs) && o.held.recs[n].seq <= seq {
		n++
	}
	o.held.recs = append([]*record(nil), o.held.recs[n:]...)
	o.held.next = 0
}

// failure is a run of flushes that did not succeed.
type failure struct {
	err   error
	since time.Time
	count int
}

func (o *Outbox) fail(err error) (first bool) {
	first = o.failing.err == nil
	if first {
		o.failing.since = time.Now()
	}
	o.failing.err = err
	o.failing.count++
	return first
}

// report keeps the state and says once that flushing fails, once that it
// works again, and at most once a minute what was dropped.
func (o *Outbox) report(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	log := o.opts.Logger
	if err != nil {
		if o.fail(err) {
			log.Warn("outbox cannot write, keeping results in memory", "path", o.opts.Path, "error", err)
		}
	} else if o.failing.err != nil {
		log.Info("outbox writes again", "path", o.opts.Path, "failures", o.failing.count,
			"for", time.Since(o.failing.since).Round(time.Second), "last", o.failing.err)
		o.failing = failure{}
	}
	if text, ok := o.drops.take(time.Now()); ok {
		log.Warn("outbox dropped results", "path", o.opts.Path, "dropped", text)
	}
}
