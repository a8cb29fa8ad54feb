package payload

import (
	"encoding/json"
	"time"
)

// MaxLogBytes bounds a Log as JSON.
const MaxLogBytes = 4 << 10

// Log is one message of the agent's log.
type Log struct {
	Device string `json:"device"`
	Boot   uint64 `json:"boot"`
	// Seq counts what the agent logged at the level that is sent, from 1 in each
	// boot, sent or not.
	Seq   uint64    `json:"seq"`
	Time  time.Time `json:"time"`
	Level string    `json:"level"` // "warn" or "error"
	Msg   string    `json:"msg"`
	// Attrs is an object of strings, numbers and booleans; nil without any.
	Attrs json.RawMessage `json:"attrs,omitempty"`
	// Truncated: the message or an attribute was cut, or some are left out.
	Truncated bool `json:"truncated,omitempty"`
	// Suppressed were logged since the one that was sent before, and not sent.
	Suppressed uint64 `json:"suppressed,omitempty"`
}
