// Package tflite loads TensorFlow Lite models and turns pixels into results:
// image classification and SSD detection.
//
// It is the only room that knows go-tflite and the native library. It does not
// decode pictures, pick models or decide what a result is worth. Without cgo
// the package still builds: bundles, manifests and labels can be read, and Load
// says that there is no inference.
//
// # Caveats
//
// Native code can crash the process on a crafted model, and no Go code can
// catch that. A model's file identifier, tensor types and shapes are checked
// here; what its operators do is not.
package tflite

import (
	"errors"
	"log/slog"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
)

// ErrNoInference is Load's answer in a program built without cgo.
var ErrNoInference = errors.New("this egret was built without inference (CGO_ENABLED=0): use a build made by make build")

// Options are how a model is loaded. The zero value runs on the CPU with one
// thread and the bundle's own top-k and threshold.
type Options struct {
	Delegate string // see ParseDelegate; "" is the CPU
	Threads  int    // zero means 1: more than the cores make it far slower
	// TopK is the number of results at most; zero means the manifest's, or 3
	// for classification and 10 for detection.
	TopK int
	// Threshold is the lowest score of a result; nil means the manifest's, or
	// 0.1 for classification and 0.5 for detection.
	Threshold *float64
	// Fit is how a frame of another shape meets the input: "stretch", "crop"
	// or "letterbox"; "" means the manifest's, or stretch.
	Fit string
	// Batch is the number of pictures of one Invoke; zero means 1. Few models
	// can be loaded for more.
	Batch  int
	Logger *slog.Logger // what Load remarks on a model that it takes; nil discards
}

// Info describes a loaded model.
type Info struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Digest  string `json:"digest"`
	// Converted is the type that the model was converted to, such as "int8";
	// empty: it runs as it is.
	Converted string `json:"converted,omitempty"`
	Task      Task   `json:"task"`
	// Delegate is what runs the model: "cpu" when the delegate that was asked
	// for takes none of its operators.
	Delegate string `json:"delegate"`
	Threads  int    `json:"threads"`
	// Operators are the model's, Delegated those of them that the delegate
	// runs; both are 0 on the CPU and when a delegate does not tell.
	Operators int          `json:"operators,omitempty"`
	Delegated int          `json:"delegated,omitempty"`
	Labels    int          `json:"labels"`  // how many
	Library   string       `json:"library"` // TensorFlow Lite's version
	Inputs    []TensorInfo `json:"inputs"`
	Outputs   []TensorInfo `json:"outputs"`
}

// Result is one class, or one object when HasBox is set.
type Result struct {
	// Index is the label's: the line in the labels file, from 0.
	Index int
	Label string
	Score float32 // 0 to 1
	// Box is x0, y0, x1, y1, each 0 to 1 of the model's input (see
	// Output.Frame).
	Box    [4]float32
	HasBox bool
}

// Output is what Predict fills in; its memory is used again.
type Output struct {
	Results    []Result // best first
	InvokeTime time.Duration
	// Raw asks for the output tensors too, in the order of Info: their bytes,
	// little endian as every processor that we run on has them.
	Raw     bool
	Tensors [][]byte
}

// Frame turns the boxes from the model's input to the frame that it showed.
func (o *Output) Frame(v pixel.View) {
	if v == (pixel.View{X1: 1, Y1: 1}) {
		return
	}
	for i := range o.Results {
		if r := &o.Results[i]; r.HasBox {
			r.Box = v.Frame(r.Box)
		}
	}
}
