package smallmodel

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/egret-edge/egret/tflite/schema"
)

// weights are a convolution's kernel and bias in real values. All of them are
// whole multiples of powers of two: no processor's rounding changes the bytes.
type weights struct {
	shape  [4]int32 // out, height, width, in; a depthwise one: 1, height, width, channels
	dim    int32    // that of the output channels: 0, or 3
	kernel []float32
	bias   []float32
}

// set sets the weight for an output channel. In a depthwise kernel in is 0.
func (w weights) set(out, y, x, in int, v float32) {
	if w.dim == 3 {
		out, in = 0, out
	}
	s := w.shape
	w.kernel[((out*int(s[1])+y)*int(s[2])+x)*int(s[3])+in] = v
}

// random makes weights in which every channel from the given one on is random,
// the lower ones are 0.
func (n *network) random(shape [4]int32, dim int32, from int) weights {
	out := int(shape[dim])
	fanIn := int(shape[1] * shape[2])
	if dim == 0 {
		fanIn *= int(shape[3])
	}
	w := weights{shape: shape, dim: dim, kernel: make([]float32, out*fanIn), bias: make([]float32, out)}
	// About what training begins with (variance 2 / inputs), so that neither
	// all activations are 0 nor all at their limit.
	amplitude := float32(1)
	for amplitude*amplitude*float32(fanIn) > 8 {
		amplitude /= 2
	}
	for c := from; c < out; c++ {
		for y := range int(shape[1]) {
			for x := range int(shape[2]) {
				for in := range fanIn / int(shape[1]*shape[2]) {
					w.set(c, y, x, in, amplitude*float32(n.rng.IntN(255)-127)/128)
				}
			}
		}
		w.bias[c] = float32(n.rng.IntN(17)-4) / 64
	}
	return w
}

// first splits the picture's colours into their positive and negative parts and
// halves its sides. SAME padding puts a 3×3 kernel of stride 2 over an even
// side so that its upper left 2×2 weights meet every pixel once.
func (n *network) first() weights {
	w := n.random([4]int32{int32(n.Channels), 3, 3, 3}, 0, colours)
	for c := range colours {
		v := float32(gain) / 4
		if c%2 == 1 {
			v = -v
		}
		for i := range 4 {
			w.set(c, i/2, i%2, c/2, v)
		}
	}
	return w
}

// between is a convolution that passes the colours on.
func (n *network) between(size int) weights {
	w := n.random([4]int32{int32(n.Channels), int32(size), int32(size), int32(n.Channels)}, 0, colours)
	for c := range colours {
		w.set(c, size/2, size/2, c, 1)
	}
	return w
}

// perChannel is a 3×3 depthwise convolution that passes the colours on.
func (n *network) perChannel(stride int) weights {
	w := n.random([4]int32{1, 3, 3, int32(n.Channels)}, 3, colours)
	for c := range colours {
		if stride == 1 {
			w.set(c, 1, 1, 0, 1)
			continue
		}
		for i := range 4 {
			w.set(c, i/2, i%2, 0, 1.0/4)
		}
	}
	return w
}

// head scores the classes.
func (n *network) head() weights {
	w := n.random([4]int32{int32(n.Classes), 1, 1, int32(n.Channels)}, 0, n.Classes)
	for class := range n.Classes {
		if class < len(corners) {
			for c, sign := range corners[class].rgb {
				w.set(class, 0, 0, 2*c, sign*headWeight)
				w.set(class, 0, 0, 2*c+1, -sign*headWeight)
			}
		} else {
			w.bias[class] = never
		}
		for range headNoise { // the same channel may come twice: fewer, not more
			w.set(class, 0, 0, colours+n.rng.IntN(n.Channels-colours), noiseWeight*float32(1-2*n.rng.IntN(2)))
		}
	}
	return w
}

// weights adds the kernel and the bias to the graph in the model's type.
func (n *network) weights(name string, w weights) (kernel, bias int32) {
	k := schema.Tensor{Name: name + "/kernel", Shape: w.shape[:]}
	b := schema.Tensor{Name: name + "/bias", Shape: []int32{w.shape[w.dim]}}
	switch n.Type {
	case Float32:
		return n.graph.Constant(k, float32Bytes(w.kernel)), n.graph.Constant(b, float32Bytes(w.bias))
	case UInt8:
		// Not symmetric, and exact for the weights that pass colours on.
		k.Type, k.Quant = schema.UInt8, quantization([]float32{1.0 / 64}, 120, 0)
	case Int8:
		k.Type, k.Quant = schema.Int8, quantization(w.scales(), 0, w.dim)
	}
	// A bias has the scale of what it is added to and the zero point 0.
	var scales []float32
	for _, s := range k.Quant.Scale {
		scales = append(scales, float32(n.scale*float64(s)))
	}
	b.Type, b.Quant = schema.Int32, quantization(scales, 0, 0)
	quantized := make([]int32, len(w.bias))
	for c, v := range w.bias {
		quantized[c] = int32(math.RoundToEven(float64(v) / float64(scales[c%len(scales)])))
	}
	return n.graph.Constant(k, w.quantize(k.Quant)), n.graph.Constant(b, int32Bytes(quantized...))
}

// channel is the output channel of the i-th weight.
func (w weights) channel(i int) int {
	if w.dim == 3 {
		return i % int(w.shape[3])
	}
	return i / int(w.shape[1]*w.shape[2]*w.shape[3])
}

// scales gives each output channel the scale that makes its largest weight 127.
func (w weights) scales() []float32 {
	scales := make([]float32, w.shape[w.dim])
	for i, v := range w.kernel {
		c := w.channel(i)
		scales[c] = max(scales[c], float32(math.Abs(float64(v)))/127)
	}
	return scales
}

// quantize panics on a weight that the type cannot hold: its sign would change.
func (w weights) quantize(q *schema.Quantization) []byte {
	lowest, highest := -128, 127
	zero := int(q.Zero[0])
	if zero > 0 {
		lowest, highest = 0, 255
	}
	data := make([]byte, len(w.kernel))
	for i, v := range w.kernel {
		scale := q.Scale[w.channel(i)%len(q.Scale)]
		x := int(math.RoundToEven(float64(v)/float64(scale))) + zero
		if x < lowest || x > highest {
			panic(fmt.Sprintf("smallmodel: weight %v does not fit scale %v and zero point %d", v, scale, zero))
		}
		data[i] = byte(x) // int8 in two's complement
	}
	return data
}

func int32Bytes(v ...int32) []byte {
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, uint32(x))
	}
	return data
}

func float32Bytes(v []float32) []byte {
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return data
}
