// Package outbox is the durable queue between what a device finds out and the
// broker that may be away: records go in, are leased in order, and leave only
// when they are acknowledged.
//
// A record is opaque bytes. It is held in memory first and written to a bbolt
// file only when it has not been acknowledged within the flush interval, many
// records per transaction: a broker that keeps up costs the flash nothing.
// Nothing leaves without being counted (see Stats).
//
// It is not a database: there is no lookup, no priority and no second reader.
//
// Caveats: a crash or a power cut loses what was held, at most one flush
// interval; acknowledgements that were not yet committed are forgotten then,
// so their records are delivered a second time. The file does not shrink; its
// free pages are used again.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The errors that a caller may want to tell apart.
var (
	ErrLocked   = errors.New("in use by another egret")
	ErrTooLarge = errors.New("record too large")
	ErrClosed   = errors.New("outbox is closed")
)

// Options configure an Outbox. Only Path is required.
type Options struct {
	// Path of the bbolt file; its folder must exist. Beside it, Path.boot
	// keeps the boot counter for the day that the file is damaged.
	Path string
	// FlushInterval is the longest that a record is only in memory. Zero
	// means 5 s.
	FlushInterval time.Duration
	// FlushBytes flushes at once when this much is held. Zero means 256 KiB;
	// with Thin it is never more than a quarter of MaxBytes.
	FlushBytes int
	// FlashBudget is how many bytes a day may be written; zero is no limit.
	// When it is used up, flushes wait for longer than FlushInterval, and more
	// is lost with a power cut: at most MaxHeld, of which the half is written
	// in any case.
	FlashBudget int64
	// MaxBytes bounds the records' bytes in memory and on disk together; the
	// oldest are dropped first. Zero means 256 MiB.
	MaxBytes int64
	// Thin, when not nil, is asked what to keep before the oldest are dropped.
	// It gets consecutive records, oldest first, and gives for each whether it
	// stays, and summaries of those that go, which take their place behind
	// those that stay; there must not be more records than before. Hard means
	// that these have been thinned before and that little more than summaries
	// shall stay. It is called by Flush, with no lock that other methods need,
	// and may keep nothing of recs.
	Thin func(recs [][]byte, hard bool) (keep []bool, summaries [][]byte)
	// MaxHeld bounds the bytes in memory while the disk takes nothing; from
	// three quarters of it on they are thinned, too. Zero means 8 MiB; it is
	// never more than MaxBytes.
	MaxHeld int64
	// MaxRecord bounds one record. Zero means 256 KiB.
	MaxRecord int
	// LockTimeout is how long Open waits for another process to let go of the
	// file. Zero means 1 s.
	LockTimeout time.Duration
	// Logger may be nil.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Path == "" {
		return o, errors.New("open outbox: no path given")
	}
	o.FlushInterval = orDefault(o.FlushInterval, 5*time.Second)
	o.FlushBytes = orDefault(o.FlushBytes, 256<<10)
	o.MaxBytes = orDefault(o.MaxBytes, 256<<20)
	o.MaxHeld = min(orDefault(o.MaxHeld, 8<<20), o.MaxBytes)
	if o.Thin != nil { // it looks at what is on disk, so the most must be there
		o.FlushBytes = int(min(int64(o.FlushBytes), max(o.MaxBytes/4, 1)))
	}
	o.MaxRecord = int(min(int64(orDefault(o.MaxRecord, 256<<10)), o.MaxBytes))
	o.LockTimeout = orDefault(o.LockTimeout, time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// Outbox is the queue. Its methods may be called from any goroutine.
type Outbox struct {
	opts  Options
	ready chan struct{}
	wake  chan struct{} // asks Run for a flush

	// flushMu is held for a whole flush, and by what changes the file.
	flushMu   sync.Mutex
	growAfter time.Time // these two are guarded by flushMu
	zerosTo   int64     // the file has zeros from what is used to here

	// loadMu is held while one waits for the reader's next unit: these must
	// be loaded in order. It is taken with no other lock held.
	loadMu sync.Mutex

	mu       sync.Mutex // guards all following fields
	db       *bolt.DB
	closed   bool
	acc      account // Stored counts stored records that are not done
	nextSeq  uint64
	arena    arena
	held     line // not on disk
	heldN    uint64
	heldSize int64
	stored   line // on disk and in memory, ordered by sequence
	leasedN  uint64
	// Stored records that are not in memory: those of the file's blocks from
	// loadedTo on, except blocks in memory and dead ones.
	unloaded uint64
	loadedTo uint64
	reader   *reader             // of what comes; may be nil
	blocks   map[uint64]*block   // in memory, by first sequence
	touched  []*block            // their marks must be written
	dead     map[uint64]struct{} // not in memory, to be deleted
	changes  uint64              // counts changes of the set of stored blocks
	counted  bool                // acc differs from the file's
	thinning thinning
	failing  failure
	wear     wear
	broken   error // a read met a damaged tree: the next flush replaces the file
	drops    dropLog
	letters  []Letter // refused since the last flush
}

// Open opens or creates the file and counts a boot. The error is ErrLocked
// when another process has it. A damaged file is set aside as
// Path.damaged-<unix time> and a fresh one is started: losing old results is
// better than not recording new ones. Open starts nothing.
func Open(opts Options) (*Outbox, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	db, acc, err := openOrReplace(opts)
	if err != nil {
		return nil, err
	}
	o := &Outbox{opts: opts, ready: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	o.wear = newWear(opts.FlashBudget, acc.Produced, time.Now())
	o.start(db, acc)
	if err := o.countBoot(); err != nil {
		_ = guard(o.db.Close)
		return nil, err
	}
	if o.acc.Stored > 0 {
		notify(o.ready)
	}
	return o, nil
}

func (o *Outbox) start(db *bolt.DB, acc account) {
	if acc.Dropped == nil {
		acc.Dropped = map[string]uint64{}
	}
	o.db, o.acc, o.nextSeq, o.broken = db, acc, max(acc.NextSeq, 1), nil
	o.zerosTo = zerosEnd(db, o.opts.Path)
	o.unloaded, o.loadedTo = acc.Stored, 0
	o.blocks = map[uint64]*block{}
	o.touched = nil
	o.dead = map[uint64]struct{}{}
	o.thinning.rewritten = map[*block][]*record{}
}

// Boot is how often the outbox of this path has been opened, this time
// included.
func (o *Outbox) Boot() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.acc.Boot
}

// Append adds a copy of rec. It never waits for the disk. The error is
// ErrTooLarge or ErrClosed.
func (o *Outbox) Append(rec []byte) error {
	if len(rec) > o.opts.MaxRecord || len(rec) == 0 {
		return fmt.Errorf("append %d bytes (1 to %d allowed): %w", len(rec), o.opts.MaxRecord, ErrTooLarge)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return ErrClosed
	}
	o.held.push(o.arena.new(o.nextSeq, rec, time.Now()))
	o.acc.Thinned.append(o.nextSeq, len(rec), o.opts.MaxBytes)
	o.nextSeq++
	o.heldN++
	o.heldSize += int64(len(rec))
	o.acc.Produced++
	o.counted = true
	o.boundHeld()
	if o.heldSize >= int64(o.opts.FlushBytes) || o.total() > o.opts.MaxBytes {
		notify(o.wake)
	}
	notify(o.ready)
	return nil
}

func (o *Outbox) total() int64 { return o.heldSize + int64(o.acc.StoredBytes) }

// boundHeld drops the oldest held records while there are too many for the
// memory, or for MaxBytes when there is nothing older on disk: that is left to
// the flush, since Append never waits for the disk.
func (o *Outbox) boundHeld() {
	for {
		var reason string
		switch {
		case o.acc.Stored == 0 && o.total() > o.opts.MaxBytes:
			reason = DroppedFull
		case o.heldSize > o.opts.MaxHeld:
			reason = DroppedMemory
		default:
			return
		}
		r := o.held.oldestDroppable()
		if r == nil {
			return
		}
		o.drop(r, reason)
		o.held.trim()
	}
}

// Ready is signalled when there may be something to take. It has room for one
// signal: after receiving, call Take until it gives nothing.
func (o *Outbox) Ready() <-chan struct{} { return o.ready }

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Stats is the account now.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.acc.stats()
	s.Held, s.HeldBytes, s.Leased = o.heldN, uint64(o.heldSize), o.leasedN
	s.Written, s.WrittenPerDay, s.Postponed = o.wear.written, o.wear.perDay(time.Now()), o.wear.waiting
	if n := s.Produced - o.wear.produced; n > 0 {
		s.WrittenPerRecord = float64(s.Written) / float64(n)
	}
	if o.failing.err != nil {
		s.LastError, s.ErrorSince = o.failing.err.Error(), o.failing.since
	}
	return s
}

// Run flushes on the interval and on size until ctx ends, then once more. A
// flush that fails is tried again; its error is in Stats and in the log. Only
// the final one is returned.
func (o *Outbox) Run(ctx context.Context) error {
	// Looking twice per interval and writing what is older than half of it
	// keeps the promise, and leaves alone what the broker is about to
	// acknowledge.
	tick := time.NewTicker(o.opts.FlushInterval / 2)
	defer tick.Stop()
	for {
		force := false
		select {
		case <-ctx.Done():
			return o.Flush()
		case <-tick.C:
		case <-o.wake:
			force = true
		}
		if force && o.backingOff() {
			continue
		}
		if (force || o.due(time.Now())) && !o.postpone(time.Now()) {
			_ = o.Flush() // recorded and logged by Flush itself
		}
	}
}

// backingOff: after a failure only the interval tries again, not each Append.
func (o *Outbox) backingOff() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failing.err != nil
}

// postpone tells whether a flush that is due shall wait for the flash budget,
// and says so when that begins and ends. Memory that fills up, or a file to be
// replaced, cannot wait.
func (o *Outbox) postpone(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	wait := !o.wear.allows(now) && o.broken == nil && o.heldSize < o.opts.MaxHeld/2 && o.total() <= o.opts.MaxBytes
	switch {
	case wait && !o.wear.waiting:
		o.opts.Logger.Warn("outbox writes less often than flush_interval, to keep flash_budget", "path", o.opts.Path,
			"written", o.wear.written, "held", o.heldN)
	case !wait && o.wear.waiting && o.wear.allowed > o.wear.most()/2:
		o.opts.Logger.Info("outbox keeps flush_interval again", "path", o.opts.Path)
	default:
		return wait
	}
	o.wear.waiting = wait
	return wait
}

func (o *Outbox) due(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.touched) > 0 || len(o.dead) > 0 || len(o.letters) > 0 || len(o.thinning.rewritten) > 0 {
		return true
	}
	o.held.trim()
	return len(o.held.recs) > 0 && now.Sub(o.held.recs[0].at) >= o.opts.FlushInterval/2
}

// Close flushes and lets go of the file. The outbox cannot be used afterwards.
func (o *Outbox) Close() error {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return nil
	}
	o.mu.Unlock()
	err := o.Flush()
	o.flushMu.Lock()
	defer o.flushMu.Unlock()
	o.mu.Lock()
	o.closed = true
	o.stopReader()
	db := o.db
	o.mu.Unlock()
	return errors.Join(err, guard(db.Close))
}
