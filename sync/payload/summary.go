package payload

import (
	"fmt"
	"time"
)

// Summary stands for predictions of one camera and minute that were left out
// because the outbox was full. It comes in the array of predictions.
type Summary struct {
	Summary bool `json:"summary"` // true
	// ID is "<device>/<boot>/<first>-<last>", by the sequence numbers of the
	// first and the last prediction that it stands for.
	ID          string    `json:"id"`
	Device      string    `json:"device"`
	Boot        uint64    `json:"boot"`
	Camera      string    `json:"camera"`
	From        time.Time `json:"from"` // of the predictions that it stands for
	To          time.Time `json:"to"`
	Predictions int       `json:"predictions"`
	// Labels is in how many of them each label was the best result or scored at
	// least 0.5.
	Labels map[string]int `json:"labels"`
}

// NewSummaryID is the id of the summary of predictions from first to last.
func NewSummaryID(device string, boot, first, last uint64) string {
	return fmt.Sprintf("%s/%d/%d-%d", device, boot, first, last)
}
