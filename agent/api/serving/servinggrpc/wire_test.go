package servinggrpc_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// The client of these tests knows nothing of our generated code: it writes and
// reads bytes by the numbers of the published description.

// raw is a codec that takes and gives bytes.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*(v.(*[]byte)) = data.Materialize()
	return nil
}

const (
	predict    = "/tensorflow.serving.PredictionService/Predict"
	classify   = "/tensorflow.serving.PredictionService/Classify"
	signatures = "/tensorflow.serving.PredictionService/GetModelMetadata"
	state      = "/tensorflow.serving.ModelService/GetModelStatus"
)

// invoke sends bytes and gets bytes.
func invoke(ctx context.Context, c *grpc.ClientConn, method string, request []byte) ([]byte, error) {
	var answer []byte
	err := c.Invoke(ctx, method, request, &answer, grpc.ForceCodecV2(raw{}))
	return answer, err
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// sub is a field with a message, a string or bytes.
func sub[T string | []byte](n protowire.Number, content T) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), string(content))
}

func number(n protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), uint64(v))
}

// whole is a packed list of whole numbers.
func whole(n protowire.Number, values ...int64) []byte {
	var b []byte
	for _, v := range values {
		b = protowire.AppendVarint(b, uint64(v))
	}
	return sub(n, b)
}

// floats is a packed list.
func floats(n protowire.Number, values ...float32) []byte {
	var b []byte
	for _, v := range values {
		b = protowire.AppendFixed32(b, math.Float32bits(v))
	}
	return sub(n, b)
}

// spec is model.proto's ModelSpec as a field; extra are more of its fields.
func spec(n protowire.Number, name string, extra ...[]byte) []byte {
	return sub(n, join(sub(1, name), join(extra...)))
}

func version(v int64) []byte    { return sub(2, number(1, v)) }
func label(l string) []byte     { return sub(4, l) }
func signature(s string) []byte { return sub(3, s) }

// tensor is tensor.proto's TensorProto: a type, a shape and values.
func tensor(dtype int64, dims []int64, values ...[]byte) []byte {
	var shape []byte
	for _, d := range dims {
		shape = append(shape, sub(2, number(1, d))...)
	}
	return join(number(1, dtype), sub(2, shape), join(values...))
}

func content(b ...byte) []byte { return sub(4, b) }

// inputs is an entry of PredictRequest's inputs.
func inputs(name string, tensor []byte) []byte { return sub(2, join(sub(1, name), sub(2, tensor))) }

// example is an ExampleList's with one feature.
func example(name string, feature []byte) []byte { return sub(1, features(name, feature)) }

func features(name string, feature []byte) []byte {
	return sub(1, sub(1, join(sub(1, name), sub(2, feature))))
}

// fields is a message taken apart.
type fields struct {
	bytes   map[protowire.Number][][]byte
	numbers map[protowire.Number][]uint64
}

func parse(t testing.TB, b []byte) fields {
	t.Helper()
	f := fields{map[protowire.Number][][]byte{}, map[protowire.Number][]uint64{}}
	for len(b) > 0 {
		n, wire, used := protowire.ConsumeTag(b)
		if used < 0 {
			t.Fatalf("broken tag in %x", b)
		}
		b = b[used:]
		switch wire {
		case protowire.BytesType:
			var v []byte
			v, used = protowire.ConsumeBytes(b)
			f.bytes[n] = append(f.bytes[n], v)
		case protowire.VarintType:
			var v uint64
			v, used = protowire.ConsumeVarint(b)
			f.numbers[n] = append(f.numbers[n], v)
		case protowire.Fixed32Type:
			var v uint32
			v, used = protowire.ConsumeFixed32(b)
			f.numbers[n] = append(f.numbers[n], uint64(v))
		default:
			t.Fatalf("field %d has wire type %d, which no message here has", n, wire)
		}
		if used < 0 {
			t.Fatalf("broken field %d", n)
		}
		b = b[used:]
	}
	return f
}

func (f fields) sub(t testing.TB, n protowire.Number) fields { return parse(t, f.one(n)) }

// one is the content of a field that is there once, or empty.
func (f fields) one(n protowire.Number) []byte {
	if len(f.bytes[n]) == 1 {
		return f.bytes[n][0]
	}
	return nil
}

func (f fields) number(n protowire.Number) int64 {
	if len(f.numbers[n]) == 1 {
		return int64(f.numbers[n][0])
	}
	return 0
}

// entries are a map's, by key.
func (f fields) entries(t testing.TB, n protowire.Number) map[string]fields {
	m := map[string]fields{}
	for _, e := range f.bytes[n] {
		entry := parse(t, e)
		m[string(entry.one(1))] = entry.sub(t, 2)
	}
	return m
}

// describe is a tensor in one line: type, shape, and the field and values that
// it has.
func describe(t testing.TB, tensor fields) string {
	var dims []int64
	for _, d := range tensor.sub(t, 2).bytes[2] {
		dims = append(dims, parse(t, d).number(1))
	}
	s := fmt.Sprintf("type %d %v", tensor.number(1), dims)
	if b := tensor.one(4); b != nil {
		s += fmt.Sprintf(" content %v", b)
	}
	if b := tensor.one(5); b != nil {
		var v []float32
		for ; len(b) >= 4; b = b[4:] {
			v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
		s += fmt.Sprintf(" float_val %v", v)
	}
	if b := tensor.one(7); b != nil {
		var v []int32
		for len(b) > 0 {
			n, used := protowire.ConsumeVarint(b)
			if used < 0 {
				t.Fatal("broken int_val")
			}
			v, b = append(v, int32(n)), b[used:]
		}
		s += fmt.Sprintf(" int_val %v", v)
	}
	return s
}

// specOf is a ModelSpec in one line.
func specOf(t testing.TB, f fields) string {
	return fmt.Sprintf("%s %d %s", f.one(1), f.sub(t, 2).number(1), f.one(3))
}
