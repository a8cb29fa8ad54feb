package tflite

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/egret-edge/egret/sensors/pixel"
)

// TensorInfo describes one input or output of a model.
type TensorInfo struct {
	Name  string `json:"name"`
	Type  string `json:"type"` // "uint8", "int8", "float32" or another of TensorFlow Lite's
	Shape []int  `json:"shape"`
	// Scale and ZeroPoint give a quantized value q its real one:
	// Scale × (q − ZeroPoint). Scale is 0 for a tensor that is not quantized.
	Scale     float64 `json:"scale,omitempty"`
	ZeroPoint int     `json:"zero_point,omitempty"`
}

// String is the tensor in one line.
func (t TensorInfo) String() string {
	s := fmt.Sprintf("%s %v %q", t.Type, t.Shape, t.Name)
	if t.Scale != 0 {
		s += fmt.Sprintf(" scale %.6g zero point %d", t.Scale, t.ZeroPoint)
	}
	return s
}

// elements is the number of values in the tensor; 0 when a dimension is not
// known.
func (t TensorInfo) elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// unsigned is an int8 tensor as the uint8 one of the same real values, which
// turn makes of its bytes; ok is false for other types, which stay.
func (t TensorInfo) unsigned() (_ TensorInfo, ok bool) {
	if t.Type != "int8" {
		return t, false
	}
	t.Type = "uint8"
	t.ZeroPoint += 128
	return t, true
}

// turn writes signed bytes for unsigned ones that are 128 more, or the other
// way round: both are one flipped bit.
func turn(dst, src []byte) {
	n := len(src) &^ 7
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(dst[i:i+8], binary.LittleEndian.Uint64(src[i:i+8])^0x8080808080808080)
	}
	for i := n; i < len(src); i++ {
		dst[i] = src[i] ^ 0x80
	}
}

// tensorView is an output's description and its bytes after an Invoke, valid
// until the next one: native memory, or own when they had to be turned.
type tensorView struct {
	TensorInfo
	data   []byte
	turned bool
	own    []byte
}

// float is value i as a real number.
func (v *tensorView) float(i int) float32 {
	switch v.Type {
	case "uint8":
		return float32(v.Scale * float64(int(v.data[i])-v.ZeroPoint))
	case "int8":
		return float32(v.Scale * float64(int(int8(v.data[i]))-v.ZeroPoint))
	default:
		return *(*float32)(unsafe.Pointer(&v.data[4*i]))
	}
}

// byteSize is the size of one value of the types that we read and write; 0 for
// others.
func (t TensorInfo) byteSize() int {
	switch t.Type {
	case "uint8", "int8":
		return 1
	case "float32":
		return 4
	}
	return 0
}

// newEncoding makes the encoding for an input tensor: all arithmetic of
// normalisation and quantization is done once, at load. Without a normalisation
// a quantized model takes the pixel itself (int8: less 128), as the quantized
// MobileNets do, and a float model takes −1 to 1.
func newEncoding(t TensorInfo, n Input) pixel.Encoding {
	mean, std := spread(n.Mean, 127.5), spread(n.Std, 127.5)
	if t.Type == "float32" {
		table := new([3][256]float32)
		for c := range table {
			for p := range table[c] {
				table[c][p] = float32((float64(p) - mean[c]) / std[c])
			}
		}
		return pixel.Encoding{Floats: table}
	}
	lowest, highest := 0, 255
	if t.Type == "int8" {
		lowest, highest = -128, 127
	}
	table := new([3][256]byte)
	for c := range table {
		for p := range table[c] {
			q := p + lowest
			if len(n.Mean) > 0 && t.Scale > 0 {
				real := (float64(p) - mean[c]) / std[c]
				// Clamped before the conversion: a tiny scale gives a number
				// that no int can hold.
				q = int(min(max(math.Round(real/t.Scale)+float64(t.ZeroPoint), -128), 255))
			}
			table[c][p] = byte(min(max(q, lowest), highest))
		}
	}
	return simplify(table)
}

// simplify leaves the table out where it would do nothing but p ^ flip: 0 for
// pixels as they are, 0x80 for pixels less 128.
func simplify(table *[3][256]byte) pixel.Encoding {
	flip := table[0][0]
	for c := range table {
		for p := range table[c] {
			if (flip != 0 && flip != 0x80) || table[c][p] != byte(p)^flip {
				return pixel.Encoding{Bytes: table}
			}
		}
	}
	return pixel.Encoding{Flip: flip}
}

func spread(v []float64, def float64) [3]float64 {
	switch len(v) {
	case 1:
		return [3]float64{v[0], v[0], v[0]}
	case 3:
		return [3]float64{v[0], v[1], v[2]}
	}
	return [3]float64{def, def, def}
}

// imageInput checks that a tensor can take a picture: [1, height, width, 3] of
// a type that we can fill.
func imageInput(t TensorInfo) (width, height int, err error) {
	if len(t.Shape) != 4 || t.Shape[0] != 1 || t.Shape[3] != 3 || t.byteSize() == 0 {
		return 0, 0, fmt.Errorf("its input %s is not a picture: want uint8, int8 or float32 of shape [1 height width 3]", t)
	}
	height, width = t.Shape[1], t.Shape[2]
	if height < 1 || width < 1 || height > maxInputSide || width > maxInputSide {
		return 0, 0, fmt.Errorf("its input %s is out of range: 1 to %d pixels a side", t, maxInputSide)
	}
	return width, height, nil
}

// maxInputSide bounds what we allocate for a model's input.
const maxInputSide = 4096
