package servinggrpc

import (
	"context"
	"encoding/binary"
	"math"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/tfproto"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

// dataTypes are the types of a model's tensors by TensorFlow Lite's name.
var dataTypes = map[string]tfproto.DataType{
	"float32": tfproto.DataType_DT_FLOAT, "float64": tfproto.DataType_DT_DOUBLE,
	"float16": tfproto.DataType_DT_HALF, "int8": tfproto.DataType_DT_INT8,
	"uint8": tfproto.DataType_DT_UINT8, "int16": tfproto.DataType_DT_INT16,
	"uint16": tfproto.DataType_DT_UINT16, "int32": tfproto.DataType_DT_INT32,
	"uint32": tfproto.DataType_DT_UINT32, "int64": tfproto.DataType_DT_INT64,
	"uint64": tfproto.DataType_DT_UINT64, "bool": tfproto.DataType_DT_BOOL,
	"string": tfproto.DataType_DT_STRING, "complex64": tfproto.DataType_DT_COMPLEX64,
	"complex128": tfproto.DataType_DT_COMPLEX128,
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// input is what one model takes.
type input struct {
	tflite.TensorInfo
	dtype  tfproto.DataType
	target pixel.Target
}

func inputOf(m serving.Model) (input, error) {
	info := m.Info()
	if len(info.Inputs) != 1 || len(info.Inputs[0].Shape) != 4 {
		return input{}, status.Error(codes.Internal, "the model's input is no picture")
	}
	return input{TensorInfo: info.Inputs[0], dtype: dataTypes[info.Inputs[0].Type], target: m.Target()}, nil
}

// batch are the examples of a request, ready for the model. Those of a tensor's
// own bytes lie in the request.
type batch struct {
	examples [][]byte
	free     func() // gives the memory back
}

// batch turns a tensor into examples. It takes the model's own type, as bytes or
// as a list of values, and as egret's own extension encoded pictures as strings.
func (s *Server) batch(ctx context.Context, in *input, t *tfproto.TensorProto) (batch, error) {
	if t.GetDtype() == tfproto.DataType_DT_STRING {
		n, err := in.pictures(t, s.opts.MaxExamples)
		if err != nil {
			return batch{}, err
		}
		return s.fill(ctx, in, n, func(ctx context.Context, i int, dst []byte) error {
			return s.picture(ctx, in, dst, repeated(t.GetStringVal(), i))
		})
	}
	n, err := in.count(t, s.opts.MaxExamples)
	if err != nil {
		return batch{}, err
	}
	if content := t.GetTensorContent(); len(content) > 0 {
		size := in.target.Bytes()
		// In 64 bits: int has 32 on a small Pi.
		if int64(len(content)) != int64(n)*int64(size) {
			return batch{}, invalid("tensor_content of input %q has %d bytes, its shape needs %d", in.Name, len(content), int64(n)*int64(size))
		}
		return batch{slices.Collect(slices.Chunk(content, size)), func() {}}, nil
	}
	if err := in.checkValues(t, n); err != nil {
		return batch{}, err
	}
	return s.fill(ctx, in, n, func(_ context.Context, i int, dst []byte) error { return in.values(dst, t, i) })
}

// fill allocates n examples and lets each make its own.
func (s *Server) fill(ctx context.Context, in *input, n int, each func(ctx context.Context, i int, dst []byte) error) (batch, error) {
	size := in.target.Bytes()
	if n > 1 && n > s.opts.MaxMessage/size {
		return batch{}, invalid("%d examples of %d bytes are more than a request may have: send fewer at a time", n, size)
	}
	free, err := s.memory.tensor(ctx, int64(n)*int64(size))
	if err != nil {
		return batch{}, err
	}
	filled := false
	defer func() { // after a panic too, which ends the call alone
		if !filled {
			free()
		}
	}()
	b := batch{make([][]byte, n), free}
	for i := range b.examples {
		b.examples[i] = make([]byte, size)
		if err := each(ctx, i, b.examples[i]); err != nil {
			return batch{}, err
		}
	}
	filled = true
	return b, nil
}

// count is the number of examples by a tensor's shape. Every dimension is
// compared, so none is multiplied before it is known to be small.
func (in *input) count(t *tfproto.TensorProto, most int) (int, error) {
	if t.GetDtype() != in.dtype {
		return 0, invalid("input %q is %v, and %v was sent: send %v, or DT_STRING with encoded pictures", in.Name, in.dtype, t.GetDtype(), in.dtype)
	}
	dims := t.GetTensorShape().GetDim()
	if len(dims) != 4 || t.GetTensorShape().GetUnknownRank() {
		return 0, invalid("input %q needs the shape [n,%d,%d,3], and one of %d dimensions was sent", in.Name, in.Shape[1], in.Shape[2], len(dims))
	}
	for i, d := range dims[1:] {
		if d.GetSize() != int64(in.Shape[i+1]) {
			return 0, invalid("dimension %d of input %q is %d: want %d", i+1, in.Name, d.GetSize(), in.Shape[i+1])
		}
	}
	return in.examples(dims[0].GetSize(), most)
}

// pictures is the number of examples of a tensor of strings: a scalar is one.
func (in *input) pictures(t *tfproto.TensorProto, most int) (int, error) {
	dims := t.GetTensorShape().GetDim()
	if len(dims) > 1 || t.GetTensorShape().GetUnknownRank() {
		return 0, invalid("input %q needs the shape [n] or [] with DT_STRING, and one of %d dimensions was sent", in.Name, len(dims))
	}
	if len(t.GetTensorContent()) > 0 || len(t.GetStringVal()) == 0 {
		return 0, invalid("input %q has no string_val: send encoded pictures there", in.Name)
	}
	n := 1
	if len(dims) == 1 {
		var err error
		if n, err = in.examples(dims[0].GetSize(), most); err != nil {
			return 0, err
		}
	}
	if len(t.GetStringVal()) > n {
		return 0, invalid("input %q has %d pictures, its shape has %d", in.Name, len(t.GetStringVal()), n)
	}
	return n, nil
}

func (in *input) examples(n int64, most int) (int, error) {
	if n < 1 || n > int64(most) {
		return 0, invalid("input %q has %d examples: send 1 to %d", in.Name, n, most)
	}
	return int(n), nil
}

// checkValues looks at the lists. Fewer values than the shape has are
// TensorFlow's way to send a constant; more are a mistake that it does not
// notice.
func (in *input) checkValues(t *tfproto.TensorProto, n int) error {
	have, want := len(t.GetIntVal()), int64(n)*int64(in.Shape[1]*in.Shape[2]*3)
	if in.dtype == tfproto.DataType_DT_FLOAT {
		have = len(t.GetFloatVal())
	}
	if int64(have) > want {
		return invalid("input %q has %d values, its shape has %d", in.Name, have, want)
	}
	return nil
}

// values writes example i of a tensor's list.
func (in *input) values(dst []byte, t *tfproto.TensorProto, i int) error {
	if in.dtype == tfproto.DataType_DT_FLOAT {
		values, rest := spread(t.GetFloatVal(), i, len(dst)/4)
		putFloats(dst, values, rest)
		return nil
	}
	values, rest := spread(t.GetIntVal(), i, len(dst))
	return putWhole(in, dst, values, byte(rest))
}

// spread gives values of example i: those that are there, and what to fill up
// with, which is the list's last, or 0 for an empty list.
func spread[T int32 | float32](list []T, i, size int) (values []T, rest T) {
	if len(list) > 0 {
		rest = list[len(list)-1]
	}
	first := min(i*size, len(list))
	return list[first:min(first+size, len(list))], rest
}

// repeated is entry i of a list that is not empty, or its last.
func repeated(list [][]byte, i int) []byte { return list[min(i, len(list)-1)] }

func putFloats(dst []byte, values []float32, rest float32) {
	for i, v := range values {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
	for i := 4 * len(values); i < len(dst); i += 4 {
		binary.LittleEndian.PutUint32(dst[i:], math.Float32bits(rest))
	}
}

// putWhole writes whole numbers, which TensorFlow would cut to their last bits.
// rest is checked with the example that it is in.
func putWhole[T int32 | int64](in *input, dst []byte, values []T, rest byte) error {
	lowest, highest := T(0), T(255)
	if in.dtype == tfproto.DataType_DT_INT8 {
		lowest, highest = -128, 127
	}
	for i, v := range values {
		if v < lowest || v > highest {
			return invalid("input %q has %d among its values: want %d to %d", in.Name, v, lowest, highest)
		}
		dst[i] = byte(v)
	}
	for i := len(values); i < len(dst); i++ {
		dst[i] = rest
	}
	return nil
}

// picture decodes one, when it is its turn.
func (s *Server) picture(ctx context.Context, in *input, dst, data []byte) error {
	_, err := s.decoder.DecodePicture(ctx, dst, &in.target, data)
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	if err != nil {
		return invalid("picture for input %q: %v", in.Name, err)
	}
	return nil
}

// output makes tensor k of the answers, whole, with the batch's dimension. The
// values are in the list of their type, as TensorFlow Serving sends them:
// clients read float_val and int_val without asking.
func output(info tflite.TensorInfo, k int, answers []serving.Answer) (*tfproto.TensorProto, error) {
	t := &tfproto.TensorProto{Dtype: dataTypes[info.Type], TensorShape: shape(info, int64(len(answers)))}
	for _, a := range answers {
		if k >= len(a.Outputs) {
			return nil, status.Errorf(codes.Internal, "the model gave %d outputs instead of %d", len(a.Outputs), k+1)
		}
		appendValues(t, a.Outputs[k])
	}
	return t, nil
}

func appendValues(t *tfproto.TensorProto, b []byte) {
	switch t.Dtype {
	case tfproto.DataType_DT_FLOAT:
		t.FloatVal = slices.Grow(t.FloatVal, len(b)/4)
		for ; len(b) >= 4; b = b[4:] {
			t.FloatVal = append(t.FloatVal, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	case tfproto.DataType_DT_INT32:
		t.IntVal = slices.Grow(t.IntVal, len(b)/4)
		for ; len(b) >= 4; b = b[4:] {
			t.IntVal = append(t.IntVal, int32(binary.LittleEndian.Uint32(b)))
		}
	case tfproto.DataType_DT_UINT8:
		t.IntVal = slices.Grow(t.IntVal, len(b))
		for _, v := range b {
			t.IntVal = append(t.IntVal, int32(v))
		}
	case tfproto.DataType_DT_INT8:
		t.IntVal = slices.Grow(t.IntVal, len(b))
		for _, v := range b {
			t.IntVal = append(t.IntVal, int32(int8(v)))
		}
	default: // no model's output that we know; clients read this too
		t.TensorContent = append(t.TensorContent, b...)
	}
}

// shape is a tensor's with another batch size.
func shape(info tflite.TensorInfo, n int64) *tfproto.TensorShapeProto {
	s := &tfproto.TensorShapeProto{Dim: []*tfproto.TensorShapeProto_Dim{{Size: n}}}
	for _, d := range info.Shape[min(1, len(info.Shape)):] {
		s.Dim = append(s.Dim, &tfproto.TensorShapeProto_Dim{Size: int64(d)})
	}
	return s
}
