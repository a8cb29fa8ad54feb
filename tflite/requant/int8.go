package requant

import (
	"math"

	"github.com/egret-edge/egret/tflite/schema"
)

// int8Kind makes int8 of uint8: each value and each zero point less 128, which
// leaves every real value as it was.
type int8Kind struct{}

func (int8Kind) name() string { return "int8" }

func (int8Kind) activation(t *schema.Tensor) {
	q := *t.Quant
	q.Zero = []int64{q.Zero[0] - 128}
	t.Type, t.Quant = schema.Int8, &q
}

func (int8Kind) enter() schema.Operator { return schema.Quantize }
func (int8Kind) leave() schema.Operator { return schema.Quantize }

func (int8Kind) convert(c *conversion, n *schema.Node, code schema.OperatorCode) error {
	r := rules[ruleKey(code)]
	code.Version = max(code.Version, r.version)
	n.Code = c.codeOf(code)
	return r.int8(c, n) // may write it as other operators
}

// flip adds an original constant as int8.
func (c *conversion) flip(i int32) (int32, error) {
	t := c.was[i]
	int8Kind{}.activation(&t)
	data := make([]byte, len(c.values(i)))
	for k, v := range c.values(i) {
		data[k] = v ^ 0x80
	}
	return c.addConstant(t, data)
}

func int8Add(c *conversion, n *schema.Node) error {
	if len(n.Inputs) != 2 || len(n.Outputs) != 1 || !c.isBytes(n.Outputs[0]) {
		return refuse("it is not the sum of two tensors as uint8")
	}
	off := 0.0
	for k, in := range n.Inputs {
		if in < 0 || c.was[in].Type != schema.UInt8 {
			return refuse("its input %d is not uint8", k)
		}
		if off += c.deviation[in]; c.constant(in) {
			var err error
			if n.Inputs[k], err = c.flip(in); err != nil {
				return err
			}
		}
	}
	c.settle(n.Outputs[0], off)
	return nil
}

// int8Copy is for operators that hand on values or pick some of them.
func int8Copy(c *conversion, n *schema.Node) error {
	if err := c.simple(n); err != nil {
		return err
	}
	if !c.sameLayout(n.Inputs[0], n.Outputs[0]) {
		return refuse("its input and output differ in scale or zero point")
	}
	c.deviation[n.Outputs[0]] = c.deviation[n.Inputs[0]]
	return nil
}

func int8Average(c *conversion, n *schema.Node) error {
	if err := c.simple(n); err != nil {
		return err
	}
	c.settle(n.Outputs[0], c.deviation[n.Inputs[0]])
	return nil
}

// probabilities checks the output of operators whose kernels take one
// quantization only.
func (c *conversion) probabilities(n *schema.Node) error {
	if err := c.simple(n); err != nil {
		return err
	}
	if q := c.was[n.Outputs[0]].Quant; q.Scale[0] != 1.0/256 || q.Zero[0] != 0 {
		return refuse("its output has the scale %v and the zero point %d, and must have 1/256 and 0", q.Scale[0], q.Zero[0])
	}
	return nil
}

// int8Logistic: the function is nowhere steeper than 1/4.
func int8Logistic(c *conversion, n *schema.Node) error {
	if err := c.probabilities(n); err != nil {
		return err
	}
	c.settle(n.Outputs[0], c.deviation[n.Inputs[0]]/4)
	return nil
}

// int8Softmax: inputs that are off by d each change an output p by at most
// 2 d p (1 − p), times beta.
func int8Softmax(c *conversion, n *schema.Node) error {
	if err := c.probabilities(n); err != nil {
		return err
	}
	beta := math.Abs(float64(n.Options.Float(0)))
	if math.IsNaN(beta) || math.IsInf(beta, 0) {
		return refuse("its beta is %v", beta)
	}
	c.settle(n.Outputs[0], beta*c.deviation[n.Inputs[0]]/2)
	return nil
}

// int8Quantize is for the model's own QUANTIZE, of floats or of another scale.
func int8Quantize(c *conversion, n *schema.Node) error {
	if len(n.Inputs) != 1 || len(n.Outputs) != 1 || !c.isBytes(n.Outputs[0]) {
		return refuse("its output is not one of uint8")
	}
	in := n.Inputs[0]
	if in < 0 || c.constant(in) || !c.isBytes(in) && c.was[in].Type != schema.Float32 {
		return refuse("its input is neither float32 nor uint8")
	}
	c.settle(n.Outputs[0], c.deviation[in])
	return nil
}

func int8Dequantize(c *conversion, n *schema.Node) error {
	if len(n.Inputs) != 1 || len(n.Outputs) != 1 || !c.isBytes(n.Inputs[0]) || c.was[n.Outputs[0]].Type != schema.Float32 {
		return refuse("it does not turn a computed uint8 into float32")
	}
	c.deviation[n.Outputs[0]] = c.deviation[n.Inputs[0]]
	return nil
}

// int8Detection gives the detection operator floats. It turns uint8 into the
// same floats itself, so nothing is lost.
func int8Detection(c *conversion, n *schema.Node) error {
	for k, in := range n.Inputs {
		if in < 0 || c.was[in].Type != schema.UInt8 {
			continue
		}
		var err error
		if c.constant(in) {
			n.Inputs[k], err = c.floats(in)
		} else {
			n.Inputs[k] = c.dequantized(in)
		}
		if err != nil {
			return err
		}
	}
	for _, out := range n.Outputs {
		if c.was[out].Type != schema.Float32 {
			return refuse("its output is not float32")
		}
		c.deviation[out] = math.Inf(1) // it picks the best and drops the others
	}
	return nil
}

// dequantized adds the operator that makes floats of an activation.
func (c *conversion) dequantized(in int32) int32 {
	t := c.was[in]
	t.Name, t.Type, t.Quant, t.Buffer = t.Name+"/float32", schema.Float32, nil, 0
	out := c.add(t)
	c.insert(schema.Dequantize, 2, in, out)
	return out
}
