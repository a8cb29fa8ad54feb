package requant

import "github.com/egret-edge/egret/tflite/schema"

// compact removes the tensors, buffers and operator codes that the model does
// not use any more, and renumbers the others.
func compact(m *schema.Model) {
	g := &m.Graphs[0]
	tensors := newNumbering(len(g.Tensors))
	for _, all := range [][]int32{g.Inputs, g.Outputs} {
		tensors.use(all)
	}
	codes := newNumbering(len(m.Codes))
	for _, n := range g.Nodes {
		tensors.use(n.Inputs)
		tensors.use(n.Outputs)
		codes.used[n.Code] = true
	}
	for _, s := range m.Signatures {
		for _, side := range [][]schema.TensorMap{s.Inputs, s.Outputs} {
			for _, t := range side {
				tensors.used[t.Tensor] = true
			}
		}
	}
	g.Tensors = pick(g.Tensors, tensors)
	m.Codes = pick(m.Codes, codes)
	g.Inputs, g.Outputs = tensors.apply(g.Inputs), tensors.apply(g.Outputs)
	for i := range g.Nodes {
		n := &g.Nodes[i]
		n.Code = uint32(codes.to[n.Code])
		n.Inputs, n.Outputs = tensors.apply(n.Inputs), tensors.apply(n.Outputs)
	}
	for _, s := range m.Signatures {
		for _, side := range [][]schema.TensorMap{s.Inputs, s.Outputs} {
			for k := range side {
				side[k].Tensor = uint32(tensors.to[side[k].Tensor])
			}
		}
	}
	compactBuffers(m)
}

func compactBuffers(m *schema.Model) {
	g := &m.Graphs[0]
	buffers := newNumbering(len(m.Buffers))
	buffers.used[0] = true // the empty one
	for _, t := range g.Tensors {
		buffers.used[t.Buffer] = true
	}
	for _, d := range m.Metadata {
		buffers.used[d.Buffer] = true
	}
	buffers.use(m.MetadataBuffer)
	m.Buffers = pick(m.Buffers, buffers)
	for i := range g.Tensors {
		g.Tensors[i].Buffer = uint32(buffers.to[g.Tensors[i].Buffer])
	}
	for i := range m.Metadata {
		m.Metadata[i].Buffer = uint32(buffers.to[m.Metadata[i].Buffer])
	}
	m.MetadataBuffer = buffers.apply(m.MetadataBuffer)
}

// numbering gives what is used new numbers without gaps.
type numbering struct {
	used []bool
	to   []int32
}

func newNumbering(n int) *numbering { return &numbering{make([]bool, n), make([]int32, n)} }

func (n *numbering) use(all []int32) {
	for _, i := range all {
		if i >= 0 {
			n.used[i] = true
		}
	}
}

// apply gives the new numbers; −1 stays.
func (n *numbering) apply(all []int32) []int32 {
	var out []int32
	for _, i := range all {
		if i >= 0 {
			i = n.to[i]
		}
		out = append(out, i)
	}
	return out
}

// pick gives what is used, and fills in its numbers.
func pick[T any](all []T, n *numbering) []T {
	var out []T
	for i, v := range all {
		if n.used[i] {
			n.to[i] = int32(len(out))
			out = append(out, v)
		}
	}
	return out
}
