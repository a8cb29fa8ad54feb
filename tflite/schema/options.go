package schema

import "math"

// Union is the type of an operator's options: the union BuiltinOptions.
type Union uint8

// The options that can be read and written.
const (
	NoOptions              Union = 0
	Conv2DOptions          Union = 1
	DepthwiseConv2DOptions Union = 2
	Pool2DOptions          Union = 5
	FullyConnectedOptions  Union = 8
	SoftmaxOptions         Union = 9
	ConcatenationOptions   Union = 10
	AddOptions             Union = 11
	ReshapeOptions         Union = 17
	PadOptions             Union = 22
	ReducerOptions         Union = 27
	SqueezeOptions         Union = 30
	DequantizeOptions      Union = 38
	QuantizeOptions        Union = 89
)

type kind uint8

const (
	kindByte   kind = iota // int8 and bool
	kindInt                // int32
	kindFloat              // float32
	kindVector             // of int32
)

// field is a field of an options table; the bits of def are not written.
type field struct {
	kind kind
	def  uint32
}

// layouts are the fields of each options table in the order of their slots.
var layouts = map[Union][]field{
	// padding, stride_w, stride_h, fused_activation_function, dilation_w_factor, dilation_h_factor
	Conv2DOptions: {{kindByte, 0}, {kindInt, 0}, {kindInt, 0}, {kindByte, 0}, {kindInt, 1}, {kindInt, 1}},
	// padding, stride_w, stride_h, depth_multiplier, fused_activation_function, dilation_w_factor, dilation_h_factor
	DepthwiseConv2DOptions: {{kindByte, 0}, {kindInt, 0}, {kindInt, 0}, {kindInt, 0}, {kindByte, 0}, {kindInt, 1}, {kindInt, 1}},
	// padding, stride_w, stride_h, filter_width, filter_height, fused_activation_function
	Pool2DOptions: {{kindByte, 0}, {kindInt, 0}, {kindInt, 0}, {kindInt, 0}, {kindInt, 0}, {kindByte, 0}},
	// fused_activation_function, weights_format, keep_num_dims, asymmetric_quantize_inputs
	FullyConnectedOptions: {{kindByte, 0}, {kindByte, 0}, {kindByte, 0}, {kindByte, 0}},
	SoftmaxOptions:        {{kindFloat, 0}},               // beta
	ConcatenationOptions:  {{kindInt, 0}, {kindByte, 0}},  // axis, fused_activation_function
	AddOptions:            {{kindByte, 0}, {kindByte, 1}}, // fused_activation_function, pot_scale_int16
	ReshapeOptions:        {{kindVector, 0}},              // new_shape
	PadOptions:            {},
	ReducerOptions:        {{kindByte, 0}},   // keep_dims
	SqueezeOptions:        {{kindVector, 0}}, // squeeze_dims
	DequantizeOptions:     {},
	QuantizeOptions:       {},
}

// activationSlots are the slots of fused_activation_function.
var activationSlots = map[Union]int{
	Conv2DOptions: 3, DepthwiseConv2DOptions: 4, Pool2DOptions: 5, FullyConnectedOptions: 0, ConcatenationOptions: 1, AddOptions: 0,
}

// Options are an operator's options. The zero value is none.
type Options struct {
	Union  Union
	fields []value
}

// value is one field's: its bits, or its vector (nil when it is absent).
type value struct {
	bits uint32
	ints []int32
}

// NewOptions makes options of defaults; the union must be one of those above.
func NewOptions(u Union) Options {
	o := Options{Union: u, fields: make([]value, len(layouts[u]))}
	for i, f := range layouts[u] {
		o.fields[i].bits = f.def
	}
	return o
}

// Int is the byte or int32 in a slot, 0 where there is none.
func (o Options) Int(slot int) int32 {
	if slot >= len(o.fields) {
		return 0
	}
	return int32(o.fields[slot].bits)
}

// Float is the float32 in a slot, 0 where there is none.
func (o Options) Float(slot int) float32 { return math.Float32frombits(uint32(o.Int(slot))) }

// With is a copy with another byte or int32 in a slot.
func (o Options) With(slot int, v int32) Options {
	return o.with(slot, value{bits: uint32(v)})
}

// WithFloat is a copy with another float32 in a slot.
func (o Options) WithFloat(slot int, v float32) Options {
	return o.with(slot, value{bits: math.Float32bits(v)})
}

// WithInts is a copy with another vector in a slot.
func (o Options) WithInts(slot int, v []int32) Options { return o.with(slot, value{ints: v}) }

func (o Options) with(slot int, v value) Options {
	fields := append([]value(nil), o.fields...)
	fields[slot] = v
	return Options{Union: o.Union, fields: fields}
}

// Activation is the fused activation.
func (o Options) Activation() Activation {
	slot, ok := activationSlots[o.Union]
	if !ok {
		return NoActivation
	}
	return Activation(o.Int(slot))
}

// WithActivation is a copy with another fused activation; ok is false for
// options without any.
func (o Options) WithActivation(a Activation) (_ Options, ok bool) {
	slot, ok := activationSlots[o.Union]
	if !ok {
		return o, false
	}
	return o.With(slot, int32(a)), true
}
