package requant

import (
	"encoding/binary"
	"math"

	"github.com/egret-edge/egret/tflite/schema"
)

// weighted is an operator with weights: what it reads and writes.
type weighted struct {
	in, weights, bias, out int32 // −1 for no bias
	channels               int
	channel                func(i int) int // of the i-th weight
}

// weighted checks an operator with weights whose output channels are the
// dimension dim.
func (c *conversion) weighted(n *schema.Node, rank, dim int) (w weighted, err error) {
	if err := c.simple(n); err != nil {
		return w, err
	}
	if len(n.Inputs) < 2 || len(n.Inputs) > 3 {
		return w, refuse("it has %d inputs", len(n.Inputs))
	}
	w = weighted{in: n.Inputs[0], weights: n.Inputs[1], bias: -1, out: n.Outputs[0]}
	if !c.constant(w.weights) || c.was[w.weights].Type != schema.UInt8 {
		return w, refuse("its weights are not constants of uint8")
	}
	shape := c.was[w.weights].Shape
	if len(shape) != rank {
		return w, refuse("its weights have the shape %v", shape)
	}
	w.channels = int(shape[dim])
	each := len(c.values(w.weights)) / w.channels
	w.channel = func(i int) int { return i / each }
	if dim == rank-1 {
		w.channel = func(i int) int { return i % w.channels }
	}
	if len(n.Inputs) == 3 && n.Inputs[2] >= 0 {
		w.bias = n.Inputs[2]
		if t := c.was[w.bias]; !c.constant(w.bias) || t.Type != schema.Int32 || len(c.values(w.bias)) != 4*w.channels {
			return w, refuse("its bias is not a constant of %d int32", w.channels)
		}
	}
	return w, nil
}

// kernel are weights for int8 kernels.
type kernel struct {
	data  []byte
	scale []float64 // of each channel, as its float32 is
	// lost is the sum of what the channel's weights lost by rounding, size
	// that of their absolute values; both are real values.
	lost, size []float64
	rescaled   int
}

// perChannel makes weights around zero. A channel whose values fit into −127 to
// 127 keeps them and the scale, and so every product; the others get the scale
// that makes the largest 127.
func (c *conversion) perChannel(w weighted) kernel {
	data, scale, zero := c.values(w.weights), c.scale(w.weights), int(c.was[w.weights].Quant.Zero[0])
	most := make([]int, w.channels)
	for i, q := range data {
		most[w.channel(i)] = max(most[w.channel(i)], int(q)-zero, zero-int(q))
	}
	k := kernel{
		data: make([]byte, len(data)), scale: make([]float64, w.channels),
		lost: make([]float64, w.channels), size: make([]float64, w.channels),
	}
	for ch, m := range most {
		if k.scale[ch] = scale; m > 127 {
			k.scale[ch] = float64(float32(scale * float64(m) / 127))
			k.rescaled++
		}
	}
	for i, q := range data {
		ch := w.channel(i)
		v := int(q) - zero
		was := float64(v) * scale
		if most[ch] > 127 {
			v = min(max(int(math.Round(was/k.scale[ch])), -127), 127)
		}
		k.data[i] = byte(int8(v))
		k.lost[ch] += math.Abs(float64(v)*k.scale[ch] - was)
		k.size[ch] += math.Abs(float64(v)) * k.scale[ch]
	}
	return k
}

// weigh exchanges an operator's weights and bias, and settles its result.
func (c *conversion) weigh(n *schema.Node, w weighted, k kernel, q schema.Quantization) error {
	t := c.was[w.weights]
	t.Type, t.Quant = schema.Int8, &q
	var err error
	if n.Inputs[1], err = c.addConstant(t, k.data); err != nil {
		return err
	}
	lost := make([]float64, w.channels)
	if w.bias >= 0 {
		if n.Inputs[2], err = c.rebias(w, k, len(q.Scale), lost); err != nil {
			return err
		}
	}
	least, most := c.limits(w.in)
	off := 0.0
	for ch := range w.channels {
		off = max(off, k.size[ch]*c.deviation[w.in]+k.lost[ch]*max(-least, most)+lost[ch])
	}
	c.settle(w.out, off)
	c.report.Channels += w.channels
	c.report.Rescaled += k.rescaled
	return nil
}

// rebias adds a bias in the units of the new sums: input scale × channel scale.
// Kernels add a bias as it is, whatever scale it claims, so that of the
// original is the product of its input's and weights'. A channel that is
// rescaled has larger units, so no bias can overflow. lost gets what rounding
// lost.
func (c *conversion) rebias(w weighted, k kernel, scales int, lost []float64) (int32, error) {
	in := c.scale(w.in)
	q := schema.Quantization{Scale: make([]float32, scales), Zero: make([]int64, scales)}
	for i := range q.Scale {
		q.Scale[i] = float32(in * k.scale[i])
	}
	data := make([]byte, 4*w.channels)
	for ch := range w.channels {
		v := int32(binary.LittleEndian.Uint32(c.values(w.bias)[4*ch:]))
		if unit := in * k.scale[ch]; k.scale[ch] != c.scale(w.weights) {
			exact := float64(v) * in * c.scale(w.weights)
			v = int32(math.Round(exact / unit))
			lost[ch] = math.Abs(float64(v)*unit - exact)
		}
		binary.LittleEndian.PutUint32(data[4*ch:], uint32(v))
	}
	t := c.was[w.bias]
	t.Quant = &q
	return c.addConstant(t, data)
}

func int8Conv(c *conversion, n *schema.Node) error      { return c.convolution(n, 0) }
func int8Depthwise(c *conversion, n *schema.Node) error { return c.convolution(n, 3) }

func (c *conversion) convolution(n *schema.Node, dim int) error {
	w, err := c.weighted(n, 4, dim)
	if err != nil {
		return err
	}
	return c.weighChannels(n, w, c.perChannel(w), dim)
}

// weighChannels is weigh with a scale for each channel.
func (c *conversion) weighChannels(n *schema.Node, w weighted, k kernel, dim int) error {
	q := schema.Quantization{Scale: make([]float32, w.channels), Zero: make([]int64, w.channels), Dim: int32(dim)}
	for i, s := range k.scale {
		if q.Scale[i] = float32(s); q.Scale[i] == 0 || math.IsInf(float64(q.Scale[i]), 0) {
			return refuse("its weights have the scale %v", s)
		}
	}
	return c.weigh(n, w, k, q)
}
