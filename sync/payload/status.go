package payload

import "time"

// The values of Status.State.
const (
	Online  = "online"
	Offline = "offline"
)

// Status is the retained state of a device and its last will. Who sees
// Offline with Reason "lost" was told by the broker, not by the device.
type Status struct {
	State   string     `json:"state"`
	Reason  string     `json:"reason,omitempty"` // "shutdown" or "lost", when offline
	Device  string     `json:"device"`
	Boot    uint64     `json:"boot"`
	Version string     `json:"version"`
	Since   *time.Time `json:"since,omitempty"`
}

// Telemetry is what a device says about itself every interval.
type Telemetry struct {
	Device  string                     `json:"device"`
	Boot    uint64                     `json:"boot"`
	Time    time.Time                  `json:"time"`
	Clock   Clock                      `json:"clock"`
	Uptime  float64                    `json:"uptime_s"`
	Cameras map[string]CameraTelemetry `json:"cameras"`
	Models  map[string]ModelTelemetry  `json:"models"`
	Account Account                    `json:"delivery"`
	Flash   FlashTelemetry             `json:"flash"`
	Host    HostTelemetry              `json:"host"`
	// Commands is nil before the first command.
	Commands *CommandTelemetry `json:"commands,omitempty"`
}

// CommandTelemetry counts commands since the agent's start.
type CommandTelemetry struct {
	Done     uint64 `json:"done"`
	Failed   uint64 `json:"failed"`
	Refused  uint64 `json:"refused"`  // too many at once, or too large
	Retained uint64 `json:"retained"` // ignored, since a restart would run them again
}

// CameraTelemetry counts one camera's frames since the agent's start.
// Captured = Predicted + Dropped + Failed + Skipped (all reasons) + those in
// hand.
type CameraTelemetry struct {
	State     string  `json:"state"` // "running", "waiting" or "ended"
	Captured  uint64  `json:"captured"`
	Predicted uint64  `json:"predicted"`
	Dropped   uint64  `json:"dropped"` // replaced by a fresher frame before inference
	Failed    uint64  `json:"failed"`  // could not be decoded or inferred
	Restarts  uint64  `json:"restarts"`
	FPS       float64 `json:"fps"` // predictions per second over the last interval
	// WaitedMs is how long the predicted frames waited for the model, from
	// capture to the decoder, in all.
	WaitedMs  float64 `json:"waited_ms"`
	LastError string  `json:"last_error,omitempty"`
	// Skipped counts the frames that were not worth an Invoke, by reason:
	// "max_fps", "motion" (none was seen) or "heat" (the governor slowed down).
	Skipped map[string]uint64 `json:"skipped,omitempty"`
	// SavedMs is what the motion gate saved since the agent's start: the frames
	// without motion times an Invoke.
	SavedMs float64 `json:"saved_ms,omitempty"`
}

// ModelTelemetry is one model's figures over the last interval.
type ModelTelemetry struct {
	Version     int     `json:"version"`
	Delegate    string  `json:"delegate"`
	Converted   string  `json:"converted,omitempty"` // see Prediction
	Threads     int     `json:"threads"`
	InvokeUsP50 float64 `json:"invoke_us_p50"`
	InvokeUsP95 float64 `json:"invoke_us_p95"`
	// Duty is the share of the time that the governor lets the model work, 0
	// to 1.
	Duty float64 `json:"duty"`
}

// FlashTelemetry is what the outbox writes, since the agent's start: pages of
// its file, without the file system's journal.
type FlashTelemetry struct {
	Written       uint64  `json:"written_bytes"`
	PerPrediction float64 `json:"bytes_per_prediction"`
	// PerDay is the same for a whole day; left out in the first minute.
	PerDay uint64 `json:"per_day_bytes,omitempty"`
	Budget int64  `json:"budget_bytes_per_day,omitempty"`
	// Postponed: writing waits for the budget, and a power cut loses more.
	Postponed bool `json:"postponed,omitempty"`
}

// Account is the delivery account. At every moment
// Produced = Acknowledged + Held + Stored + Dropped (all reasons).
type Account struct {
	Produced     uint64            `json:"produced"`
	Acknowledged uint64            `json:"acknowledged"`
	Held         uint64            `json:"held"`   // in memory, not yet flushed
	Stored       uint64            `json:"stored"` // on disk
	Dropped      map[string]uint64 `json:"dropped"`
	// Duplicated were sent again, because the connection broke before their
	// acknowledgement: they may have arrived twice. No part of the sum.
	Duplicated  uint64 `json:"duplicated"`
	StoredBytes uint64 `json:"stored_bytes"`
}

// HostTelemetry is the box itself. A nil pointer means that this host has no
// such sensor.
type HostTelemetry struct {
	TemperatureC *float64 `json:"temperature_c,omitempty"`
	Throttled    *bool    `json:"throttled,omitempty"`
	MemAvailable *uint64  `json:"mem_available_bytes,omitempty"`
	MemTotal     *uint64  `json:"mem_total_bytes,omitempty"`
	DiskFree     *uint64  `json:"disk_free_bytes,omitempty"`
	RSS          *uint64  `json:"rss_bytes,omitempty"`
	Load1        *float64 `json:"load1,omitempty"`
}
