package requant

import (
	"slices"

	"github.com/egret-edge/egret/tflite/schema"
)

// int8FullyConnected keeps the operator where all weights fit around zero with
// their exact values. Elsewhere it makes a CONV_2D of 1×1 of it, because its own
// kernels have no scale for each channel, and because XNNPACK (2.9) takes int8
// weights that are not around zero and computes as if they were.
func int8FullyConnected(c *conversion, n *schema.Node) error {
	w, err := c.weighted(n, 2, 0)
	if err != nil {
		return err
	}
	if n.Options.Int(1) != 0 {
		return refuse("its weights are shuffled")
	}
	k := c.perChannel(w)
	if k.rescaled > 0 {
		return c.lower(n, w, k)
	}
	q := schema.Quantization{Scale: c.was[w.weights].Quant.Scale, Zero: []int64{0}}
	return c.weigh(n, w, k, q)
}

// lower writes the operator as RESHAPE, CONV_2D, RESHAPE.
func (c *conversion) lower(n *schema.Node, w weighted, k kernel) error {
	inputs := int(c.was[w.weights].Shape[1])
	rows := volume(c.was[w.out].Shape) / w.channels
	if rows == 0 || volume(c.was[w.out].Shape) != rows*w.channels || volume(c.was[w.in].Shape) != rows*inputs {
		return refuse("its shapes do not fit together: %v, weights %v, output %v", c.was[w.in].Shape, c.was[w.weights].Shape, c.was[w.out].Shape)
	}
	conv := schema.Node{Code: c.code(schema.Conv2D, 3), Inputs: slices.Clone(n.Inputs)}
	if err := c.weighChannels(&conv, w, k, 0); err != nil {
		return err
	}
	kernel := &c.graph.Tensors[conv.Inputs[1]]
	kernel.Shape = []int32{int32(w.channels), 1, 1, int32(inputs)}
	from := c.shaped(w.in, []int32{int32(rows), 1, 1, int32(inputs)})
	to := c.shaped(w.out, []int32{int32(rows), 1, 1, int32(w.channels)})
	conv.Inputs[0], conv.Outputs = from, []int32{to}
	o := schema.NewOptions(schema.Conv2DOptions).With(0, schema.Valid).With(1, 1).With(2, 1)
	conv.Options, _ = o.WithActivation(n.Options.Activation())
	c.nodes = append(c.nodes, c.reshape(w.in, from), conv)
	*n = c.reshape(to, w.out)
	c.report.Lowered++
	return nil
}

// shaped adds a tensor like another of another shape.
func (c *conversion) shaped(like int32, shape []int32) int32 {
	t := c.graph.Tensors[like]
	t.Name, t.Shape, t.ShapeSignature, t.Buffer = t.Name+"/1x1", shape, nil, 0
	return c.add(t)
}

// reshape is an operator between tensors that differ in shape only.
func (c *conversion) reshape(from, to int32) schema.Node {
	o := schema.NewOptions(schema.ReshapeOptions).WithInts(0, c.graph.Tensors[to].Shape)
	return schema.Node{Code: c.code(schema.Reshape, 1), Inputs: []int32{from}, Outputs: []int32{to}, Options: o}
}

// volume is the number of a shape's values.
func volume(shape []int32) int {
	n := 1
	for _, d := range shape {
		n *= int(d)
	}
	return n
}
