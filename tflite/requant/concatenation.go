package requant

import (
	"math"

	"github.com/egret-edge/egret/tflite/schema"
)

// int8Concatenation brings the inputs to the output's scale: the uint8 kernel
// does that itself, the int8 one refuses. What feeds an input computes it in the
// right scale at once where nothing else reads it and saturation stays where it
// was; else a QUANTIZE does what the uint8 kernel did.
func int8Concatenation(c *conversion, n *schema.Node) error {
	if err := c.simple(n); err != nil {
		return err
	}
	if n.Options.Activation() != schema.NoActivation {
		return refuse("it has an activation")
	}
	out := n.Outputs[0]
	off := 0.0
	for k, in := range n.Inputs {
		if !c.isBytes(in) {
			return refuse("its input %d is not a uint8 that is computed", k)
		}
		d := c.deviation[in]
		if !c.sameLayout(in, out) {
			var aimed bool
			if d, aimed = c.retarget(in, out); !aimed {
				d = c.rounded(out, c.deviation[in])
				n.Inputs[k] = c.requantized(in, out)
			}
		}
		off = max(off, d)
	}
	c.deviation[out] = min(off, 255*c.scale(out))
	return nil
}

// requantized adds the operator that brings a tensor to another's scale.
func (c *conversion) requantized(in, like int32) int32 {
	t := c.was[in]
	q := *c.graph.Tensors[like].Quant
	t.Name, t.Type, t.Quant, t.Buffer = t.Name+"/requantized", schema.Int8, &q, 0
	to := c.add(t)
	c.insert(schema.Quantize, 1, in, to)
	return to
}

// retarget has the operator that a tensor comes from compute it in another's
// scale, through operators that only hand it on. It gives how far the values can
// then be from the original's after its concatenation. It does nothing where
// somebody else reads the tensor, or where a value that the original cut off
// could come through by more than a unit.
func (c *conversion) retarget(in, like int32) (off float64, ok bool) {
	chain := []int32{in}
	for at := in; ; {
		p, computed := c.producer[at]
		if c.uses[at] != 1 || !computed {
			return 0, false
		}
		n := &c.graph.Nodes[p]
		switch c.model.Codes[n.Code].Builtin {
		case schema.Reshape, schema.Squeeze:
			at = n.Inputs[0]
			chain = append(chain, at)
			continue
		case schema.Add, schema.Conv2D, schema.DepthwiseConv2D:
		default:
			return 0, false
		}
		excess := c.excess(n, like)
		if excess > 1 {
			return 0, false
		}
		unit := c.scale(like)
		// The original rounded to its own scale before.
		off = unit * math.Min(math.Floor((c.deviation[at]+0.75*c.scale(at))/unit+excess+rounding+1e-9), 255)
		break
	}
	for _, t := range chain {
		q := *c.graph.Tensors[like].Quant
		c.graph.Tensors[t].Quant = &q
		c.deviation[t] = off
	}
	c.report.Retargeted++
	return off, true
}

// excess is how far an operator's result could go beyond where the original's
// ended, if it had another tensor's limits, in units of those.
func (c *conversion) excess(n *schema.Node, like int32) float64 {
	least, most := c.effective(n)
	other := *n
	other.Outputs = []int32{like}
	newLeast, newMost := c.effective(&other)
	return max(least-newLeast, newMost-most, 0) / c.scale(like)
}
