package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The names of the commands.
const (
	Snapshot      = "snapshot"
	RestartCamera = "restart-camera"
	Set           = "set"
	Diagnose      = "diagnose"
)

// arguments are what each command takes besides its id.
var arguments = map[string][]string{
	Snapshot:      {"camera"},
	RestartCamera: {"camera"},
	Set:           {"camera", "max_fps", "log_level"},
	Diagnose:      {},
}

// MaxCommandBytes bounds a command's payload.
const MaxCommandBytes = 64 << 10

// MaxFPS is the highest rate that can be set.
const MaxFPS = 1000

// Command is what a device is asked to do. An argument that was not given is
// empty or nil.
type Command struct {
	Name     string
	ID       string // of the reply; empty: none is wanted
	Camera   string
	MaxFPS   *float64
	LogLevel string
}

// Reply answers a command that had an id.
type Reply struct {
	ID      string `json:"id"`
	Command string `json:"command"`
	OK      bool   `json:"ok"`
	Error   string `json:"error,omitempty"` // one line
	Result  any    `json:"result,omitempty"`
}

// SnapshotResult tells of the picture that a snapshot published.
type SnapshotResult struct {
	Camera string    `json:"camera"`
	Topic  string    `json:"topic"`
	Bytes  int       `json:"bytes"`
	Width  int       `json:"width"`
	Height int       `json:"height"`
	Time   time.Time `json:"time"` // when the frame was captured
}

// ParseCommand reads the payload of a command's topic, whose last level is its
// name: a JSON object, or nothing for a command without arguments and reply.
// What it does not know is an error, so that a misspelt argument is not taken
// for one that was left out. Beside an error, the command holds the id when
// that could be read.
func ParseCommand(name string, body []byte) (Command, error) {
	c := Command{Name: name}
	var fields map[string]json.RawMessage
	switch body = bytes.TrimSpace(body); {
	case len(body) > MaxCommandBytes:
		return c, fmt.Errorf("the payload is larger than %d KiB", MaxCommandBytes>>10)
	case len(body) > 0 && body[0] != '{', len(body) > 0 && json.Unmarshal(body, &fields) != nil:
		return c, errors.New("the payload is not a JSON object")
	}
	if id, ok := fields["id"]; ok {
		if json.Unmarshal(id, &c.ID) != nil || !ValidID(c.ID) {
			c.ID = ""
			return c, errors.New("the id must be 1 to 64 of A-Z a-z 0-9 _ -")
		}
	}
	known, ok := arguments[name]
	if !ok {
		return c, fmt.Errorf("there is no command %.80q: try %s", name, strings.Join(slices.Sorted(maps.Keys(arguments)), ", "))
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if key != "id" && !slices.Contains(known, key) {
			return c, fmt.Errorf("%s takes no %.80q", name, key)
		}
	}
	return c, c.arguments(fields)
}

func (c *Command) arguments(fields map[string]json.RawMessage) error {
	if v, ok := fields["camera"]; ok {
		if json.Unmarshal(v, &c.Camera) != nil || !ValidID(c.Camera) {
			c.Camera = ""
			return errors.New("camera must be a camera's name")
		}
	}
	if v, ok := fields["max_fps"]; ok {
		if json.Unmarshal(v, &c.MaxFPS) != nil || c.MaxFPS == nil || *c.MaxFPS < 0 || *c.MaxFPS > MaxFPS {
			c.MaxFPS = nil
			return fmt.Errorf("max_fps must be a number from 0 to %d", MaxFPS)
		}
	}
	if v, ok := fields["log_level"]; ok {
		levels := []string{"debug", "info", "warn", "error"}
		if json.Unmarshal(v, &c.LogLevel) != nil || !slices.Contains(levels, c.LogLevel) {
			c.LogLevel = ""
			return fmt.Errorf("log_level must be one of %s", strings.Join(levels, ", "))
		}
	}
	if c.Name == Set && c.MaxFPS == nil && c.LogLevel == "" {
		return errors.New("there is nothing to set: give max_fps or log_level")
	}
	if c.Name == Set && c.Camera != "" && c.MaxFPS == nil {
		return fmt.Errorf("there is nothing to set for camera %q: give max_fps", c.Camera)
	}
	return nil
}

// Diagnosis is the result of diagnose: what the agent knows of itself at that
// moment. What telemetry has too means the same here, but for a camera's FPS,
// which belongs to an interval and is 0.
type Diagnosis struct {
	Version    string                     `json:"version"`
	Go         string                     `json:"go"`
	Goroutines int                        `json:"goroutines"`
	Config     string                     `json:"config"` // the file's path
	LogLevel   string                     `json:"log_level,omitempty"`
	Uptime     float64                    `json:"uptime_s"`
	Clock      Clock                      `json:"clock"`
	Broker     BrokerState                `json:"broker"`
	Cameras    map[string]CameraTelemetry `json:"cameras"`
	Models     map[string]ModelInfo       `json:"models"`
	Account    Account                    `json:"delivery"`
	Commands   *CommandTelemetry          `json:"commands,omitempty"`
}

// ModelInfo is what answers under a model's name.
type ModelInfo struct {
	Model
	Delegate  string `json:"delegate"`
	Converted string `json:"converted,omitempty"` // see Prediction
	Threads   int    `json:"threads"`
	// InvokeUsMean is of all Invokes since the model was loaded; 0 without any.
	InvokeUsMean float64 `json:"invoke_us_mean"`
}

// BrokerState is how the connection to the broker has fared.
type BrokerState struct {
	Since     time.Time `json:"since"`
	Attempts  uint64    `json:"attempts"`
	LastError string    `json:"last_error,omitempty"`
}
