package requant

import (
	"encoding/binary"
	"math"

	"github.com/egret-edge/egret/tflite/schema"
)

// float32Kind makes floats of everything.
type float32Kind struct{}

func (float32Kind) name() string { return "float32" }

func (float32Kind) activation(t *schema.Tensor) { t.Type, t.Quant = schema.Float32, nil }

func (float32Kind) enter() schema.Operator { return schema.Dequantize }
func (float32Kind) leave() schema.Operator { return schema.Quantize }

func (float32Kind) convert(c *conversion, n *schema.Node, code schema.OperatorCode) error {
	if err := rules[ruleKey(code)].float32(c, n); err != nil {
		return err
	}
	for _, out := range n.Outputs {
		// The original's rounding of activations is gone, and there is no limit
		// where it saturated.
		c.deviation[out] = math.Inf(1)
	}
	return nil
}

// floats adds an original uint8 constant's real values.
func (c *conversion) floats(i int32) (int32, error) {
	scale, zero := c.was[i].Quant.Scale[0], int(c.was[i].Quant.Zero[0])
	values := c.values(i)
	data := make([]byte, 4*len(values))
	for k, v := range values {
		binary.LittleEndian.PutUint32(data[4*k:], math.Float32bits(scale*float32(int(v)-zero)))
	}
	t := c.was[i]
	t.Type, t.Quant = schema.Float32, nil
	return c.addConstant(t, data)
}

// floatConstants is for operators that need nothing but floats to work on.
func floatConstants(c *conversion, n *schema.Node) error {
	for k, in := range n.Inputs {
		if in >= 0 && c.was[in].Type == schema.UInt8 && c.constant(in) {
			var err error
			if n.Inputs[k], err = c.floats(in); err != nil {
				return err
			}
		}
	}
	for _, i := range append(n.Outputs[:len(n.Outputs):len(n.Outputs)], n.Inputs[:min(1, len(n.Inputs))]...) {
		if i < 0 || c.graph.Tensors[i].Type != schema.Float32 {
			return refuse("it has other tensors than uint8 or float32")
		}
	}
	return nil
}

func floatAdd(c *conversion, n *schema.Node) error {
	if err := floatConstants(c, n); err != nil {
		return err
	}
	return c.clamp(n)
}

// floatActivation is for pools: their activation stays, and limits of uint8
// are those of what they pool.
func floatActivation(c *conversion, n *schema.Node) error { return floatConstants(c, n) }

func floatWeights(c *conversion, n *schema.Node) error {
	rank, dim := 4, 0
	switch c.model.Codes[n.Code].Builtin {
	case schema.DepthwiseConv2D:
		dim = 3
	case schema.FullyConnected:
		if rank = 2; n.Options.Int(1) != 0 {
			return refuse("its weights are shuffled")
		}
	}
	w, err := c.weighted(n, rank, dim)
	if err != nil {
		return err
	}
	if n.Inputs[1], err = c.floats(w.weights); err != nil {
		return err
	}
	if w.bias >= 0 {
		if n.Inputs[2], err = c.floatBias(w); err != nil {
			return err
		}
	}
	c.report.Channels += w.channels
	return c.clamp(n)
}

// floatBias: see rebias for its scale.
func (c *conversion) floatBias(w weighted) (int32, error) {
	unit := c.scale(w.in) * c.scale(w.weights)
	values := c.values(w.bias)
	data := make([]byte, len(values))
	for i := 0; i < len(values); i += 4 {
		v := float64(int32(binary.LittleEndian.Uint32(values[i:]))) * unit
		binary.LittleEndian.PutUint32(data[i:], math.Float32bits(float32(v)))
	}
	t := c.was[w.bias]
	t.Type, t.Quant = schema.Float32, nil
	return c.addConstant(t, data)
}

// clamp puts an activation back that uint8's limits supplied: converters left
// ReLU6 out where the range was 0 to 6 anyway. Limits elsewhere come from
// what training saw, and more than that is no error of the float model.
func (c *conversion) clamp(n *schema.Node) error {
	have := n.Options.Activation()
	if have != schema.NoActivation && have != schema.ReLU {
		return nil
	}
	least, most := c.limits(n.Outputs[0])
	want := have
	switch {
	case least == 0 && math.Abs(most-6) < 0.1:
		want = schema.ReLU6
	case least == 0:
		want = schema.ReLU
	case have == schema.ReLU && math.Abs(most-6) < 0.1:
		want = schema.ReLU6
	}
	if want == have {
		return nil
	}
	options, ok := n.Options.WithActivation(want)
	if !ok {
		// Options may be absent where all are the defaults.
		return refuse("it has no options to hold the activation that its limits supplied")
	}
	n.Options = options
	c.report.Clamps++
	return nil
}

// floatCopy is for the model's own QUANTIZE and DEQUANTIZE, which have nothing
// to do between floats: a RESHAPE to the same shape copies.
func floatCopy(c *conversion, n *schema.Node) error {
	if len(n.Inputs) != 1 || len(n.Outputs) != 1 {
		return refuse("it has %d inputs and %d outputs", len(n.Inputs), len(n.Outputs))
	}
	if err := floatConstants(c, n); err != nil {
		return err
	}
	*n = c.reshape(n.Inputs[0], n.Outputs[0])
	return nil
}
