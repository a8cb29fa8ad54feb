package requant

import (
	"fmt"
	"math"
	"slices"

	"github.com/egret-edge/egret/tflite/schema"
)

// maxSide bounds a dimension, and with it every product of the bounds.
const maxSide = 1 << 24

var noBytes = needless("it computes nothing with uint8: only such models are converted")

// inspect checks what all conversions rely on: one graph, indices that lead
// somewhere, operators that come after what they read, constants of their
// tensors' size, quantization with one scale, and operators that are known.
func (c *conversion) inspect() error {
	m := c.model
	if len(m.Graphs) != 1 {
		return refuse("it has %d graphs, and only models of one are converted", len(m.Graphs))
	}
	if len(m.Buffers) == 0 || len(m.Buffers[0]) > 0 {
		return refuse("its first buffer is not the empty one")
	}
	for _, d := range m.Metadata {
		if int(d.Buffer) >= len(m.Buffers) {
			return refuse("its metadata %q lie in a buffer that there is not", d.Name)
		}
	}
	for _, b := range m.MetadataBuffer {
		if b < 0 || int(b) >= len(m.Buffers) {
			return refuse("its metadata lie in a buffer that there is not")
		}
	}
	c.graph = &m.Graphs[0]
	if err := c.inspectTypes(); err != nil {
		return err // whatever else there is to say of it
	}
	for i := range c.graph.Tensors {
		if err := c.inspectTensor(int32(i)); err != nil {
			return err
		}
	}
	c.was = slices.Clone(c.graph.Tensors)
	if err := c.inspectSignatures(); err != nil {
		return err
	}
	return c.inspectFlow()
}

// inspectTypes tells the models that have nothing to gain.
func (c *conversion) inspectTypes() error {
	quantized := false
	for i, t := range c.graph.Tensors {
		if int(t.Buffer) < len(c.model.Buffers) && t.Type == schema.Int8 && len(c.model.Buffers[t.Buffer]) == 0 {
			return needless(fmt.Sprintf("it computes with int8 already: tensor %d, %q", i, t.Name))
		}
		quantized = quantized || t.Type == schema.UInt8 && t.Quant != nil && len(t.Quant.Scale) > 0
	}
	if !quantized {
		return noBytes
	}
	return nil
}

func (c *conversion) inspectTensor(i int32) error {
	t := &c.graph.Tensors[i]
	if int(t.Buffer) >= len(c.model.Buffers) {
		return refuse("tensor %d lies in a buffer that there is not", i)
	}
	if t.Variable {
		return refuse("tensor %d keeps its value between runs", i)
	}
	n := 1
	for _, d := range t.Shape {
		if d < 0 || d > maxSide || d > 0 && n > schema.MaxBytes/int(d) {
			return refuse("tensor %d has the shape %v", i, t.Shape)
		}
		n *= int(d)
	}
	data := c.model.Buffers[t.Buffer]
	if size := t.Type.Size(); len(data) > 0 && size > 0 && len(data) != n*size {
		return refuse("tensor %d, %s %v, has %d bytes of values", i, t.Type, t.Shape, len(data))
	}
	if t.Type != schema.UInt8 {
		return nil
	}
	q := t.Quant
	if q == nil || len(q.Scale) != 1 || len(q.Zero) != 1 {
		return refuse("tensor %d is uint8 without one scale and zero point", i)
	}
	if s := float64(q.Scale[0]); !(s >= math.SmallestNonzeroFloat32) || math.IsInf(s, 0) || q.Zero[0] < 0 || q.Zero[0] > 255 {
		return refuse("tensor %d has the scale %v and the zero point %d", i, q.Scale[0], q.Zero[0])
	}
	return nil
}

func (c *conversion) inspectSignatures() error {
	for _, s := range c.model.Signatures {
		for _, m := range slices.Concat(s.Inputs, s.Outputs) {
			if int(m.Tensor) >= len(c.was) || s.Graph != 0 {
				return refuse("signature %q names a tensor that there is not", s.Key)
			}
		}
	}
	return nil
}

// inspectFlow walks the operators in their order.
func (c *conversion) inspectFlow() error {
	there := map[int32]bool{} // has a value when the next operator runs
	bytes := false
	for _, i := range c.graph.Inputs {
		if !c.valid(i) || c.constant(i) || there[i] {
			return refuse("input %d is not a tensor of its own", i)
		}
		there[i] = true
		bytes = bytes || c.was[i].Type == schema.UInt8
	}
	for i, n := range c.graph.Nodes {
		if int(n.Code) >= len(c.model.Codes) {
			return refuse("operator %d is of a kind that there is not", i)
		}
		code := c.model.Codes[n.Code]
		no := func(reason string) error { return &Refusal{Operator: code.String(), Index: i, Reason: reason} }
		if _, known := rules[ruleKey(code)]; !known {
			return no("it is not among the operators that can be converted")
		}
		if !n.Options.Known() {
			return no("it has options that are not known")
		}
		for _, in := range n.Inputs {
			if in != -1 && (!c.valid(in) || !there[in] && !c.constant(in)) {
				return no("it reads what nothing has computed")
			}
			c.uses[in]++
		}
		for _, out := range n.Outputs {
			if !c.valid(out) || there[out] || c.constant(out) {
				return no("it computes what something else has computed")
			}
			there[out], c.producer[out] = true, i
			bytes = bytes || c.was[out].Type == schema.UInt8
		}
	}
	for _, i := range c.graph.Outputs {
		if !there[i] {
			return refuse("output %d is computed by nothing", i)
		}
		c.uses[i]++
	}
	if !bytes {
		return noBytes
	}
	return nil
}

func (c *conversion) valid(i int32) bool { return i >= 0 && int(i) < len(c.was) }

// constant tells whether an original tensor has its values in the file.
func (c *conversion) constant(i int32) bool {
	return i >= 0 && len(c.model.Buffers[c.graph.Tensors[i].Buffer]) > 0
}

// values are an original constant's bytes.
func (c *conversion) values(i int32) []byte { return c.model.Buffers[c.was[i].Buffer] }

// scale is the scale of an original uint8 tensor.
func (c *conversion) scale(i int32) float64 { return float64(c.was[i].Quant.Scale[0]) }

// limits are the least and the largest real value of an original uint8 tensor.
func (c *conversion) limits(i int32) (least, most float64) {
	zero := float64(c.was[i].Quant.Zero[0])
	return -zero * c.scale(i), (255 - zero) * c.scale(i)
}

// isBytes tells whether an original tensor is a uint8 one that an operator or
// the model's user computes.
func (c *conversion) isBytes(i int32) bool {
	return c.valid(i) && c.was[i].Type == schema.UInt8 && !c.constant(i)
}
