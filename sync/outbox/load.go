package outbox

import (
	"errors"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// What a reader is ahead: unitBytes of records, about, are read at a time, and
// unitsAhead of these wait to be loaded.
const (
	unitBytes  = 128 << 10
	unitsAhead = 2
)

// reader reads blocks in the background, in order, until it is stopped or
// there are none: a backlog then leaves as fast as the slower of disk and
// network lets it.
type reader struct {
	units chan unit // closed at the end
	quit  chan struct{}
	to    uint64 // where the unit after those that were loaded begins
}

type unit struct {
	blocks []stored // at least one, unless there is an error
	err    error
}

func startReader(db *bolt.DB, from uint64) *reader {
	r := &reader{units: make(chan unit, unitsAhead), quit: make(chan struct{}), to: from}
	go r.run(db, from)
	return r
}

func (r *reader) run(db *bolt.DB, from uint64) {
	defer close(r.units)
	for {
		var u unit
		u.blocks, u.err = readBlocks(db, from, unitBytes, func() *memory { return memories.Get().(*memory) })
		if u.err == nil && len(u.blocks) == 0 {
			return
		}
		for i := range u.blocks {
			u.blocks[i].unpack()
		}
		select {
		case r.units <- u:
		case <-r.quit:
			return
		}
		if u.err != nil {
			return
		}
		from = u.end()
	}
}

// end is behind the last record of a unit.
func (u unit) end() uint64 {
	last := u.blocks[len(u.blocks)-1]
	return last.first + max(uint64(last.count), 1)
}

// changed notes that the blocks on disk are others now, or will be.
func (o *Outbox) changed() {
	o.changes++
	o.stopReader()
}

func (o *Outbox) stopReader() {
	if o.reader != nil {
		close(o.reader.quit)
		o.reader = nil
	}
}

// load brings the next blocks from disk into memory. It is called with mu held
// and lets go of it while it waits; false means that the disk gave an error.
func (o *Outbox) load() bool {
	from := o.loadedTo
	o.mu.Unlock()
	o.loadMu.Lock()
	defer o.loadMu.Unlock()
	o.mu.Lock()
	if from != o.loadedTo {
		return true // somebody else has loaded meanwhile
	}
	if o.broken != nil {
		return false
	}
	if o.reader != nil && o.reader.to != o.loadedTo {
		o.stopReader()
	}
	if o.reader == nil {
		o.reader = startReader(o.db, o.loadedTo)
	}
	r := o.reader
	o.mu.Unlock()
	var u unit
	more := false
	select {
	case u, more = <-r.units:
	case <-r.quit: // it may hang in a file that was given up
	}
	o.mu.Lock()
	switch {
	case o.closed:
		return false
	case r != o.reader || r.to != o.loadedTo:
		return true // look again
	case u.err != nil:
		o.stopReader()
		o.fail(u.err)
		if errors.Is(u.err, errDamaged) {
			o.broken = u.err
			notify(o.wake)
		}
		return false
	case !more:
		// Blocks whose header was damaged could not say how many they held.
		o.lose(o.unloaded, 0, DroppedDamaged)
		return true
	}
	r.to = u.end()
	for _, s := range u.blocks {
		switch {
		case o.skip(s.first):
		case s.err != nil:
			o.loseBlock(s, DroppedDamaged)
			return true // which stopped the reader: the rest is read again
		default:
			o.adopt(s)
		}
	}
	o.loadedTo = max(o.loadedTo, r.to)
	return true
}

// unpack makes the records of a block.
func (s *stored) unpack() {
	if s.err != nil {
		return
	}
	m := s.memory
	s.blk = &block{first: s.first, count: s.count, left: s.live, done: newBitmap(s.count), memory: m, lined: s.live}
	copy(s.blk.done, s.marks)
	m.slab, m.recs = slices.Grow(m.slab[:0], s.live), slices.Grow(m.recs[:0], s.live)
	for i, data := range s.recs {
		if !s.blk.done.has(i) {
			m.slab = append(m.slab, record{seq: s.first + uint64(i), data: data, blk: s.blk, index: i})
			m.recs = append(m.recs, &m.slab[len(m.slab)-1])
		}
	}
}

// adopt makes the records of a block takeable.
func (o *Outbox) adopt(s stored) {
	o.blocks[s.first] = s.blk
	o.unloaded -= min(o.unloaded, uint64(s.live))
	o.loadedTo = s.first + uint64(s.count)
	o.insertStored(s.memory.recs)
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
