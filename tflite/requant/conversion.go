package requant

import (
	"errors"
	"math"
	"slices"

	"github.com/egret-edge/egret/tflite/schema"
)

// kind is what becomes of a model.
type kind interface {
	name() string
	// activation gives an activation the new type.
	activation(t *schema.Tensor)
	// convert converts an operator; its activations have the new type already.
	convert(c *conversion, n *schema.Node, code schema.OperatorCode) error
	// enter and leave are the operators that turn uint8 into the new type and
	// back.
	enter() schema.Operator
	leave() schema.Operator
}

// conversion is the work on one model.
type conversion struct {
	kind   kind
	model  *schema.Model
	graph  *schema.SubGraph
	report Report
	// was are the tensors of the original, by their index; what is added comes
	// behind them.
	was []schema.Tensor
	// producer is the operator that computes a tensor, or none; uses counts
	// who reads it, the model's own outputs included.
	producer map[int32]int
	uses     map[int32]int
	nodes    []schema.Node // the new graph's
	// deviation is how far a tensor's real value can be from the original's.
	deviation map[int32]float64
	copied    int // bytes of constants made
}

// maxConstants bounds the constants of a converted model: those that operators
// share are copied for each.
const maxConstants = 1 << 30

func (m *Model) convert(k kind, o Options) ([]byte, Report, error) {
	model, err := schema.Read(m.data)
	if err != nil {
		return nil, Report{}, err
	}
	c := &conversion{
		kind: k, model: model, report: Report{To: k.name()},
		producer: map[int32]int{}, uses: map[int32]int{}, deviation: map[int32]float64{},
	}
	if err := c.inspect(); err != nil {
		return nil, Report{}, err
	}
	if err := c.run(o); err != nil {
		return nil, Report{}, err
	}
	compact(model)
	data, err := model.Write()
	return data, c.report, err
}

func (c *conversion) run(o Options) error {
	for i := range c.graph.Tensors {
		if t := &c.graph.Tensors[i]; t.Type == schema.UInt8 && !c.constant(int32(i)) {
			c.kind.activation(t)
		}
	}
	inputs, outputs := c.graph.Inputs, c.graph.Outputs
	if !o.NativeBorder {
		c.enter(inputs)
	}
	c.report.Operators = len(c.graph.Nodes)
	for i, n := range c.graph.Nodes {
		if err := c.operator(i, n); err != nil {
			return err
		}
	}
	c.describe(inputs, outputs)
	if !o.NativeBorder {
		c.leave(outputs)
	}
	c.graph.Nodes = c.nodes
	return nil
}

func (c *conversion) operator(i int, n schema.Node) error {
	code := c.model.Codes[n.Code]
	n.Inputs = slices.Clone(n.Inputs)
	err := c.convertNode(&n, code)
	var r *Refusal
	if errors.As(err, &r) && r.Index < 0 {
		r.Operator, r.Index = code.String(), i
	}
	if err != nil {
		return err
	}
	c.nodes = append(c.nodes, n)
	return nil
}

// convertNode converts an operator that has to do with uint8.
func (c *conversion) convertNode(n *schema.Node, code schema.OperatorCode) error {
	concerned := func(i int32) bool { return i >= 0 && c.was[i].Type == schema.UInt8 }
	if !slices.ContainsFunc(n.Inputs, concerned) && !slices.ContainsFunc(n.Outputs, concerned) {
		for _, out := range n.Outputs {
			c.deviation[out] = math.Inf(1)
		}
		return nil
	}
	return c.kind.convert(c, n, code)
}

// describe fills in the report's borders.
func (c *conversion) describe(inputs, outputs []int32) {
	border := func(i int32) Border {
		t := c.was[i]
		b := Border{Name: t.Name, Type: t.Type.String()}
		if t.Quant != nil && len(t.Quant.Scale) == 1 {
			b.Scale, b.Zero = t.Quant.Scale[0], t.Quant.Zero[0]
		}
		return b
	}
	for _, i := range inputs {
		c.report.Inputs = append(c.report.Inputs, border(i))
	}
	for _, i := range outputs {
		b := border(i)
		unit := 1.0
		if b.Scale > 0 {
			unit = float64(b.Scale)
		}
		// Deviations of integers are integers; the division may not be exact.
		if d := math.Round(c.deviation[i]/unit*1e6) / 1e6; d < 255 || b.Scale == 0 && !math.IsInf(d, 0) {
			b.Bound = &d
		}
		c.report.Outputs = append(c.report.Outputs, b)
	}
}

// code is the index of an operator code, which is added if it is new.
func (c *conversion) code(op schema.Operator, version int32) uint32 {
	return c.codeOf(schema.OperatorCode{Builtin: op, Version: version})
}

func (c *conversion) codeOf(want schema.OperatorCode) uint32 {
	for i, have := range c.model.Codes {
		if have == want {
			return uint32(i)
		}
	}
	c.model.Codes = append(c.model.Codes, want)
	return uint32(len(c.model.Codes) - 1)
}

// add adds a tensor and gives its index.
func (c *conversion) add(t schema.Tensor) int32 {
	c.graph.Tensors = append(c.graph.Tensors, t)
	return int32(len(c.graph.Tensors) - 1)
}

// addConstant adds a tensor with its values.
func (c *conversion) addConstant(t schema.Tensor, data []byte) (int32, error) {
	if c.copied += len(data); c.copied > maxConstants {
		return 0, refuse("its constants would take more than %d MB", maxConstants>>20)
	}
	c.model.Buffers = append(c.model.Buffers, data)
	t.Buffer = uint32(len(c.model.Buffers) - 1)
	return c.add(t), nil
}

// insert adds an operator from one tensor to another.
func (c *conversion) insert(op schema.Operator, version int32, from, to int32) {
	c.nodes = append(c.nodes, schema.Node{Code: c.code(op, version), Inputs: []int32{from}, Outputs: []int32{to}})
	switch op {
	case schema.Quantize:
		c.report.Quantize++
	case schema.Dequantize:
		c.report.Dequantize++
	}
}

// enter gives the model inputs that stay as they were. The operators go on
// reading the tensors that they read.
func (c *conversion) enter(inputs []int32) {
	c.graph.Inputs = append([]int32(nil), inputs...)
	for k, i := range inputs {
		if c.was[i].Type != schema.UInt8 {
			continue
		}
		outer := c.outside(i)
		c.graph.Inputs[k] = outer
		c.insert(c.kind.enter(), 1, outer, i)
		c.rename(i, outer, func(s *schema.Signature) []schema.TensorMap { return s.Inputs })
	}
}

// leave does what enter does for the outputs.
func (c *conversion) leave(outputs []int32) {
	c.graph.Outputs = append([]int32(nil), outputs...)
	for k, i := range outputs {
		if c.was[i].Type != schema.UInt8 {
			continue
		}
		outer := c.outside(i)
		c.graph.Outputs[k] = outer
		c.insert(c.kind.leave(), 1, i, outer)
		c.rename(i, outer, func(s *schema.Signature) []schema.TensorMap { return s.Outputs })
	}
}

// outside adds a copy of an original tensor, which keeps the name.
func (c *conversion) outside(i int32) int32 {
	c.graph.Tensors[i].Name += "/" + c.kind.name()
	t := c.was[i]
	t.Buffer = 0
	return c.add(t)
}

func (c *conversion) rename(from, to int32, side func(*schema.Signature) []schema.TensorMap) {
	for s := range c.model.Signatures {
		names := side(&c.model.Signatures[s])
		for k := range names {
			if names[k].Tensor == uint32(from) {
				names[k].Tensor = uint32(to)
			}
		}
	}
}
