package schema

// Draft collects what becomes a model with one graph. The zero value is an
// empty one.
type Draft struct{ model Model }

func (d *Draft) graph() *SubGraph {
	if d.model.Graphs == nil {
		d.model = Model{Version: 3, Graphs: []SubGraph{{}}, Buffers: [][]byte{nil}} // the schema wants the first to be empty
	}
	return &d.model.Graphs[0]
}

// Add adds a tensor that an operator computes and returns its index.
func (d *Draft) Add(t Tensor) int32 {
	g := d.graph()
	g.Tensors = append(g.Tensors, t)
	return int32(len(g.Tensors) - 1)
}

// Constant adds a tensor with its values.
func (d *Draft) Constant(t Tensor, data []byte) int32 {
	d.graph()
	d.model.Buffers = append(d.model.Buffers, data)
	t.Buffer = uint32(len(d.model.Buffers) - 1)
	return d.Add(t)
}

// Apply adds an operator; operators of one kind share an operator code.
func (d *Draft) Apply(op Operator, version int32, o Options, output int32, inputs ...int32) {
	g, code := d.graph(), OperatorCode{Builtin: op, Version: version}
	at := -1
	for i, c := range d.model.Codes {
		if c == code {
			at = i
		}
	}
	if at < 0 {
		at = len(d.model.Codes)
		d.model.Codes = append(d.model.Codes, code)
	}
	g.Nodes = append(g.Nodes, Node{Code: uint32(at), Inputs: inputs, Outputs: []int32{output}, Options: o})
}

// Model gives the model with its inputs and outputs. It shares the draft's
// memory.
func (d *Draft) Model(description string, inputs, outputs []int32) *Model {
	g := d.graph()
	g.Inputs, g.Outputs, d.model.Description = inputs, outputs, description
	return &d.model
}
