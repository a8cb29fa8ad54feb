package requant_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/egret-edge/egret/tflite/schema"
)

// sketch makes small uint8 models of random operators and weights, as
// TensorFlow 1's converter wrote them.
type sketch struct {
	schema.Draft
	rng   *rand.Rand
	at    int32
	shape []int32
	scale float64
	zero  int
	steps []string
}

const side = 12

func newSketch(seed uint64) *sketch {
	s := &sketch{rng: rand.New(rand.NewPCG(seed, 8))}
	s.push("input", []int32{1, side, side, 3}, 1.0/128, 128)
	return s
}

// random is a whole model: some layers, and one of the ends that models have.
func random(seed uint64) (*schema.Model, []string) {
	s := newSketch(seed)
	layers := []func(){s.conv, s.depthwise, s.conv, s.depthwise, s.maxPool, s.averagePool, s.add, s.concatenate, s.pad}
	for range 1 + s.rng.IntN(3) {
		layers[s.rng.IntN(len(layers))]()
	}
	ends := []func(){s.flatten, s.classify, s.classifyByMean, s.fullyConnected, s.logistic}
	ends[s.rng.IntN(len(ends))]()
	return s.Model("a sketch", []int32{0}, []int32{s.at}), s.steps
}

func quantized(scale float64, zero int) *schema.Quantization {
	return &schema.Quantization{Scale: []float32{float32(scale)}, Zero: []int64{int64(zero)}}
}

func (s *sketch) push(name string, shape []int32, scale float64, zero int) int32 {
	s.steps = append(s.steps, fmt.Sprint(name, shape))
	scale = float64(float32(scale))
	s.at = s.Add(schema.Tensor{Name: fmt.Sprintf("%s%d", name, len(s.steps)), Shape: shape, Type: schema.UInt8, Quant: quantized(scale, zero)})
	s.shape, s.scale, s.zero = shape, scale, zero
	return s.at
}

// limits picks limits for values of about this size: some of both signs, some
// from 0, some so narrow that many values saturate.
func (s *sketch) limits(size float64) (scale float64, zero int) {
	width := size * (1 + 5*s.rng.Float64())
	switch s.rng.IntN(3) {
	case 0:
		return width / 255, 0
	case 1:
		return width / 255, 255
	}
	return width / 255, 60 + s.rng.IntN(130)
}

// bytes are weights around a zero point: most close to it, some of the whole
// range, many exactly zero, as trained ones are. None is byte 0, as in TensorFlow's
// own models: the library's kernels for uint8 on ARM add products in 16 bits,
// which overflow where both are as far out as can be.
func (s *sketch) bytes(n, channels int, channel func(int) int) (data []byte, zero int, size float64) {
	zero = []int{128, 40 + s.rng.IntN(180), 1 + s.rng.IntN(255)}[s.rng.IntN(3)]
	reach := make([]int, channels)
	for i := range reach {
		if reach[i] = 4 + s.rng.IntN(120); s.rng.IntN(6) == 0 {
			reach[i] = 255
		}
	}
	data = make([]byte, n)
	for i := range data {
		v := zero
		if s.rng.IntN(2) == 0 {
			v += s.rng.IntN(2*reach[channel(i)]+1) - reach[channel(i)]
		}
		data[i] = byte(min(max(v, 1), 255))
		size += float64(int(data[i])-zero) * float64(int(data[i])-zero)
	}
	return data, zero, math.Sqrt(size / float64(n))
}

// weigh adds weights and a bias and gives the size of the sums.
func (s *sketch) weigh(shape []int32, channels int, channel func(int) int) (weights, bias int32, size float64) {
	n := 1
	for _, d := range shape {
		n *= int(d)
	}
	data, zero, rms := s.bytes(n, channels, channel)
	scale := 0.002 + 0.02*s.rng.Float64()
	scale = float64(float32(scale))
	weights = s.Constant(schema.Tensor{Name: "weights", Shape: shape, Type: schema.UInt8, Quant: quantized(scale, zero)}, data)
	sum := math.Max(rms*scale, scale) * s.scale * 74 * math.Sqrt(float64(n/channels))
	biases := make([]byte, 0, 4*channels)
	for range channels {
		v := s.rng.NormFloat64() * sum / (s.scale * scale) / 2
		biases = binary.LittleEndian.AppendUint32(biases, uint32(int32(v)))
	}
	bias = s.Constant(schema.Tensor{Name: "bias", Shape: []int32{int32(channels)}, Type: schema.Int32, Quant: quantized(s.scale*scale, 0)}, biases)
	return weights, bias, sum
}

// window picks a kernel's or pool's size, stride and padding, and gives the
// sides of what comes out.
func (s *sketch) window() (size, stride, padding, height int32) {
	size, stride = []int32{1, 2, 3}[s.rng.IntN(3)], 1+int32(s.rng.IntN(2))
	size = min(size, s.shape[1])
	if padding = int32(s.rng.IntN(2)); padding == schema.Same {
		return size, stride, padding, (s.shape[1] + stride - 1) / stride
	}
	return size, stride, padding, (s.shape[1]-size)/stride + 1
}

// activation fits the result's limits: XNNPACK refuses one that leaves a single
// value.
func (s *sketch) activation() schema.Activation {
	if s.zero > 200 {
		return schema.NoActivation
	}
	return []schema.Activation{schema.NoActivation, schema.NoActivation, schema.ReLU, schema.ReLU6, schema.ReLUN1To1}[s.rng.IntN(5)]
}

func (s *sketch) conv() { s.convTo(1+int32(s.rng.IntN(9)), true) }

func (s *sketch) convTo(channels int32, shrinks bool) {
	size, stride, padding, height := s.window()
	if !shrinks {
		stride, padding, height = 1, schema.Same, s.shape[1]
	}
	each := int(size * size * s.shape[3])
	weights, bias, sum := s.weigh([]int32{channels, size, size, s.shape[3]}, int(channels), func(i int) int { return i / each })
	in := s.at
	scale, zero := s.limits(sum)
	inputs := []int32{in, weights, bias}
	out := s.push("conv", []int32{1, height, height, channels}, scale, zero)
	o, _ := schema.NewOptions(schema.Conv2DOptions).With(0, padding).With(1, stride).With(2, stride).WithActivation(s.activation())
	s.Apply(schema.Conv2D, 1, o, out, inputs...)
}

func (s *sketch) depthwise() {
	size, stride, padding, height := s.window()
	multiplier := 1 + int32(s.rng.IntN(2))
	channels := s.shape[3] * multiplier
	weights, bias, sum := s.weigh([]int32{1, size, size, channels}, int(channels), func(i int) int { return i % int(channels) })
	in := s.at
	scale, zero := s.limits(sum)
	out := s.push("depthwise", []int32{1, height, height, channels}, scale, zero)
	o, _ := schema.NewOptions(schema.DepthwiseConv2DOptions).With(0, padding).With(1, stride).With(2, stride).With(3, multiplier).WithActivation(s.activation())
	s.Apply(schema.DepthwiseConv2D, 1, o, out, in, weights, bias)
}

func (s *sketch) pool(name string, op schema.Operator) {
	size, stride, padding, height := s.window()
	in := s.at
	out := s.push(name, []int32{1, height, height, s.shape[3]}, s.scale, s.zero)
	o := schema.NewOptions(schema.Pool2DOptions).With(0, padding).With(1, stride).With(2, stride).With(3, size).With(4, size)
	s.Apply(op, 1, o, out, in)
}

func (s *sketch) maxPool()     { s.pool("max", schema.MaxPool2D) }
func (s *sketch) averagePool() { s.pool("average", schema.AveragePool2D) }

// add is a residual connection.
func (s *sketch) add() {
	a, sizeA := s.at, s.scale*128
	s.convTo(s.shape[3], false)
	b, sizeB := s.at, s.scale*128
	scale, zero := s.limits(sizeA + sizeB)
	out := s.push("add", s.shape, scale, zero)
	o, _ := schema.NewOptions(schema.AddOptions).WithActivation(s.activation())
	s.Apply(schema.Add, 1, o, out, a, b)
}

// concatenate joins branches of different scales: convolutions, one of them
// through a RESHAPE, and what they come from. Sometimes the scales agree
// nearly, as those of ReLU6 do.
func (s *sketch) concatenate() {
	from, shape, scale, zero := s.at, s.shape, s.scale, s.zero
	near := s.rng.IntN(2) == 0
	inputs := []int32{from}
	var channels int32
	for range 1 + s.rng.IntN(3) {
		s.at, s.shape, s.scale, s.zero = from, shape, scale, zero
		if near {
			s.like(scale*(1+s.rng.Float64()/300), zero)
		} else {
			s.convTo(1+int32(s.rng.IntN(4)), false)
		}
		if s.rng.IntN(2) == 0 {
			s.reshape(s.shape)
		}
		inputs = append(inputs, s.at)
		channels += s.shape[3]
	}
	if !near {
		scale, zero = s.limits(s.scale * 255)
	}
	out := s.push("concat", []int32{1, shape[1], shape[2], shape[3] + channels}, scale, zero)
	s.Apply(schema.Concatenation, 1, schema.NewOptions(schema.ConcatenationOptions).With(0, 3), out, inputs...)
}

// like is a convolution with this very quantization of its result.
func (s *sketch) like(scale float64, zero int) {
	channels := 1 + int(s.rng.IntN(3))
	weights, bias, _ := s.weigh([]int32{int32(channels), 1, 1, s.shape[3]}, channels, func(i int) int { return i / int(s.shape[3]) })
	in := s.at
	out := s.push("like", []int32{1, s.shape[1], s.shape[2], int32(channels)}, scale, zero)
	s.Apply(schema.Conv2D, 1, schema.NewOptions(schema.Conv2DOptions).With(1, 1).With(2, 1), out, in, weights, bias)
}

func (s *sketch) pad() {
	paddings := make([]byte, 0, 32)
	for _, v := range []uint32{0, 0, 1, 2, 0, 1, 0, 0} {
		paddings = binary.LittleEndian.AppendUint32(paddings, v)
	}
	by := s.Constant(schema.Tensor{Name: "paddings", Shape: []int32{4, 2}, Type: schema.Int32}, paddings)
	in := s.at
	// Square again, which the windows rely on.
	out := s.push("pad", []int32{1, s.shape[1] + 3, s.shape[2] + 1, s.shape[3]}, s.scale, s.zero)
	s.Apply(schema.Pad, 1, schema.NewOptions(schema.PadOptions), out, in, by)
	s.conv1x3()
}

// conv1x3 makes the picture square after pad.
func (s *sketch) conv1x3() {
	channels := int(s.shape[3])
	weights, bias, sum := s.weigh([]int32{int32(channels), 3, 1, s.shape[3]}, channels, func(i int) int { return i / (3 * channels) })
	in := s.at
	scale, zero := s.limits(sum)
	out := s.push("conv1x3", []int32{1, s.shape[1] - 2, s.shape[2], int32(channels)}, scale, zero)
	o := schema.NewOptions(schema.Conv2DOptions).With(0, schema.Valid).With(1, 1).With(2, 1)
	s.Apply(schema.Conv2D, 1, o, out, in, weights, bias)
}

func (s *sketch) reshape(shape []int32) {
	values := make([]byte, 0, 16)
	for _, v := range shape {
		values = binary.LittleEndian.AppendUint32(values, uint32(v))
	}
	want := s.Constant(schema.Tensor{Name: "shape", Shape: []int32{int32(len(shape))}, Type: schema.Int32}, values)
	in := s.at
	out := s.push("reshape", shape, s.scale, s.zero)
	s.Apply(schema.Reshape, 1, schema.NewOptions(schema.ReshapeOptions).WithInts(0, shape), out, in, want)
}

// flatten ends a model with what it has.
func (s *sketch) flatten() {
	n := int32(1)
	for _, d := range s.shape {
		n *= d
	}
	s.reshape([]int32{1, n})
}

func (s *sketch) probabilities(op schema.Operator, o schema.Options) {
	in := s.at
	out := s.push(op.String(), s.shape, 1.0/256, 0)
	s.Apply(op, 1, o, out, in)
}

func (s *sketch) classify() {
	s.flatten()
	s.probabilities(schema.Softmax, schema.NewOptions(schema.SoftmaxOptions).WithFloat(0, 1))
}

func (s *sketch) logistic() {
	s.flatten()
	s.probabilities(schema.Logistic, schema.Options{})
}

func (s *sketch) classifyByMean() {
	axes := s.Constant(schema.Tensor{Name: "axes", Shape: []int32{2}, Type: schema.Int32}, []byte{1, 0, 0, 0, 2, 0, 0, 0})
	in := s.at
	out := s.push("mean", []int32{1, 1, 1, s.shape[3]}, s.scale, s.zero)
	s.Apply(schema.Mean, 1, schema.NewOptions(schema.ReducerOptions).With(0, 1), out, in, axes)
	s.convTo(5, false)
	s.classify()
}

func (s *sketch) fullyConnected() {
	s.flatten()
	n := int(s.shape[1])
	weights, bias, sum := s.weigh([]int32{4, int32(n)}, 4, func(i int) int { return i / n })
	in := s.at
	scale, zero := s.limits(sum)
	out := s.push("full", []int32{1, 4}, scale, zero)
	s.Apply(schema.FullyConnected, 1, schema.NewOptions(schema.FullyConnectedOptions), out, in, weights, bias)
}
