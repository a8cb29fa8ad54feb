package smallmodel

import (
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// The numbers below are from tensorflow/lite/schema/schema.fbs, version 3. A
// field's slot is its place in its table, counted from 0; a union takes two.

// enum TensorType
const (
	typeFloat32 = 0
	typeInt32   = 2
	typeUInt8   = 3
	typeInt8    = 9
)

// enum BuiltinOperator
const (
	opAveragePool2D   = 1
	opConv2D          = 3
	opDepthwiseConv2D = 4
	opReshape         = 22
	opSoftmax         = 25
	opMean            = 40
)

// union BuiltinOptions
const (
	optConv2D          = 1
	optDepthwiseConv2D = 2
	optPool2D          = 5
	optSoftmax         = 9
	optReshape         = 17
	optReducer         = 27
)

// enum Padding and enum ActivationFunctionType
const (
	paddingSame  = 0
	paddingValid = 1

	activationNone  = 0
	activationReLU  = 1
	activationReLU6 = 3
)

// quantization is the table QuantizationParameters: one scale for the tensor,
// or one for each index of the dimension dim.
type quantization struct {
	scales []float32
	zero   int64
	dim    int32
}

// tensor is the table Tensor.
type tensor struct {
	name   string
	shape  []int32
	typ    int8
	quant  quantization // without scales: not quantized
	buffer uint32       // 0 for what an operator computes
}

// opcode is the table OperatorCode.
type opcode struct {
	builtin int8
	version int32
}

// options are a table of the union BuiltinOptions and its type.
type options struct {
	union byte
	write func(*flatbuffers.Builder) flatbuffers.UOffsetT
}

// operator is the table Operator.
type operator struct {
	opcode          uint32
	inputs, outputs []int32
	options         options
}

// graph collects what becomes a Model with one SubGraph.
type graph struct {
	buffers   [][]byte // after the empty one at index 0 that the schema demands
	tensors   []tensor
	opcodes   []opcode
	operators []operator
}

// add adds a tensor that an operator computes and returns its index.
func (g *graph) add(t tensor) int32 {
	g.tensors = append(g.tensors, t)
	return int32(len(g.tensors) - 1)
}

// constant adds a tensor with its values.
func (g *graph) constant(t tensor, data []byte) int32 {
	g.buffers = append(g.buffers, data)
	t.buffer = uint32(len(g.buffers))
	return g.add(t)
}

// apply adds an operator; operators of one kind share an operator code.
func (g *graph) apply(code opcode, opts options, output int32, inputs ...int32) {
	i := slices.Index(g.opcodes, code)
	if i < 0 {
		i = len(g.opcodes)
		g.opcodes = append(g.opcodes, code)
	}
	g.operators = append(g.operators, operator{uint32(i), inputs, []int32{output}, opts})
}

// bytes writes the FlatBuffer. Its builder works from the end of the file to
// its beginning, so every table comes after what it refers to.
func (g *graph) bytes(input, output int32, description string) []byte {
	b := flatbuffers.NewBuilder(1 << 16)
	text := b.CreateString(description)
	buffers := b.CreateVectorOfTables(tables(b, append([][]byte{nil}, g.buffers...), writeBuffer))
	tensors := b.CreateVectorOfTables(tables(b, g.tensors, writeTensor))
	operators := b.CreateVectorOfTables(tables(b, g.operators, writeOperator))
	opcodes := b.CreateVectorOfTables(tables(b, g.opcodes, writeOpcode))
	inputs, outputs := ints(b, []int32{input}), ints(b, []int32{output})

	b.StartObject(5) // table SubGraph
	b.PrependUOffsetTSlot(0, tensors, 0)
	b.PrependUOffsetTSlot(1, inputs, 0)
	b.PrependUOffsetTSlot(2, outputs, 0)
	b.PrependUOffsetTSlot(3, operators, 0)
	subgraphs := b.CreateVectorOfTables([]flatbuffers.UOffsetT{b.EndObject()})

	b.StartObject(5) // table Model
	b.PrependUint32Slot(0, 3, 0)
	b.PrependUOffsetTSlot(1, opcodes, 0)
	b.PrependUOffsetTSlot(2, subgraphs, 0)
	b.PrependUOffsetTSlot(3, text, 0)
	b.PrependUOffsetTSlot(4, buffers, 0)
	b.FinishWithFileIdentifier(b.EndObject(), []byte("TFL3"))
	return b.FinishedBytes()
}

func tables[T any](b *flatbuffers.Builder, all []T, write func(*flatbuffers.Builder, T) flatbuffers.UOffsetT) []flatbuffers.UOffsetT {
	offsets := make([]flatbuffers.UOffsetT, len(all))
	for i, v := range all {
		offsets[i] = write(b, v)
	}
	return offsets
}

// writeBuffer writes the table Buffer; its data is aligned to 16 bytes.
func writeBuffer(b *flatbuffers.Builder, data []byte) flatbuffers.UOffsetT {
	var v flatbuffers.UOffsetT
	if data != nil {
		b.StartVector(1, len(data), 16)
		for _, x := range slices.Backward(data) {
			b.PlaceByte(x)
		}
		v = b.EndVector(len(data))
	}
	b.StartObject(1)
	b.PrependUOffsetTSlot(0, v, 0)
	return b.EndObject()
}

func writeTensor(b *flatbuffers.Builder, t tensor) flatbuffers.UOffsetT {
	name, shape, quant := b.CreateString(t.name), ints(b, t.shape), writeQuantization(b, t.quant)
	b.StartObject(5)
	b.PrependUOffsetTSlot(0, shape, 0)
	b.PrependInt8Slot(1, t.typ, typeFloat32)
	b.PrependUint32Slot(2, t.buffer, 0)
	b.PrependUOffsetTSlot(3, name, 0)
	b.PrependUOffsetTSlot(4, quant, 0)
	return b.EndObject()
}

// writeQuantization writes scale (slot 2), zero_point (3), of which the library
// wants one for each scale, and quantized_dimension (6, after a union).
func writeQuantization(b *flatbuffers.Builder, q quantization) flatbuffers.UOffsetT {
	if len(q.scales) == 0 {
		return 0
	}
	b.StartVector(4, len(q.scales), 4)
	for _, s := range slices.Backward(q.scales) {
		b.PrependFloat32(s)
	}
	scales := b.EndVector(len(q.scales))
	b.StartVector(8, len(q.scales), 8)
	for range q.scales {
		b.PrependInt64(q.zero)
	}
	zeros := b.EndVector(len(q.scales))
	b.StartObject(7)
	b.PrependUOffsetTSlot(2, scales, 0)
	b.PrependUOffsetTSlot(3, zeros, 0)
	b.PrependInt32Slot(6, q.dim, 0)
	return b.EndObject()
}

// writeOpcode fills in both fields of the operator's number: readers older than
// version 3a know deprecated_builtin_code (slot 0) only.
func writeOpcode(b *flatbuffers.Builder, c opcode) flatbuffers.UOffsetT {
	b.StartObject(4)
	b.PrependInt8Slot(0, c.builtin, 0)
	b.PrependInt32Slot(2, c.version, 1)
	b.PrependInt32Slot(3, int32(c.builtin), 0)
	return b.EndObject()
}

func writeOperator(b *flatbuffers.Builder, o operator) flatbuffers.UOffsetT {
	inputs, outputs, opts := ints(b, o.inputs), ints(b, o.outputs), o.options.write(b)
	b.StartObject(5)
	b.PrependUint32Slot(0, o.opcode, 0)
	b.PrependUOffsetTSlot(1, inputs, 0)
	b.PrependUOffsetTSlot(2, outputs, 0)
	b.PrependByteSlot(3, o.options.union, 0)
	b.PrependUOffsetTSlot(4, opts, 0)
	return b.EndObject()
}

// conv2DOptions is the table Conv2DOptions; its dilation factors stay 1.
func conv2DOptions(stride int32, activation int8) options {
	return options{optConv2D, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		b.StartObject(6)
		b.PrependInt8Slot(0, paddingSame, 0)
		b.PrependInt32Slot(1, stride, 0) // stride_w
		b.PrependInt32Slot(2, stride, 0) // stride_h
		b.PrependInt8Slot(3, activation, activationNone)
		return b.EndObject()
	}}
}

// depthwiseOptions is the table DepthwiseConv2DOptions with a depth_multiplier
// of 1.
func depthwiseOptions(stride int32, activation int8) options {
	return options{optDepthwiseConv2D, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		b.StartObject(7)
		b.PrependInt8Slot(0, paddingSame, 0)
		b.PrependInt32Slot(1, stride, 0) // stride_w
		b.PrependInt32Slot(2, stride, 0) // stride_h
		b.PrependInt32Slot(3, 1, 0)      // depth_multiplier
		b.PrependInt8Slot(4, activation, activationNone)
		return b.EndObject()
	}}
}

// poolOptions is the table Pool2DOptions for a filter as large as the picture.
func poolOptions(side int32) options {
	return options{optPool2D, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		b.StartObject(6)
		b.PrependInt8Slot(0, paddingValid, paddingSame)
		for slot := 1; slot <= 4; slot++ { // stride_w, stride_h, filter_width, filter_height
			b.PrependInt32Slot(slot, side, 0)
		}
		return b.EndObject()
	}}
}

// keepDims is the table ReducerOptions with keep_dims set.
func keepDims() options {
	return options{optReducer, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		b.StartObject(1)
		b.PrependBoolSlot(0, true, false)
		return b.EndObject()
	}}
}

// reshapeOptions is the table ReshapeOptions.
func reshapeOptions(shape []int32) options {
	return options{optReshape, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		v := ints(b, shape)
		b.StartObject(1)
		b.PrependUOffsetTSlot(0, v, 0) // new_shape
		return b.EndObject()
	}}
}

// softmaxOptions is the table SoftmaxOptions with a beta of 1.
func softmaxOptions() options {
	return options{optSoftmax, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		b.StartObject(1)
		b.PrependFloat32Slot(0, 1, 0)
		return b.EndObject()
	}}
}

func ints(b *flatbuffers.Builder, v []int32) flatbuffers.UOffsetT {
	b.StartVector(4, len(v), 4)
	for _, x := range slices.Backward(v) {
		b.PrependInt32(x)
	}
	return b.EndVector(len(v))
}
