//go:build !cgo

package tflite

import "github.com/egret-edge/egret/sensors/pixel"

// Model cannot be had without cgo; Load says so.
type Model struct{}

// Version is empty: there is no native library.
func Version() string { return "" }

// Load returns ErrNoInference.
func Load(*Bundle, Options) (*Model, error) { return nil, ErrNoInference }

// Info is empty.
func (*Model) Info() Info { return Info{} }

// Target is zero.
func (*Model) Target() pixel.Target { return pixel.Target{} }

// Predict returns ErrNoInference.
func (*Model) Predict([]byte, *Output) error { return ErrNoInference }

// PredictBatch returns ErrNoInference.
func (*Model) PredictBatch([][]byte, []*Output) error { return ErrNoInference }

func (*Model) predict([]byte, *Output, decoder) error { return ErrNoInference }

// Close does nothing.
func (*Model) Close() error { return nil }
