package serving

import (
	"encoding/binary"
	"math"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/egret-edge/egret/tflite"
)

// The answers are laid out as TensorFlow Serving does it, line ends and all,
// since people diff them.

// appendRows writes the outputs by example: bare when the model has one output,
// as an object of the outputs' names otherwise.
func appendRows(b []byte, outputs []tflite.TensorInfo, answers []Answer) ([]byte, error) {
	b = append(b, "{\n    \"predictions\": ["...)
	for i := range answers {
		if len(outputs) > 1 {
			b = append(b, separator(i, ",")+"\n        {"...)
		} else {
			b = append(b, separator(i, ", ")...)
		}
		for k, o := range outputs {
			if len(outputs) > 1 {
				b = append(b, separator(k, ",")+"\n            "...)
				b = append(appendString(b, o.Name), ": "...)
			}
			w, err := newWriter(b, o, answers[i].Outputs[k])
			if err != nil {
				return nil, err
			}
			w.lists(one(o.Shape))
			b = w.b
		}
		if len(outputs) > 1 {
			b = append(b, "\n        }"...)
		}
	}
	return append(b, "\n    ]\n}"...), nil
}

// appendColumns writes each output of all examples as one tensor.
func appendColumns(b []byte, outputs []tflite.TensorInfo, answers []Answer) ([]byte, error) {
	b = append(b, "{\n    \"outputs\": "...)
	depth := 1
	if len(outputs) > 1 {
		b, depth = append(b, '{'), 2
	}
	for k, o := range outputs {
		if len(outputs) > 1 {
			b = append(b, separator(k, ",")+"\n        "...)
			b = append(appendString(b, o.Name), ": "...)
		}
		b = append(b, '[')
		for i := range answers {
			w, err := newWriter(append(b, separator(i, ",")...), o, answers[i].Outputs[k])
			if err != nil {
				return nil, err
			}
			w.line(depth + 1)
			w.lines(one(o.Shape), depth+1)
			b = w.b
		}
		w := writer{b: b}
		w.line(depth)
		b = append(w.b, ']')
	}
	if len(outputs) > 1 {
		b = append(b, "\n    }"...)
	}
	return append(b, "\n}"...), nil
}

func separator(i int, s string) string {
	if i == 0 {
		return ""
	}
	return s
}

// one is an output's shape for one example.
func one(shape []int) []int {
	if len(shape) > 0 && shape[0] == 1 {
		return shape[1:]
	}
	return shape
}

// writer writes a tensor's values, each once, in order.
type writer struct {
	b    []byte
	kind string
	data []byte // what is left of the tensor
}

func newWriter(b []byte, t tflite.TensorInfo, data []byte) (writer, error) {
	n := map[string]int{"uint8": 1, "int8": 1, "float32": 4, "int32": 4, "int64": 8, "bool": 1}[t.Type]
	if n == 0 {
		return writer{}, &failure{http.StatusBadRequest, "Failed to write JSON value for tensor type: " + t.Type}
	}
	for _, d := range one(t.Shape) {
		n *= d
	}
	if n != len(data) {
		return writer{}, &failure{http.StatusInternalServerError, "output " + show(t.Name) + " has " + strconv.Itoa(len(data)) + " bytes, not " + strconv.Itoa(n)}
	}
	return writer{b: b, kind: t.Type, data: data}, nil
}

// lists writes everything in one line.
func (w *writer) lists(dims []int) {
	if len(dims) == 0 {
		w.value()
		return
	}
	w.b = append(w.b, '[')
	for i := range dims[0] {
		if i > 0 {
			w.b = append(w.b, ", "...)
		}
		w.lists(dims[1:])
	}
	w.b = append(w.b, ']')
}

// lines writes each value in a line of its own.
func (w *writer) lines(dims []int, depth int) {
	if len(dims) == 0 {
		w.value()
		return
	}
	w.b = append(w.b, '[')
	for i := range dims[0] {
		w.b = append(w.b, separator(i, ",")...)
		w.line(depth + 1)
		w.lines(dims[1:], depth+1)
	}
	if dims[0] > 0 {
		w.line(depth)
	}
	w.b = append(w.b, ']')
}

// line begins a line.
func (w *writer) line(depth int) {
	w.b = append(w.b, '\n')
	for range depth {
		w.b = append(w.b, "    "...)
	}
}

// value writes the next value.
func (w *writer) value() {
	n := 1
	switch w.kind {
	case "uint8":
		s := &decimals[w.data[0]]
		w.b = append(w.b, s.digits[:s.n]...)
	case "int8":
		w.b = strconv.AppendInt(w.b, int64(int8(w.data[0])), 10)
	case "bool":
		w.b = strconv.AppendBool(w.b, w.data[0] != 0)
	case "float32":
		n = 4
		w.b = appendFloat(w.b, math.Float32frombits(binary.LittleEndian.Uint32(w.data)))
	case "int32":
		n = 4
		w.b = strconv.AppendInt(w.b, int64(int32(binary.LittleEndian.Uint32(w.data))), 10)
	case "int64":
		n = 8
		w.b = strconv.AppendInt(w.b, int64(binary.LittleEndian.Uint64(w.data)), 10)
	}
	w.data = w.data[n:]
}

// decimals are the bytes as they are written: most outputs are a thousand of
// them.
var decimals = func() (t [256]struct {
	digits [3]byte
	n      uint8
}) {
	for i := range t {
		t[i].n = uint8(copy(t[i].digits[:], strconv.Itoa(i)))
	}
	return t
}()

// appendFloat writes the shortest number that reads back the same, and a whole
// one with ".0", so that a reader takes all of a list for the same type. What is
// not finite has TensorFlow Serving's tokens.
func appendFloat(b []byte, f float32) []byte {
	v := float64(f)
	switch {
	case math.IsNaN(v):
		return append(b, "NaN"...)
	case math.IsInf(v, 1):
		return append(b, "Infinity"...)
	case math.IsInf(v, -1):
		return append(b, "-Infinity"...)
	}
	start := len(b)
	b = strconv.AppendFloat(b, v, 'g', -1, 32)
	for _, c := range b[start:] {
		if c == '.' || c == 'e' {
			return b
		}
	}
	return append(b, ".0"...)
}

// appendString writes a JSON string with the escapes of RapidJSON's writer.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	b = append(b, '"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, "\uFFFD"...)
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= '\b' && r <= '\r' && r != '\v':
			b = append(b, '\\', "btn_fr"[r-'\b'])
		case r < ' ':
			b = append(b, `\u00`...)
			b = append(b, hex[r>>4], hex[r&15])
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return append(b, '"')
}
