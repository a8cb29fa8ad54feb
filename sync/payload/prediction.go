// Package payload is egret's wire contract: the JSON objects and the MQTT
// topic names that other programs build on.
//
// It imports nothing of ours, so that the daemon, the operator's tool and the
// local API can all speak it. Nothing here connects or stores.
package payload

import (
	"fmt"
	"time"
)

// Prediction is what one frame gave: the same object on MQTT, SSE, HTTP and
// export. Its JSON form is a public contract; fields are only ever added.
type Prediction struct {
	// ID is "<device>/<boot>/<seq>": unique for ever, the key to deduplicate
	// by.
	ID     string `json:"id"`
	Device string `json:"device"`
	// Boot counts the agent's starts, Seq the predictions within one from 1,
	// without a gap: a consumer can prove that nothing is missing.
	Boot   uint64    `json:"boot"`
	Seq    uint64    `json:"seq"`
	Camera string    `json:"camera"`
	Time   time.Time `json:"time"`
	Clock  Clock     `json:"clock"`
	// UptimeUs and BootID are there while Clock is unsynced: when the frame was
	// captured on the kernel's clock that is never set (CLOCK_BOOTTIME, in
	// microseconds), and which start of the kernel that was. Restamp makes a
	// time of them.
	UptimeUs int64  `json:"uptime_us,omitempty"`
	BootID   string `json:"boot_id,omitempty"`
	Model    Model  `json:"model"`
	// Delegate is what ran the model: "cpu", "xnnpack", …
	Delegate string `json:"delegate"`
	// Converted is the type that the model was converted to on the device, such
	// as "int8"; empty: it ran as it is.
	Converted string   `json:"converted,omitempty"`
	Task      Task     `json:"task"`
	Results   []Result `json:"results"`
	Latency   Latency  `json:"latency_us"`
	// File names the picture when the source is a folder or a command line.
	File string `json:"file,omitempty"`
}

// Clock says how far Prediction.Time can be trusted.
type Clock string

// The clock's states.
const (
	ClockSynced    Clock = "synced"
	ClockUnsynced  Clock = "unsynced"
	ClockCorrected Clock = "corrected" // recorded before the clock was set, restamped from the monotonic clock when it was
)

// Task is what a model does.
type Task string

// The tasks.
const (
	Classify Task = "classify"
	Detect   Task = "detect"
)

// Model names the model that made a prediction.
type Model struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Digest  string `json:"digest"` // "sha256:" and 64 hex digits of model.tflite
}

// Result is one class, or one object when Box is set.
type Result struct {
	Index int     `json:"index"`
	Label string  `json:"label"`
	Score float32 `json:"score"` // 0 to 1
	// Box is [x0,y0,x1,y1], each 0 to 1 of the frame's width and height.
	Box *[4]float32 `json:"box,omitempty"`
}

// Latency is where the time of one prediction went, in microseconds.
type Latency struct {
	Wait   int64 `json:"wait"`   // capture to start of decode
	Decode int64 `json:"decode"` // frame bytes to tensor
	Invoke int64 `json:"invoke"` // the interpreter
	Total  int64 `json:"total"`  // capture to result
}

// NewID is the id of the prediction seq of the agent's start boot.
func NewID(device string, boot, seq uint64) string {
	return fmt.Sprintf("%s/%d/%d", device, boot, seq)
}
