// Package api is the agent's local HTTP interface: egret's own calls, live
// pictures and events, metrics and health, with the dashboard and TensorFlow
// Serving's calls beside them. It knows the agent through Device alone, and
// starts no goroutine that outlives a request.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/egret-edge/egret/sync/payload"
)

// Device is the agent as this package sees it. Any goroutine may call its
// methods; what they return is the caller's.
type Device interface {
	// State is what the device is doing now.
	State() State
	// Snapshot waits for the camera's next frame, for ten seconds at most, or
	// until ctx is done. ErrNoCamera when there is none of that name.
	Snapshot(ctx context.Context, camera string) (Picture, error)
	// Watch calls each with the camera's pictures as they come, newest wins,
	// at most fps of them a second, until ctx is done (nil) or each fails. A
	// picture that was inferred comes with its prediction; when none was for a
	// second, one comes without. The picture is each's to keep. ErrNoCamera
	// when there is none of that name; nil too when it goes away.
	Watch(ctx context.Context, camera string, fps float64, each func(Picture) error) error
	// Events calls each with what happens until ctx is done (nil) or each
	// fails. Who is slow loses events, and is told how many by one of type
	// EventLost.
	Events(ctx context.Context, each func(Event) error) error
	// Predictions are those that the agent remembers and those that still wait
	// in its outbox, newest first. A page may have fewer than asked for, even
	// none, and still a Next. ErrNoPage when Before is none.
	Predictions(ctx context.Context, q Query) (Page, error)
	// Predict asks the version of a model that serves what a picture shows: an
	// encoded one, of a format that pixel.Sniff knows. The prediction belongs to
	// no camera, has no number and is not kept. ErrNoModel when there is none of
	// that name; a *pixel.Error is the picture's; else those of serving.Model.
	Predict(ctx context.Context, model string, picture []byte) (*payload.Prediction, error)
	// Command carries out a command of the MQTT contract. The error is for a
	// command that could not be tried: ErrBusy when too many wait.
	Command(ctx context.Context, name string, body []byte) (payload.Reply, error)
}

var (
	// ErrNoCamera is for a camera's name that is not configured.
	ErrNoCamera = errors.New("there is no such camera")
	// ErrNoModel is for a model's name that is not configured.
	ErrNoModel = errors.New("there is no such model")
	// ErrNoPage is for a Query.Before that is no page's Next.
	ErrNoPage = errors.New("there is no such page")
	// ErrBusy is for what may be tried again in a second.
	ErrBusy = errors.New("too many requests wait already")
)

// Picture is a frame as JPEG, upright, at most 1280 pixels a side.
type Picture struct {
	JPEG          []byte
	Width, Height int // pixels
	Time          time.Time
	// Prediction is what the model said of this very frame; nil when it was
	// not inferred.
	Prediction *payload.Prediction
}

// Event is one thing that happened.
type Event struct {
	Type string
	Data json.RawMessage
}

// The types of events, and what their data is.
const (
	EventPrediction = "prediction" // payload.Prediction, kept or not, at most ten a second of each camera
	EventState      = "state"      // State, once a second
	EventRelease    = "release"    // payload.Reported, when it changes
	EventLost       = "lost"       // {"events":n}
)

// Query selects predictions. Its zero value selects the newest 50.
type Query struct {
	Camera, Label string // empty: any; a label is one of the results', in any case of letters
	MinScore      float64
	From, To      time.Time // zero: any; of the capture
	// Before is a page's Next; empty is the beginning.
	Before string
	Limit  int // 1 to 500; 0 is 50
}

// Page is some predictions, newest first.
type Page struct {
	Predictions []json.RawMessage `json:"predictions"`
	// Next asks for older ones; empty when there are none.
	Next string `json:"next,omitempty"`
}

// State is everything that the device tells of itself at one moment.
type State struct {
	Device  string        `json:"device"`
	Fleet   string        `json:"fleet"`
	Version string        `json:"version"`
	Boot    uint64        `json:"boot"`
	Time    time.Time     `json:"time"`
	Clock   payload.Clock `json:"clock"`
	Uptime  float64       `json:"uptime_s"`
	// NotReady are the reasons why the device is not ready; empty when it is.
	NotReady []string                  `json:"not_ready"`
	Broker   Broker                    `json:"broker"`
	Cameras  []Camera                  `json:"cameras"` // as configured
	Models   []Model                   `json:"models"`  // as configured
	Delivery payload.Account           `json:"delivery"`
	Flash    payload.FlashTelemetry    `json:"flash"`
	Host     payload.HostTelemetry     `json:"host"`
	Update   *payload.Reported         `json:"update,omitempty"`
	Commands *payload.CommandTelemetry `json:"commands,omitempty"`
	Requests Requests                  `json:"requests"`
}

// Broker is the state of the MQTT connection.
type Broker struct {
	Enabled   bool      `json:"enabled"`
	Connected bool      `json:"connected"`
	Address   string    `json:"address,omitempty"` // without user or password
	Since     time.Time `json:"since,omitzero"`    // of the present state
	Attempts  uint64    `json:"attempts"`
	LastError string    `json:"last_error,omitempty"`
}

// Camera is one camera's state.
type Camera struct {
	Name   string `json:"name"`
	Source string `json:"source"` // without user, password or query
	Model  string `json:"model"`  // by which it is served, as Interpreter.Model
	payload.CameraTelemetry
	// Watchers is how many look at its live picture.
	Watchers int `json:"watchers"`
	// Latest is the newest prediction, kept or not; nil before the first.
	Latest *payload.Prediction `json:"latest,omitempty"`
}

// Model is a configured model and what is loaded of it.
type Model struct {
	Name     string    `json:"name"` // in the configuration
	Task     string    `json:"task"`
	Versions []Version `json:"versions"` // what serves first
	// Labels name versions: stable is the one that serves, canary the one that
	// was chosen beside it.
	Labels map[string]int `json:"labels"`
}

// Version is a loaded version of a model. A camera's own interpreter of it is
// one more Interpreter.
type Version struct {
	Version      int           `json:"version"`
	Digest       string        `json:"digest"`
	Serving      bool          `json:"serving"`
	Interpreters []Interpreter `json:"interpreters"`
}

// Interpreter is a loaded copy of a model.
type Interpreter struct {
	Name     string `json:"name"`             // <model>, <model>@<version> or <model>/<camera>
	Camera   string `json:"camera,omitempty"` // whose own it is
	Delegate string `json:"delegate"`
	// Converted is the type that the model was converted to on the device, such
	// as int8; left out: it runs as it is.
	Converted string  `json:"converted,omitempty"`
	Threads   int     `json:"threads"`
	Duty      float64 `json:"duty"` // share of the time that the governor lets it work
	Answered  uint64  `json:"answered"`
	Failed    uint64  `json:"failed"` // for the model's own reasons
	// Of the latest 256 Invokes at most, in microseconds; 0 without any.
	InvokeUsP50 float64 `json:"invoke_us_p50"`
	InvokeUsP95 float64 `json:"invoke_us_p95"`
	// Invokes counts all of them, by their time: Invokes.Counts[i] took at most
	// InvokeBounds[i] seconds.
	Invokes Histogram `json:"-"`
	// Waiting are requests of the API that wait for it.
	Waiting int `json:"waiting"`
}

// Histogram counts durations. Counts are cumulative, as Prometheus has them;
// Sum is in seconds.
type Histogram struct {
	Counts []uint64 // one for each of InvokeBounds
	Count  uint64
	Sum    float64
}

// InvokeBounds are the upper bounds of a Histogram, in seconds: from a Coral's
// millisecond to a large model on an old Pi.
var InvokeBounds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5}

// Requests counts predictions that were asked for by the API.
type Requests struct {
	Answered uint64 `json:"answered"`
	Refused  uint64 `json:"refused"` // the queue was full
	Late     uint64 `json:"late"`    // the deadline came first
	Failed   uint64 `json:"failed"`
}
