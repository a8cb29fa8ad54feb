package outbox

import (
	"maps"
	"time"
)

// The reasons in Stats.Dropped.
const (
	// DroppedFull: MaxBytes was reached and this was the oldest.
	DroppedFull = "full"
	// DroppedMemory: the disk took nothing, MaxHeld was reached and this was
	// the oldest held record.
	DroppedMemory = "memory"
	// DroppedDamaged: the disk gave back something other than was written.
	DroppedDamaged = "damaged"
)

// Stats is the delivery account. At every moment
// Produced = Acknowledged + Held + Stored + the sum of Dropped,
// over the life of the file: the counters survive a restart. After a crash
// they are those of the last commit: records that were only held then are
// neither produced nor lost in them.
type Stats struct {
	Boot         uint64
	Produced     uint64
	Acknowledged uint64
	Held         uint64 // in memory only
	Stored       uint64 // on disk
	Leased       uint64 // of Held and Stored: taken and not yet given back
	// Duplicated counts the records that were released after they had been
	// taken: each may have arrived once more than it should. It is no part of
	// the sum.
	Duplicated  uint64
	Dropped     map[string]uint64
	HeldBytes   uint64
	StoredBytes uint64
	// Written is how many bytes of pages went to the file since Open, and
	// WrittenPerDay what that comes to in a day; 0 in the first minute. The
	// file system's journal is not counted.
	Written, WrittenPerDay uint64
	WrittenPerRecord       float64 // that was produced since Open
	// Postponed: flushes wait for the flash budget.
	Postponed bool
	// LastError is why the last flush failed, and ErrorSince when that began;
	// both are zero after a flush that went well.
	LastError  string
	ErrorSince time.Time
}

// account is the persisted part of Stats: written in the same transaction as
// the records that it counts.
type account struct {
	Format       int               `json:"format"`
	Boot         uint64            `json:"boot"`
	NextSeq      uint64            `json:"next_seq"`
	Produced     uint64            `json:"produced"`
	Acknowledged uint64            `json:"acknowledged"`
	Duplicated   uint64            `json:"duplicated,omitempty"`
	Stored       uint64            `json:"stored"`
	StoredBytes  uint64            `json:"stored_bytes"`
	Dropped      map[string]uint64 `json:"dropped,omitempty"`
}

func (a account) stats() Stats {
	return Stats{
		Boot: a.Boot, Produced: a.Produced, Acknowledged: a.Acknowledged, Duplicated: a.Duplicated,
		Stored: a.Stored, StoredBytes: a.StoredBytes, Dropped: cloneCounts(a.Dropped),
	}
}

func cloneCounts(m map[string]uint64) map[string]uint64 {
	if m == nil {
		return map[string]uint64{}
	}
	return maps.Clone(m)
}
