package serving

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
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
}

func newInput(t tflite.TensorInfo, target pixel.Target) input {
	kind := t.Type
	if kind == "float32" {
		kind = "float"
	}
	return input{name: t.Name, kind: kind, dims: []int{target.Height, target.Width, 3}, target: target}
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
		return in.list(dst, t, i)
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

// list reads one list of numbers, as many as dst holds.
func (in *input) list(dst []byte, t text, i int) (int, bool) {
	switch in.kind {
	case "uint8":
		return t.uint8s(dst, i)
	case "int8":
		return t.int8s(dst, i)
	}
	return t.floats(dst, i)
}

// small reads a whole number of one to three digits at i, without a branch that
// depends on how many there are: pictures have all lengths in turn. n is the
// number of digits; 0 or more than 3 is for another way.
func (t text) small(i int) (v uint64, n int) {
	d := binary.LittleEndian.Uint64(t[i:]) ^ 0x3030303030303030 // digits are 0 to 9
	// The high bit of each byte that is none; a carry only reaches those that
	// come after the first.
	none := (d | (d + 0x7676767676767676)) & 0x8080808080808080
	n = bits.TrailingZeros64(none) >> 3
	d <<= uint(8-n) * 8 & 63 // the last digit into the highest byte
	return d>>56 + d>>48&0xff*10 + d>>40&0xff*100, n
}

// uint8s reads a list of whole numbers from 0 to 255.
func (t text) uint8s(dst []byte, i int) (int, bool) {
	for k := range dst {
		if i++; t[i] <= ' ' {
			i = t.space(i)
		}
		v, n := t.small(i)
		if uint(n-1) > 2 || v > 255 || (t[i] == '0' && n > 1) {
			return 0, false
		}
		dst[k] = byte(v)
		if i += n; t[i] <= ' ' {
			i = t.space(i)
		}
		if t[i] != ',' && k < len(dst)-1 {
			return 0, false
		}
	}
	return i + 1, t[i] == ']'
}

// int8s reads a list of whole numbers from -128 to 127.
func (t text) int8s(dst []byte, i int) (int, bool) {
	for k := range dst {
		if i++; t[i] <= ' ' {
			i = t.space(i)
		}
		minus := 0
		if t[i] == '-' {
			minus = 1
		}
		i += minus
		v, n := t.small(i)
		if uint(n-1) > 2 || v > uint64(127+minus) || (t[i] == '0' && n > 1) {
			return 0, false
		}
		dst[k] = byte(int(v) * (1 - 2*minus))
		if i += n; t[i] <= ' ' {
			i = t.space(i)
		}
		if t[i] != ',' && k < len(dst)-1 {
			return 0, false
		}
	}
	return i + 1, t[i] == ']'
}

// floats reads a list of numbers.
func (t text) floats(dst []byte, i int) (int, bool) {
	for k := 0; k < len(dst); k += 4 {
		i = t.space(i + 1)
		f, end, ok := t.float(i)
		if !ok {
			return 0, false
		}
		binary.NativeEndian.PutUint32(dst[k:], math.Float32bits(f))
		if i = t.space(end); t[i] != ',' && k < len(dst)-4 {
			return 0, false
		}
	}
	return i + 1, t[i] == ']'
}

// powers of ten that a float64 holds exactly.
var powers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// float reads a number without exponent. Up to 2^53, its digits and the power
// of ten are exact, so one division rounds as the specification of float64
// says; more digits are strconv's. A whole number too large for a float32 to
// hold exactly is for another way.
func (t text) float(i int) (f float32, end int, ok bool) {
	start := i
	if t[i] == '-' {
		i++
	}
	first := i
	var m uint64
	for ; digit(t[i]); i++ {
		m = m*10 + uint64(t[i]-'0')
	}
	n := i - first
	if n == 0 || n > 1 && t[first] == '0' || t[i] != '.' && m > maxWhole {
		return 0, 0, false
	}
	point := i
	if t[i] == '.' {
		for i++; digit(t[i]); i++ {
			m = m*10 + uint64(t[i]-'0')
		}
		if i == point+1 {
			return 0, 0, false
		}
	}
	if t[i]|0x20 == 'e' || n > 15 {
		return 0, 0, false
	}
	fraction := max(0, i-point-1)
	if n+fraction <= 19 && m <= 1<<53 {
		v := float64(m) / powers[fraction]
		if t[start] == '-' {
			v = -v
		}
		return float32(v), i, true
	}
	v, err := strconv.ParseFloat(string(t[start:i]), 64)
	return float32(v), i, err == nil
}

// maxWhole is the largest whole number that TensorFlow Serving takes for a
// float: all up to it are exact.
const maxWhole = 1<<24 - 1

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
