package outbox

import (
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Thinning makes room by leaving out what says little, in place of dropping
// the oldest whole. It begins when MaxBytes is passed and goes on, a little
// with each flush, until a fifth is free: a block is then rewritten once and
// not at every flush.
//
// It goes over the stored blocks twice, oldest first: the first pass leaves
// out repeats, the second all but summaries, where the first has been. The
// first stops short of the newest quarter of MaxBytes, as it was appended, the
// second of the newest half, each to an eighth: so the newest stays whole, and
// there is a middle of which the changes stay. When there is nothing left to
// thin the oldest are dropped, as without it.
const (
	// thinBlocks is how many blocks one flush reads at most; beyond that the
	// oldest are dropped.
	thinBlocks = 64
	// thinBytes of records are enough for one flush once the bound is kept,
	// and four times as much with what is held before: reading the JSON of so
	// much takes a tenth of a second on a slow processor.
	thinBytes  = 1 << 20
	thinPasses = 2
	// thinMarks of them divide the newest half.
	thinMarks = 4
)

// thinning is what the Outbox keeps for it in memory.
type thinning struct {
	pass   int    // 0 when none is under way
	heldTo uint64 // held records before this sequence number are thinned
	// rewritten blocks are in memory until they are committed.
	rewritten map[*block][]*record
}

// thinned is what it keeps in the account.
type thinned struct {
	// To is how far each pass has come, as sequence numbers.
	To [thinPasses]uint64 `json:"to"`
	// Marks are the sequence numbers at each eighth of MaxBytes that was
	// appended, the newest first, and Since the bytes since then. A mark of 0
	// has not been set yet.
	Marks [thinMarks]uint64 `json:"marks"`
	Since uint64            `json:"since"`
}

// append counts a record that gets the next sequence number.
func (t *thinned) append(seq uint64, size int, maxBytes int64) {
	t.Since += uint64(size)
	if t.Since >= uint64(maxBytes)/(2*thinMarks) {
		copy(t.Marks[1:], t.Marks[:])
		t.Marks[0], t.Since = seq, 0
	}
}

// run is consecutive blocks that are on disk only.
type run struct {
	blocks []stored
	size   int    // of the live records
	reads  int    // blocks looked at
	next   uint64 // where to go on
	end    bool   // the pass is over
}

// live is the records that are not done, oldest first.
func (r *run) live() (recs [][]byte) {
	for _, s := range r.blocks {
		for i, rec := range s.recs {
			if !s.marks.has(i) {
				recs = append(recs, rec)
			}
		}
	}
	return recs
}

// thin does one flush's share and gives the bound that dropping has to keep:
// MaxBytes, or four fifths of it when there is nothing left to thin. It is
// called with mu held and lets go of it while it reads and thins.
func (o *Outbox) thin() (bound int64, err error) {
	o.thinHeld()
	low := o.opts.MaxBytes / 5 * 4
	if o.thinning.pass == 0 && o.total() > o.opts.MaxBytes {
		o.thinning.pass = 1
	}
	// Blocks that could not be committed yet are in memory: there must not be
	// ever more of them.
	reads, size := len(o.thinning.rewritten), 0
	for o.thinning.pass > 0 && o.total() > low && reads < thinBlocks && size < o.thinEnough() {
		r, err := o.readRun(thinBlocks - reads)
		if err != nil {
			return 0, err
		}
		reads += r.reads
		size += r.size
		o.thinRun(r)
		o.acc.Thinned.To[o.thinning.pass-1] = r.next
		o.counted = true
		if r.end {
			o.thinning.pass++
		}
		if o.thinning.pass > thinPasses {
			o.thinning.pass = 0
			return low, nil
		}
	}
	if o.total() <= low {
		o.thinning.pass = 0
	}
	return o.opts.MaxBytes, nil
}

func (o *Outbox) thinEnough() int {
	if o.total() > o.opts.MaxBytes {
		return 4 * (thinBytes + int(o.heldSize))
	}
	return thinBytes
}

// thinRange is where the pass goes on and where it ends.
func (o *Outbox) thinRange() (from, limit uint64) {
	t, i := &o.acc.Thinned, o.thinning.pass-1
	limit = o.nextSeq
	if i > 0 {
		limit = t.To[i-1]
	}
	if mark := t.Marks[(i+1)*thinMarks/thinPasses-1]; mark > 0 {
		limit = min(limit, mark)
	}
	return max(t.To[i], o.loadedTo), limit
}

// readRun reads what one block may hold, from where the pass is. Blocks in
// memory are in other hands and damaged ones are found when they are taken:
// it ends before them, or steps over them at its start.
func (o *Outbox) readRun(most int) (run, error) {
	from, limit := o.thinRange()
	r := run{next: from}
	for r.reads < most && r.size < blockBytes {
		db := o.db
		o.mu.Unlock()
		s, found, err := readBlock(db, r.next)
		o.mu.Lock()
		r.reads++
		if err != nil {
			return r, err
		}
		if !found || s.first >= limit {
			r.end = true
			return r, nil
		}
		usable := s.err == nil && o.onDiskOnly(s.first)
		if len(r.blocks) > 0 && (!usable || r.size+s.liveBytes > blockBytes) {
			return r, nil
		}
		r.next = s.first + uint64(max(s.count, 1))
		if usable {
			r.blocks = append(r.blocks, s)
			r.size += s.liveBytes
		}
	}
	return r, nil
}

func (o *Outbox) onDiskOnly(first uint64) bool {
	_, dead := o.dead[first]
	return !dead && o.blocks[first] == nil
}

// thinRun has Options.Thin look at a run, which stays as it was when somebody
// took of it meanwhile.
func (o *Outbox) thinRun(r run) {
	out := o.choose(r.live(), o.thinning.pass == thinPasses)
	if !out.worth || slices.ContainsFunc(r.blocks, func(s stored) bool { return !o.onDiskOnly(s.first) }) {
		return
	}
	o.unloaded -= min(o.unloaded, uint64(out.before))
	o.acc.Stored = o.acc.Stored - uint64(out.before) + uint64(len(out.recs))
	o.acc.StoredBytes = o.acc.StoredBytes - min(o.acc.StoredBytes, uint64(r.size)) + uint64(out.size)
	o.countThinned(out)
	o.changed()
	o.rewrite(r, out.recs, out.size)
}

// choice is what Options.Thin made of some records.
type choice struct {
	recs      [][]byte // those that stay, then summaries
	size      int      // of recs
	before    int      // how many records there were
	lost      int      // of them
	summaries int
	worth     bool // it may be done, and is worth the writing
}

// choose asks Options.Thin. It lets go of mu meanwhile. What frees less than a
// tenth is not worth writing records again; there must be no more than before,
// since they take the old ones' sequence numbers.
func (o *Outbox) choose(recs [][]byte, hard bool) choice {
	c := choice{before: len(recs)}
	if len(recs) == 0 {
		return c
	}
	o.mu.Unlock()
	keep, summaries := o.opts.Thin(recs, hard)
	o.mu.Lock()
	if len(keep) != len(recs) {
		return c
	}
	before := 0
	for i, rec := range recs {
		before += len(rec)
		if keep[i] {
			c.recs = append(c.recs, rec)
		}
	}
	c.lost, c.summaries = len(recs)-len(c.recs), len(summaries)
	c.recs = append(c.recs, summaries...)
	for _, rec := range c.recs {
		c.size += len(rec)
		if len(rec) == 0 || len(rec) > o.opts.MaxRecord {
			return c
		}
	}
	c.worth = len(c.recs) <= len(recs) && c.size <= before-max(before/10, 1)
	return c
}

func (o *Outbox) countThinned(c choice) {
	o.acc.Produced += uint64(c.summaries)
	o.acc.Dropped[DroppedThinned] += uint64(c.lost)
	o.drops.add(DroppedThinned, uint64(c.lost))
	o.counted = true
}

// rewrite puts one block in memory in place of a run's, under the first one's
// number, to be written by the commit that follows.
func (o *Outbox) rewrite(r run, out [][]byte, size int) {
	for i, s := range r.blocks {
		if i > 0 || len(out) == 0 {
			o.dead[s.first] = struct{}{}
		}
	}
	if len(out) == 0 {
		return
	}
	blk := &block{first: r.blocks[0].first, count: len(out), left: len(out), done: newBitmap(len(out))}
	buf := make([]byte, 0, size) // a copy, so that what was left out is freed
	recs := make([]*record, len(out))
	for i, rec := range out {
		n := len(buf)
		buf = append(buf, rec...)
		recs[i] = &record{seq: blk.first + uint64(i), data: buf[n:len(buf):len(buf)], blk: blk, index: i}
	}
	o.blocks[blk.first] = blk
	o.thinning.rewritten[blk] = recs
	o.insertStored(recs)
}

// rewrites is the plan's share of it. An emptied block is only deleted.
func (o *Outbox) rewrites() (list []addition) {
	for blk, recs := range o.thinning.rewritten {
		if blk.left > 0 {
			list = append(list, addition{blk: blk, recs: recs})
		}
	}
	return list
}

func writeRewritten(tx *bolt.Tx, marks *bolt.Bucket, list []addition) error {
	for _, a := range list {
		if err := deleteBlock(tx, a.blk.first); err != nil {
			return err
		}
		if err := marks.Delete(seqKey(a.blk.first)); err != nil {
			return err
		}
		if err := putBlock(tx, a.blk.first, encodeBlock(a.recs)); err != nil {
			return err
		}
	}
	return nil
}

// settleRewritten forgets the blocks that are written now, but for those of
// which something is in flight or has left meanwhile.
func (o *Outbox) settleRewritten(p plan) {
	for _, blk := range p.emptied {
		delete(o.thinning.rewritten, blk)
	}
	gone := map[*block]bool{}
	for _, a := range p.rewritten {
		delete(o.thinning.rewritten, a.blk)
		if a.blk.touched || slices.ContainsFunc(a.recs, func(r *record) bool { return r.state == leased }) {
			continue
		}
		gone[a.blk] = true
		delete(o.blocks, a.blk.first)
		o.unloaded += uint64(a.blk.left)
		o.loadedTo = min(o.loadedTo, a.blk.first)
	}
	if len(gone) > 0 {
		o.stored.recs = slices.DeleteFunc(o.stored.recs, func(r *record) bool { return gone[r.blk] })
		o.stored.rewind()
	}
}
