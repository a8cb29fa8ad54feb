// Package requant turns TensorFlow Lite models of unsigned bytes, as TensorFlow
// 1 made them, into ones of signed bytes or of floats, which processors'
// fast kernels take. It is arithmetic on the file: nothing is trained, no
// picture is looked at, and the model is not run. docs/CONVERSION.md explains
// it and derives the bounds that a Report gives.
//
// What it does not know to convert faithfully it refuses.
package requant

import (
	"fmt"

	"github.com/egret-edge/egret/tflite/schema"
)

// Version changes when the same model is converted to other bytes than before.
const Version = 1

// Options are how a model is converted. The zero value is ready.
type Options struct {
	// NativeBorder gives the converted model inputs and outputs of its own type
	// where the original has uint8, and saves the operators that turn them. An
	// int8 value is then the uint8 one XOR 0x80; a float32 one is the real
	// value, by the scale and zero point in Report.Inputs and Outputs. Without it
	// they stay as they were.
	NativeBorder bool
}

// Model is a model that was read. It is not changed by conversions and safe for
// concurrent use.
type Model struct{ data []byte }

// Read checks that the bytes are a model's and that it can be read whole. They
// must not change afterwards.
func Read(data []byte) (*Model, error) {
	if _, err := schema.Read(data); err != nil {
		return nil, err
	}
	return &Model{data}, nil
}

// Int8 gives the model's file with int8 activations and with int8 weights that
// have a scale for each output channel. The error is a *Refusal when the model
// is not one that can be converted.
func (m *Model) Int8(o Options) ([]byte, Report, error) { return m.convert(int8Kind{}, o) }

// Float32 gives the model's file with the weights' real values, about four
// times as large. See Int8.
func (m *Model) Float32(o Options) ([]byte, Report, error) { return m.convert(float32Kind{}, o) }

// Report is what a conversion did.
type Report struct {
	To        string `json:"to"`        // "int8" or "float32"
	Operators int    `json:"operators"` // of the original
	// Quantize and Dequantize count the operators that were added.
	Quantize   int `json:"quantize"`
	Dequantize int `json:"dequantize"`
	// Lowered are the FULLY_CONNECTED that became a CONV_2D.
	Lowered int `json:"lowered"`
	// Channels are the weights' output channels. Rescaled are those of them
	// whose weights were rounded anew; the others keep each weight's exact
	// value.
	Channels int `json:"channels"`
	Rescaled int `json:"rescaled"`
	// Retargeted are the operators whose result got the scale of the
	// CONCATENATION that it leads to.
	Retargeted int `json:"retargeted"`
	// Clamps are the activations that were put back because uint8's limits had
	// supplied them; for float32 only.
	Clamps int `json:"clamps"`
	// Inputs and Outputs are the original's.
	Inputs  []Border `json:"inputs"`
	Outputs []Border `json:"outputs"`
}

// Border is an input or an output of the original model.
type Border struct {
	Name  string  `json:"name"`
	Type  string  `json:"type"`
	Scale float32 `json:"scale,omitempty"` // 0: not quantized
	Zero  int64   `json:"zero_point,omitempty"`
	// Bound is how much an output can differ at most from the original's, in
	// units of Scale (of 1 where that is 0); nil when none is known that says anything. It is
	// the worst case of all inputs: errors that never cancel.
	Bound *float64 `json:"bound,omitempty"`
}

// Refusal says why a model is not converted.
type Refusal struct {
	Operator string // empty: it is about the model as a whole
	Index    int    // of the operator; −1 for the whole model
	Reason   string
	// Needless: the model does not compute with uint8, so that it has nothing
	// to gain.
	Needless bool
}

func (r *Refusal) Error() string {
	if r.Index < 0 {
		return fmt.Sprintf("the model is not converted: %s", r.Reason)
	}
	return fmt.Sprintf("the model is not converted: operator %d, %s: %s", r.Index, r.Operator, r.Reason)
}

func needless(reason string) error {
	return &Refusal{Index: -1, Reason: reason, Needless: true}
}

func refuse(format string, args ...any) error {
	return &Refusal{Index: -1, Reason: fmt.Sprintf(format, args...)}
}
