package schema

import (
	"errors"
	"fmt"
)

// Read reads a model. Its buffers are parts of data, which must not change
// while they are in use.
func Read(data []byte) (*Model, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("read model: it has %d MB, more than the %d that are taken", len(data)>>20, MaxBytes>>20)
	}
	if len(data) < 8 || string(data[4:8]) != Identifier {
		return nil, errors.New("read model: this is no TensorFlow Lite file")
	}
	f := &file{data: data}
	m := readModel(f.table(int(f.u32(0)), "Model", 8))
	if f.err != nil {
		return nil, fmt.Errorf("read model: the file is damaged or too new: %w", f.err)
	}
	return m, nil
}

// The slots below are the places of the fields in their tables, counted from 0;
// a union takes two.

func readModel(t table) *Model {
	return &Model{
		Version:     t.uint32(0, 0),
		Codes:       each(t, 1, "OperatorCode", 4, readCode),
		Graphs:      each(t, 2, "SubGraph", 5, readGraph),
		Description: t.text(3),
		// A buffer's fields 1 and 2 place data behind the FlatBuffer, which only
		// models above 2 GB do.
		Buffers:        each(t, 4, "Buffer", 1, func(t table) []byte { return t.bytes(0) }),
		MetadataBuffer: t.ints(5),
		Metadata: each(t, 6, "Metadata", 2, func(t table) Metadata {
			return Metadata{t.text(0), t.uint32(1, 0)}
		}),
		Signatures: each(t, 7, "SignatureDef", 5, readSignature),
	}
}

func readCode(t table) OperatorCode {
	// Slot 0 is all that readers before version 3a knew; the larger is right.
	code := max(int32(int8(t.byte(0, 0))), int32(t.uint32(3, 0)))
	return OperatorCode{Builtin: Operator(code), Custom: t.text(1), Version: int32(t.uint32(2, 1))}
}

func readGraph(t table) SubGraph {
	return SubGraph{
		Tensors: each(t, 0, "Tensor", 9, readTensor),
		Inputs:  t.ints(1), Outputs: t.ints(2),
		Nodes: each(t, 3, "Operator", 9, readNode),
		Name:  t.text(4),
	}
}

func readTensor(t table) Tensor {
	if _, ok := t.offset(6); ok {
		t.f.fail("%s is sparse, which is not read", t.name)
	}
	v := Tensor{
		Shape: t.ints(0), Type: Type(t.byte(1, 0)), Buffer: t.uint32(2, 0), Name: t.text(3),
		Variable: t.byte(5, 0) != 0, ShapeSignature: t.ints(7), HasRank: t.byte(8, 0) != 0,
	}
	if pos, ok := t.offset(4); ok {
		v.Quant = readQuantization(t.f.table(pos, t.name+"'s quantization", 7))
	}
	return v
}

func readQuantization(t table) *Quantization {
	if t.byte(4, 0) != 0 {
		t.f.fail("%s is a custom one, which is not read", t.name)
	}
	return &Quantization{Min: t.floats(0), Max: t.floats(1), Scale: t.floats(2), Zero: t.longs(3), Dim: int32(t.uint32(6, 0))}
}

func readNode(t table) Node {
	n := Node{Code: t.uint32(0, 0), Inputs: t.ints(1), Outputs: t.ints(2), CustomOptions: t.bytes(5)}
	if t.byte(6, 0) != 0 {
		t.f.fail("%s has custom options that are no FlexBuffer", t.name)
	}
	// Variables of recurrent operators and their inner tensors.
	if changes := t.bytes(7); len(changes) > 0 {
		t.f.fail("%s changes its inputs, which is not read", t.name)
	}
	if _, inner, ok := t.vector(8, 4); ok && inner > 0 {
		t.f.fail("%s has inner tensors, which are not read", t.name)
	}
	union := Union(t.byte(3, 0))
	pos, ok := t.offset(4)
	if union == NoOptions || !ok {
		return n
	}
	layout, known := layouts[union]
	if !known {
		// The graph may have to be named before it is refused.
		n.Options = Options{Union: union}
		return n
	}
	n.Options = readOptions(t.f.table(pos, t.name+"'s options", len(layout)), union, layout)
	return n
}

// Known tells whether options can be written. Those of operators that nothing
// here handles are left out when a model is read.
func (o Options) Known() bool {
	_, ok := layouts[o.Union]
	return ok || o.Union == NoOptions
}

func readOptions(t table, u Union, layout []field) Options {
	o := NewOptions(u)
	for slot, f := range layout {
		switch f.kind {
		case kindByte:
			o.fields[slot].bits = uint32(int32(int8(t.byte(slot, byte(f.def)))))
		case kindVector:
			o.fields[slot].ints = t.ints(slot)
		default:
			o.fields[slot].bits = t.uint32(slot, f.def)
		}
	}
	return o
}

func readSignature(t table) Signature {
	maps := func(slot int) []TensorMap {
		return each(t, slot, "TensorMap", 2, func(t table) TensorMap { return TensorMap{t.text(0), t.uint32(1, 0)} })
	}
	// Slot 3 was a tag, which no reader has used since version 3b.
	return Signature{Inputs: maps(0), Outputs: maps(1), Key: t.text(2), Graph: t.uint32(4, 0)}
}
