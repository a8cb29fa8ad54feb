// Package serving answers TensorFlow Serving's calls, by REST and by gRPC, from
// the models that the agent has loaded. What a call means is here; how a model
// is shared with the cameras is behind Models.
package serving

import (
	"context"
	"errors"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

// Models is what is loaded. Any goroutine may call its methods.
type Models interface {
	// Versions lists the loaded versions of a model, highest first; none when
	// there is no such model.
	Versions(model string) []Version
	// Find gives the version that a call names. ErrNotFound when it is not
	// loaded.
	Find(Selector) (Model, error)
}

// Selector names a version of a model: by its number, by its label, or with
// neither the one that serves.
type Selector struct {
	Model   string
	Version *int
	Label   string // stable or canary
}

// Version is one that is loaded, or that is about to be.
type Version struct {
	Number int
	// State is TensorFlow Serving's: START, LOADING, AVAILABLE, UNLOADING or
	// END.
	State  string
	Labels []string
}

// Model is one loaded version; it may be gone by the time it is asked. Any
// goroutine may call its methods.
type Model interface {
	// Info tells its tensors. Its one input has the shape [1, height, width,
	// 3]; a batch has as many as there are examples in the first dimension.
	Info() tflite.Info
	// Target is the input tensor, for pixel.Scaler.
	Target() pixel.Target
	// Labels are the class names by index; nil without any.
	Labels() []string
	// Predict runs the model on each example, a tensor of Target().Bytes()
	// bytes, and fills answers, which are as many. It waits for its turn among
	// cameras and other requests until ctx is done or the deadline of requests
	// has come. ErrFull, ErrDeadline or ErrGone say that nothing was run, or
	// not all; other errors are the model's own.
	Predict(ctx context.Context, examples [][]byte, answers []Answer) error
}

// Answer is what a model said of one example. It is the caller's, and its
// memory is used again when it is handed in again.
type Answer struct {
	// Outputs are the bytes of each output tensor in the order of Info, little
	// endian, without the batch's dimension.
	Outputs [][]byte
	// Results are the classes or objects above the model's threshold, best
	// first, its top-k at most. Boxes are of the model's input.
	Results []tflite.Result
	Invoke  time.Duration
	// Waited is how long it was until the Invoke began, from the end of the
	// request's example before, or from when the request came.
	Waited time.Duration
}

var (
	// ErrNotFound is for a model or version that is not loaded.
	ErrNotFound = errors.New("model is not loaded")
	// ErrFull is for a queue without room.
	ErrFull = errors.New("the queue of requests is full")
	// ErrDeadline is for a request whose turn did not come in time.
	ErrDeadline = errors.New("the deadline of requests passed")
	// ErrGone is for a model that was unloaded meanwhile: ask again.
	ErrGone = errors.New("the model is being replaced")
)
