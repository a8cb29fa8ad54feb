// Package servingtest is what tests of TensorFlow Serving's calls share: a fake
// of the models, and the calls of its public description as a table that runs
// against the fake and against an agent with real models alike.
package servingtest

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

// Models is a fake of serving.Models: a struct of functions. Any goroutine may
// call it when its functions allow that.
type Models struct {
	VersionsFunc func(model string) []serving.Version
	FindFunc     func(serving.Selector) (serving.Model, error)
}

// Versions calls VersionsFunc.
func (m Models) Versions(model string) []serving.Version { return m.VersionsFunc(model) }

// Find calls FindFunc.
func (m Models) Find(s serving.Selector) (serving.Model, error) { return m.FindFunc(s) }

// Model is a fake of serving.Model.
type Model struct {
	InfoValue   tflite.Info
	TargetValue pixel.Target
	LabelsValue []string
	PredictFunc func(ctx context.Context, examples [][]byte, answers []serving.Answer) error
}

// Info is InfoValue.
func (m *Model) Info() tflite.Info { return m.InfoValue }

// Target is TargetValue.
func (m *Model) Target() pixel.Target { return m.TargetValue }

// Labels is LabelsValue.
func (m *Model) Labels() []string { return m.LabelsValue }

// Predict calls PredictFunc.
func (m *Model) Predict(ctx context.Context, examples [][]byte, answers []serving.Answer) error {
	return m.PredictFunc(ctx, examples, answers)
}

// One makes Models of one model in version 3, which is stable, with version 2
// beside it, canary.
func One(name string, m serving.Model) Models {
	return Models{
		VersionsFunc: func(model string) []serving.Version {
			if model != name {
				return nil
			}
			return []serving.Version{
				{Number: 3, State: "AVAILABLE", Labels: []string{"stable"}},
				{Number: 2, State: "AVAILABLE", Labels: []string{"canary"}},
			}
		},
		FindFunc: func(s serving.Selector) (serving.Model, error) {
			known := s.Version == nil || *s.Version == 2 || *s.Version == 3
			if s.Model != name || !known || s.Label != "" && s.Label != "stable" && s.Label != "canary" {
				return nil, serving.ErrNotFound
			}
			return m, nil
		},
	}
}

// Echo is a classifier of side×side pixels whose scores are the first four
// values of its input, of type uint8, int8 or float32: an answer tells what
// reached the model.
func Echo(kind string, side int) *Model {
	size, target := 1, pixel.Target{Width: side, Height: side}
	switch kind {
	case "int8":
		target.Encoding.Flip = 0x80
	case "float32":
		size = 4
		table := new([3][256]float32)
		for c := range table {
			for p := range table[c] {
				table[c][p] = float32(p)
			}
		}
		target.Encoding.Floats = table
	}
	m := &Model{TargetValue: target, LabelsValue: []string{"a", "b", "c", "d"}}
	m.InfoValue = tflite.Info{
		Name: "echo", Version: 3, Task: tflite.Classify, Labels: 4,
		Inputs:  []tflite.TensorInfo{{Name: "input", Type: kind, Shape: []int{1, side, side, 3}}},
		Outputs: []tflite.TensorInfo{{Name: "scores", Type: kind, Shape: []int{1, 4}}},
	}
	m.PredictFunc = func(_ context.Context, examples [][]byte, answers []serving.Answer) error {
		for i, e := range examples {
			a := &answers[i]
			if len(a.Outputs) != 1 {
				a.Outputs = make([][]byte, 1)
			}
			a.Outputs[0] = append(a.Outputs[0][:0], littleEndian(e[:4*size], size)...)
			a.Results = append(a.Results[:0], tflite.Result{Index: 1, Label: "b", Score: 0.75}, tflite.Result{Index: 0, Label: "a", Score: 0.125})
		}
		return nil
	}
	return m
}

// littleEndian copies values of the machine's byte order.
func littleEndian(b []byte, size int) []byte {
	out := make([]byte, 0, len(b))
	if size == 1 {
		return append(out, b...)
	}
	for ; len(b) > 0; b = b[4:] {
		out = binary.LittleEndian.AppendUint32(out, binary.NativeEndian.Uint32(b))
	}
	return out
}

// Boxes is a detector of side×side pixels that always finds the same two
// objects.
func Boxes(side int) *Model {
	m := Echo("uint8", side)
	m.InfoValue.Name, m.InfoValue.Task = "boxes", tflite.Detect
	m.InfoValue.Outputs = []tflite.TensorInfo{
		{Name: "post", Type: "float32", Shape: []int{1, 2, 4}},
		{Name: "post:1", Type: "float32", Shape: []int{1, 2}},
		{Name: "post:2", Type: "float32", Shape: []int{1, 2}},
		{Name: "post:3", Type: "float32", Shape: []int{1}},
	}
	outputs := [][]byte{floats(0, 0.25, 0.5, 1, 0.1, 0.2, 0.3, 0.4), floats(1, 17), floats(0.9, 1e-7), floats(2)}
	m.PredictFunc = func(_ context.Context, examples [][]byte, answers []serving.Answer) error {
		for i := range examples {
			answers[i].Outputs = outputs
		}
		return nil
	}
	return m
}

func floats(v ...float32) []byte {
	var b []byte
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}
