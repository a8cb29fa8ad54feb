package outbox

import (
	"maps"
	"time"
)

// The reasons in Stats.Dropped.
const (
	// DroppedFull: MaxBytes was reached and this was the oldest.
	DroppedFull = "full"
	// DroppedThinned: MaxBytes was reached and Options.Thin left this one out.
	DroppedThinned = "thinned"
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
	Dropped      map[string]uint64
	HeldBytes    uint64
	StoredBytes  uint64
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
	Stored       uint64            `json:"stored"`
	StoredBytes  uint64            `json:"stored_bytes"`
	Dropped      map[string]uint64 `json:"dropped,omitempty"`
	Thinned      thinned           `json:"thinned,omitzero"`
}

func (a account) stats() Stats {
	return Stats{
		Boot: a.Boot, Produced: a.Produced, Acknowledged: a.Acknowledged,
		Stored: a.Stored, StoredBytes: a.StoredBytes, Dropped: cloneCounts(a.Dropped),
	}
}

func cloneCounts(m map[string]uint64) map[string]uint64 {
	if m == nil {
		return map[string]uint64{}
	}
	return maps.Clone(m)
}
