package outbox

import (
	"sync"
	"time"
)

type state uint8

const (
	free   state = iota // may be taken
	leased              // taken, not yet acknowledged or released
	done                // acknowledged or dropped
)

// record is one record in memory; Outbox.mu guards its state and blk.
type record struct {
	seq   uint64
	data  []byte
	at    time.Time // appended; zero when read from disk
	state state
	blk   *block // where it is stored; nil while it is only held
	index int    // within blk
	// flushing: a transaction that writes it is under way.
	flushing bool
}

// block is a stored block of which some records are in memory.
type block struct {
	first uint64
	count int
	left  int    // records not done
	done  bitmap // as it shall be on disk
	// touched: it is in Outbox.touched.
	touched bool
	// memory is that of records that were read from disk, nil for others; lined
	// is how many of them are still in line.
	memory *memory
	lined  int
}

// memory is what the records of a block that was read from disk lie in. It is
// used again: else a backlog that drains keeps the garbage collector busy.
type memory struct {
	raw   []byte   // all their bytes
	datas [][]byte // of each, in raw
	slab  []record
	recs  []*record // in slab
}

var memories = sync.Pool{New: func() any { return new(memory) }}

// leaves notes that a record is done and no longer in line: nothing refers to
// it but a batch that was given back.
func (b *block) leaves() {
	if b.lined--; b.lined == 0 && b.memory != nil {
		memories.Put(b.memory)
		b.memory = nil
	}
}

// Batch is a set of leased records, oldest first. It is given back once, by
// Ack, Release or Refuse, and of no use afterwards; doing neither keeps the
// records until the next Open.
type Batch struct{ *lease }

type lease struct {
	recs  []*record
	bytes int
	over  bool // given back
}

// Len is the number of records.
func (b Batch) Len() int {
	if b.lease == nil {
		return 0
	}
	return len(b.recs)
}

// Bytes is the sum of the records' lengths.
func (b Batch) Bytes() int { return b.bytes }

// First is the sequence number of the first record.
func (b Batch) First() uint64 { return b.recs[0].seq }

// Record is the i-th record. It is shared: do not write to it.
func (b Batch) Record(i int) []byte { return b.recs[i].data }

// end gives the records of a batch that is given back for the first time.
func (b Batch) end() []*record {
	if b.lease == nil || b.over {
		return nil
	}
	b.over = true
	return b.recs
}

// line is records in order, from which the oldest leave in almost any order.
type line struct {
	recs []*record
	next int // no record before this index is free
}

func (l *line) push(r *record) { l.recs = append(l.recs, r) }

// trim forgets the records at the front that are done.
func (l *line) trim() {
	n := 0
	for n < len(l.recs) && l.recs[n].state == done {
		if blk := l.recs[n].blk; blk != nil {
			blk.leaves()
		}
		l.recs[n] = nil
		n++
	}
	l.recs = l.recs[n:]
	l.next = max(l.next-n, 0)
}

// oldestFree is the first free record, or nil.
func (l *line) oldestFree() *record {
	for l.next < len(l.recs) && l.recs[l.next].state != free {
		l.next++
	}
	if l.next == len(l.recs) {
		return nil
	}
	return l.recs[l.next]
}

// rewind makes released records visible again.
func (l *line) rewind() { l.next = 0 }

// arena hands out copies and records from slabs: two allocations for a
// hundred records instead of two for each. A slab lives as long as its last
// record, which the flush interval bounds.
type arena struct {
	buf  []byte
	recs []record
}

func (a *arena) new(seq uint64, data []byte, at time.Time) *record {
	if len(a.recs) == 0 {
		a.recs = make([]record, 128)
	}
	r := &a.recs[0]
	a.recs = a.recs[1:]
	*r = record{seq: seq, data: a.copy(data), at: at}
	return r
}

func (a *arena) copy(data []byte) []byte {
	const slab = 32 << 10
	if len(data) > slab/4 {
		return append([]byte(nil), data...)
	}
	if len(a.buf)+len(data) > cap(a.buf) {
		a.buf = make([]byte, 0, slab)
	}
	n := len(a.buf)
	a.buf = append(a.buf, data...)
	return a.buf[n:len(a.buf):len(a.buf)]
}
