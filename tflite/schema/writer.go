package schema

import (
	"errors"
	"fmt"
	"math"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

type offset = flatbuffers.UOffsetT

// maxWritten is below what a FlatBuffer can hold: 2 GB.
const maxWritten = 3 << 29

// Write gives the model's file. The same model always gives the same bytes. It
// fails on options that were not understood when they were read, and on models
// that no FlatBuffer can hold.
func (m *Model) Write() ([]byte, error) {
	size := 1 << 16
	for _, data := range m.Buffers {
		size += len(data) + 64
	}
	if size > maxWritten {
		return nil, errors.New("write model: its constants take more than 1.5 GB")
	}
	for g := range m.Graphs {
		for i, n := range m.Graphs[g].Nodes {
			if !n.Options.Known() {
				return nil, fmt.Errorf("write model: operator %d has options of type %d, which are not known", i, n.Options.Union)
			}
		}
	}
	return m.write(flatbuffers.NewBuilder(size)), nil
}

// write works from the end of the file to its beginning, as FlatBuffers'
// builder does: every table comes after what it refers to.
func (m *Model) write(b *flatbuffers.Builder) []byte {
	signatures := vector(b, m.Signatures, writeSignature)
	metadata := vector(b, m.Metadata, writeMetadata)
	metadataBuffer := ints(b, m.MetadataBuffer)
	buffers := vector(b, m.Buffers, writeBuffer)
	description := text(b, m.Description)
	graphs := vector(b, m.Graphs, writeGraph)
	codes := vector(b, m.Codes, writeCode)
	b.StartObject(8)
	b.PrependUint32Slot(0, m.Version, 0)
	for slot, v := range []offset{1: codes, 2: graphs, 3: description, 4: buffers, 5: metadataBuffer, 6: metadata, 7: signatures} {
		b.PrependUOffsetTSlot(slot, v, 0)
	}
	b.FinishWithFileIdentifier(b.EndObject(), []byte(Identifier))
	return b.FinishedBytes()
}

// vector writes a vector of tables; a nil one is absent.
func vector[T any](b *flatbuffers.Builder, all []T, write func(*flatbuffers.Builder, T) offset) offset {
	if all == nil {
		return 0
	}
	offsets := make([]offset, len(all))
	for i, v := range all {
		offsets[i] = write(b, v)
	}
	return b.CreateVectorOfTables(offsets)
}

// numbers writes a vector of numbers of size bytes; a nil one is absent.
func numbers[T any](b *flatbuffers.Builder, size int, all []T, prepend func(T)) offset {
	if all == nil {
		return 0
	}
	b.StartVector(size, len(all), size)
	for _, v := range slices.Backward(all) {
		prepend(v)
	}
	return b.EndVector(len(all))
}

func ints(b *flatbuffers.Builder, v []int32) offset { return numbers(b, 4, v, b.PrependInt32) }

func text(b *flatbuffers.Builder, s string) offset {
	if s == "" {
		return 0
	}
	return b.CreateString(s)
}

func writeCode(b *flatbuffers.Builder, c OperatorCode) offset {
	name := text(b, c.Custom)
	b.StartObject(4)
	b.PrependInt8Slot(0, int8(min(c.Builtin, placeholder)), 0)
	b.PrependUOffsetTSlot(1, name, 0)
	b.PrependInt32Slot(2, c.Version, 1)
	b.PrependInt32Slot(3, int32(c.Builtin), 0)
	return b.EndObject()
}

func writeGraph(b *flatbuffers.Builder, g SubGraph) offset {
	name := text(b, g.Name)
	nodes := vector(b, g.Nodes, writeNode)
	inputs, outputs := ints(b, g.Inputs), ints(b, g.Outputs)
	tensors := vector(b, g.Tensors, writeTensor)
	b.StartObject(5)
	for slot, v := range []offset{tensors, inputs, outputs, nodes, name} {
		b.PrependUOffsetTSlot(slot, v, 0)
	}
	return b.EndObject()
}

func writeTensor(b *flatbuffers.Builder, t Tensor) offset {
	shape, name, signature := ints(b, t.Shape), text(b, t.Name), ints(b, t.ShapeSignature)
	var quant offset
	if t.Quant != nil {
		quant = writeQuantization(b, t.Quant)
	}
	b.StartObject(9)
	b.PrependUOffsetTSlot(0, shape, 0)
	b.PrependInt8Slot(1, int8(t.Type), 0)
	b.PrependUint32Slot(2, t.Buffer, 0)
	b.PrependUOffsetTSlot(3, name, 0)
	b.PrependUOffsetTSlot(4, quant, 0)
	b.PrependBoolSlot(5, t.Variable, false)
	b.PrependUOffsetTSlot(7, signature, 0)
	b.PrependBoolSlot(8, t.HasRank, false)
	return b.EndObject()
}

func writeQuantization(b *flatbuffers.Builder, q *Quantization) offset {
	least, most := numbers(b, 4, q.Min, b.PrependFloat32), numbers(b, 4, q.Max, b.PrependFloat32)
	scale, zero := numbers(b, 4, q.Scale, b.PrependFloat32), numbers(b, 8, q.Zero, b.PrependInt64)
	b.StartObject(7)
	for slot, v := range []offset{least, most, scale, zero} {
		b.PrependUOffsetTSlot(slot, v, 0)
	}
	b.PrependInt32Slot(6, q.Dim, 0)
	return b.EndObject()
}

func writeNode(b *flatbuffers.Builder, n Node) offset {
	inputs, outputs, options := ints(b, n.Inputs), ints(b, n.Outputs), writeOptions(b, n.Options)
	var custom offset
	if n.CustomOptions != nil {
		custom = b.CreateByteVector(n.CustomOptions)
	}
	b.StartObject(9)
	b.PrependUint32Slot(0, n.Code, 0)
	b.PrependUOffsetTSlot(1, inputs, 0)
	b.PrependUOffsetTSlot(2, outputs, 0)
	b.PrependByteSlot(3, byte(n.Options.Union), 0)
	b.PrependUOffsetTSlot(4, options, 0)
	b.PrependUOffsetTSlot(5, custom, 0)
	return b.EndObject()
}

func writeOptions(b *flatbuffers.Builder, o Options) offset {
	if o.Union == NoOptions {
		return 0
	}
	layout := layouts[o.Union]
	vectors := make([]offset, len(layout))
	for slot := range layout {
		vectors[slot] = ints(b, o.fields[slot].ints)
	}
	b.StartObject(len(layout))
	for slot, f := range layout {
		switch bits := o.fields[slot].bits; f.kind {
		case kindByte:
			b.PrependByteSlot(slot, byte(bits), byte(f.def))
		case kindInt:
			b.PrependUint32Slot(slot, bits, f.def)
		case kindFloat:
			b.PrependFloat32Slot(slot, math.Float32frombits(bits), math.Float32frombits(f.def))
		case kindVector:
			b.PrependUOffsetTSlot(slot, vectors[slot], 0)
		}
	}
	return b.EndObject()
}

// writeBuffer aligns data to 16 bytes of the file, as kernels that read it in
// place want it.
func writeBuffer(b *flatbuffers.Builder, data []byte) offset {
	var v offset
	if data != nil {
		b.Prep(16, len(data))
		v = b.CreateByteVector(data)
	}
	b.StartObject(1)
	b.PrependUOffsetTSlot(0, v, 0)
	return b.EndObject()
}

func writeMetadata(b *flatbuffers.Builder, m Metadata) offset {
	name := text(b, m.Name)
	b.StartObject(2)
	b.PrependUOffsetTSlot(0, name, 0)
	b.PrependUint32Slot(1, m.Buffer, 0)
	return b.EndObject()
}

func writeSignature(b *flatbuffers.Builder, s Signature) offset {
	inputs, outputs, key := vector(b, s.Inputs, writeTensorMap), vector(b, s.Outputs, writeTensorMap), text(b, s.Key)
	b.StartObject(5)
	b.PrependUOffsetTSlot(0, inputs, 0)
	b.PrependUOffsetTSlot(1, outputs, 0)
	b.PrependUOffsetTSlot(2, key, 0)
	b.PrependUint32Slot(4, s.Graph, 0)
	return b.EndObject()
}

func writeTensorMap(b *flatbuffers.Builder, m TensorMap) offset {
	name := text(b, m.Name)
	b.StartObject(2)
	b.PrependUOffsetTSlot(0, name, 0)
	b.PrependUint32Slot(1, m.Tensor, 0)
	return b.EndObject()
}
