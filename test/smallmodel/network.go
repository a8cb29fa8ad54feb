package smallmodel

import (
	"fmt"
	"math/rand/v2"

	"github.com/egret-edge/egret/tflite/schema"
)

// How the answer is known. Six of the channels carry the picture's colour
// through all layers: for each of R, G and B one the positive part of its
// value, which lies in −1 to 1, and one the negative part, because the
// activations cut off what is below 0. A kernel of weight 1 in the middle passes
// them on as they are, one of four weights of 1/4 halves the picture's sides and
// keeps its mean. No other channel leads into these six, so the last layer has
// the mean colour, whatever the other weights are. Those are random and give
// the kernels the work of a real model; they reach the classes' scores so
// weakly that they cannot turn a clear answer:
//
//	a score is 3 × (corner · mean colour) ± headNoise × noiseWeight × 6
//
// where 6 is the highest activation. A colour that is its corner leads the next
// class by 6; the random part, even with weights rounded up, takes away less
// than 1 of that.
const (
	colours     = 6 // channels that carry the colour
	gain        = 4 // the colour's channels reach from 0 to gain: finer quantization than 0 to 1
	headWeight  = 3.0 / gain
	headNoise   = 4 // random weights for each class
	noiseWeight = 1.0 / 64
	// never is the bias of classes without a corner: the best of the others
	// scores −3 or more.
	never = -10
)

// The quantization of all tensors between operators. The library asks for that
// of the last (1/256, the zero point at its lowest value) itself.
const (
	inputScale  = 1.0 / 128 // the value is (pixel − 128) / 128
	hiddenScale = 6.0 / 255 // 0 to 6, as ReLU6 gives
	logitScale  = 0.1       // −12.8 to 12.7
	scoreScale  = 1.0 / 256
)

// network is a model in the making.
type network struct {
	Options
	graph schema.Draft
	rng   *rand.Rand
	at    int32   // the last operator's output
	shape []int32 // of it
	scale float64 // of it
}

func classifier(o Options) []byte {
	n := &network{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0))}
	input := n.push("input", []int32{1, int32(o.Side), int32(o.Side), 3}, inputScale, 128)
	for i := range o.Layers {
		name := fmt.Sprintf("layer%d", i)
		switch {
		case i == 0:
			n.conv(name, n.first(), 2, schema.ReLU)
		case i%3 == 0:
			n.conv(name, n.between(3), 1, schema.ReLU6)
		default:
			// The first of these halves the picture's sides again.
			stride := 1
			if i == 1 {
				stride = 2
			}
			n.depthwise(name+"/depthwise", n.perChannel(stride), stride)
			n.conv(name, n.between(1), 1, schema.ReLU6)
		}
	}
	n.mean()
	n.conv("logits", n.head(), 1, schema.NoActivation)
	n.reshape()
	n.softmax()
	return n.bytes(input, fmt.Sprintf("egret smallmodel, seed %d", o.Seed))
}

// push adds a tensor that becomes the next operator's input. The zero point is
// given for uint8; an int8 value is 128 less.
func (n *network) push(name string, shape []int32, scale float64, zero int64) int32 {
	t := schema.Tensor{Name: name, Shape: shape}
	switch n.Type {
	case Int8:
		t.Type, t.Quant = schema.Int8, quantization([]float32{float32(scale)}, zero-128, 0)
	case UInt8:
		t.Type, t.Quant = schema.UInt8, quantization([]float32{float32(scale)}, zero, 0)
	}
	n.at, n.shape, n.scale = n.graph.Add(t), shape, scale
	return n.at
}

// version is an operator's version: that of its int8 kernel or its first.
func (n *network) version(forInt8 int32) int32 {
	if n.Type == Int8 {
		return forInt8
	}
	return 1
}

func (n *network) conv(name string, w weights, stride int32, activation schema.Activation) {
	in := n.at
	kernel, bias := n.weights(name, w)
	side := (n.shape[1] + stride - 1) / stride
	scale, zero := hiddenScale, int64(0)
	if activation == schema.NoActivation {
		scale, zero = logitScale, 128
	}
	n.push(name, []int32{1, side, side, w.shape[0]}, scale, zero)
	n.graph.Apply(schema.Conv2D, n.version(3), conv2DOptions(stride, activation), n.at, in, kernel, bias)
}

func (n *network) depthwise(name string, w weights, stride int) {
	in := n.at
	kernel, bias := n.weights(name, w)
	side := n.shape[1] / int32(stride)
	n.push(name, []int32{1, side, side, w.shape[3]}, hiddenScale, 0)
	n.graph.Apply(schema.DepthwiseConv2D, n.version(3), depthwiseOptions(int32(stride), schema.ReLU6), n.at, in, kernel, bias)
}

// mean reduces the picture to its mean: by the operator that converters wrote
// when uint8 was what they wrote, or by today's.
func (n *network) mean() {
	in, side := n.at, n.shape[1]
	if n.Type == UInt8 {
		n.push("mean", []int32{1, 1, 1, n.shape[3]}, hiddenScale, 0)
		n.graph.Apply(schema.AveragePool2D, 1, poolOptions(side), n.at, in)
		return
	}
	axes := n.graph.Constant(schema.Tensor{Name: "mean/axes", Shape: []int32{2}, Type: schema.Int32}, int32Bytes(1, 2))
	n.push("mean", []int32{1, 1, 1, n.shape[3]}, hiddenScale, 0)
	n.graph.Apply(schema.Mean, n.version(2), keepDims(), n.at, in, axes)
}

func (n *network) reshape() {
	in, shape := n.at, []int32{1, n.shape[3]}
	want := n.graph.Constant(schema.Tensor{Name: "reshape/shape", Shape: []int32{2}, Type: schema.Int32}, int32Bytes(shape...))
	n.push("reshape", shape, logitScale, 128)
	n.graph.Apply(schema.Reshape, 1, reshapeOptions(shape), n.at, in, want)
}

func (n *network) softmax() {
	in := n.at
	n.push("scores", n.shape, scoreScale, 0)
	n.graph.Apply(schema.Softmax, n.version(2), softmaxOptions(), n.at, in)
}
