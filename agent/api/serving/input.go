package serving

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

// input is what a model takes: one example is numbers of one type in lists of a
// fixed shape.
type input struct {
	name   string
	kind   string // uint8, int8 or float, as TensorFlow names them
	dims   []int  // of one example: height, width, channels
	target pixel.Target
	// list reads one list of numbers at i, as many as dst holds, or says that
	// another way must be taken.
	list func(t text, dst []byte, i int) (end int, ok bool)
}

func newInput(t tflite.TensorInfo, target pixel.Target) input {
	in := input{name: t.Name, kind: t.Type, dims: []int{target.Height, target.Width, 3}, target: target}
	switch t.Type {
	case "uint8":
		in.list = text.uint8s
	case "int8":
		in.list = text.int8s
	default:
		in.kind, in.list = "float", text.floats
	}
	return in
}

// values is how many numbers an example has.
func (in *input) values() int { return in.target.Width * in.target.Height * 3 }

// lists reads an example of nested lists at i into dst, the quick way: it knows
// the shape and stops at whatever is not as most clients write it. What it
// takes, careful takes too and understands the same; the rest is careful's.
func (in *input) lists(dst []byte, t text, i int, dims []int) (end int, ok bool) {
	if t[i] != '[' {
		return 0, false
	}
	if len(dims) == 1 {
		return in.list(t, dst, i)
	}
	step := len(dst) / dims[0]
	for k := range dims[0] {
		i = t.space(i + 1)
		if i, ok = in.lists(dst[k*step:(k+1)*step], t, i, dims[1:]); !ok {
			return 0, false
		}
		if t[i] > ' ' && (t[i] == ',') == (k < dims[0]-1) {
			continue
		}
		if i = t.space(i); (t[i] == ',') != (k < dims[0]-1) {
			return 0, false
		}
	}
	return i + 1, t[i] == ']'
}

// put stores a number as value k of the examples, as far as there are so many.
// fault says why it cannot be one, in TensorFlow Serving's words; a whole
// number beyond the type's range, which it would wrap, is of a wrong type here.
func (d *desk) put(k int, n number, said []byte) error {
	in := &d.in
	var dst []byte
	if e := k / in.values(); e < d.n {
		dst = d.tensors[e]
	}
	k %= in.values()
	if in.kind == "float" {
		whole := n.whole && (n.int > maxWhole || n.int < -maxWhole)
		if whole || math.Abs(n.float) > math.MaxFloat32 && !math.IsInf(n.float, 0) {
			return bad("Cannot convert JSON value: %s to float without loss of precision.", show(said))
		}
		if dst != nil {
			binary.NativeEndian.PutUint32(dst[4*k:], math.Float32bits(float32(n.float)))
		}
		return nil
	}
	low, high := int64(0), int64(255)
	if in.kind == "int8" {
		low, high = -128, 127
	}
	if !n.whole || n.int < low || n.int > high {
		return in.typeError(said, "Number")
	}
	if dst != nil {
		dst[k] = byte(n.int)
	}
	return nil
}

func (in *input) typeError(said []byte, kind string) error {
	return bad("JSON Value: %s Type: %s is not of expected type: %s", show(said), kind, in.kind)
}

// shape writes dimensions as TensorFlow Serving does.
func shape(dims []int) string {
	s := make([]string, len(dims))
	for i, n := range dims {
		s[i] = strconv.Itoa(n)
	}
	return fmt.Sprintf("[%s]", strings.Join(s, ","))
}
