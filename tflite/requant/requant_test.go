package requant_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite/requant"
	"github.com/egret-edge/egret/tflite/schema"
)

func written(t testing.TB, m *schema.Model) []byte {
	t.Helper()
	data, err := m.Write()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func read(t testing.TB, data []byte) *schema.Model {
	t.Helper()
	m, err := schema.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// converted gives the model as int8, or what refuses it.
func converted(t testing.TB, m *schema.Model, o requant.Options) (*schema.Model, requant.Report, error) {
	t.Helper()
	from, err := requant.Read(written(t, m))
	if err != nil {
		return nil, requant.Report{}, err
	}
	data, report, err := from.Int8(o)
	if err != nil {
		return nil, report, err
	}
	return read(t, data), report, nil
}

func bytesOf32(v ...int32) []byte {
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, uint32(x))
	}
	return data
}

// two is a model of two 1×1 convolutions that share weights and bias; the
// second channel's weights do not fit around the zero point.
func two() *schema.Model {
	var d schema.Draft
	act := func(name string, scale float64, zero int) int32 {
		return d.Add(schema.Tensor{Name: name, Shape: []int32{1, 2, 2, 2}, Type: schema.UInt8, Quant: quantized(scale, zero)})
	}
	in, mid := act("in", 0.5, 128), act("mid", 6.0/255, 0)
	weights := d.Constant(schema.Tensor{Name: "weights", Shape: []int32{2, 1, 1, 2}, Type: schema.UInt8, Quant: quantized(0.25, 100)}, []byte{100, 227, 255, 0})
	bias := d.Constant(schema.Tensor{Name: "bias", Shape: []int32{2}, Type: schema.Int32, Quant: quantized(0.125, 0)}, bytesOf32(7, 155))
	out := act("out", 1, 10)
	o := schema.NewOptions(schema.Conv2DOptions).With(1, 1).With(2, 1)
	d.Apply(schema.Conv2D, 1, o, mid, in, weights, bias)
	d.Apply(schema.Conv2D, 1, o, out, mid, weights, bias)
	m := d.Model("two", []int32{in}, []int32{out})
	m.Buffers = append(m.Buffers, []byte("labels"))
	m.Metadata = []schema.Metadata{{Name: "TFLITE_METADATA", Buffer: uint32(len(m.Buffers) - 1)}}
	m.Signatures = []schema.Signature{{
		Inputs: []schema.TensorMap{{Name: "image", Tensor: uint32(in)}}, Outputs: []schema.TensorMap{{Name: "scores", Tensor: uint32(out)}}, Key: "serving_default",
	}}
	return m
}

func TestArithmetic(t *testing.T) {
	m, report, err := converted(t, two(), requant.Options{NativeBorder: true})
	if err != nil {
		t.Fatal(err)
	}
	if report.Channels != 4 || report.Rescaled != 2 || report.Operators != 2 || report.Quantize != 0 {
		t.Errorf("report %+v", report)
	}
	g := m.Graphs[0]
	in := g.Tensors[g.Inputs[0]]
	if in.Type != schema.Int8 || in.Quant.Zero[0] != 0 || in.Quant.Scale[0] != 0.5 {
		t.Errorf("input %s %+v", in.Type, in.Quant)
	}
	// 155 is the largest weight of the second channel: 255 − 100.
	scale := float32(0.25 * 155.0 / 127)
	for i, unit := range []float64{0.5, float64(float32(6.0 / 255))} {
		n := g.Nodes[i]
		if v := m.Codes[n.Code]; v.Builtin != schema.Conv2D || v.Version != 3 {
			t.Errorf("operator %d is %s of version %d", i, v, v.Version)
		}
		w, b := g.Tensors[n.Inputs[1]], g.Tensors[n.Inputs[2]]
		want := &schema.Quantization{Scale: []float32{0.25, scale}, Zero: []int64{0, 0}}
		if w.Type != schema.Int8 || !reflect.DeepEqual(w.Quant, want) {
			t.Errorf("weights %s %+v, want %+v", w.Type, w.Quant, want)
		}
		// −100 × 127 / 155 is −81.9.
		if got := m.Buffers[w.Buffer]; !bytes.Equal(got, []byte{0, 127, 127, 256 - 82}) {
			t.Errorf("weights %v", got)
		}
		want = &schema.Quantization{Scale: []float32{float32(unit * 0.25), float32(unit * float64(scale))}, Zero: []int64{0, 0}}
		if b.Type != schema.Int32 || !reflect.DeepEqual(b.Quant, want) {
			t.Errorf("bias %s %+v, want %+v", b.Type, b.Quant, want)
		}
		if got := m.Buffers[b.Buffer]; !bytes.Equal(got, bytesOf32(7, 127)) {
			t.Errorf("bias %v", got)
		}
	}
}

func TestBordersAndNamesStay(t *testing.T) {
	m, report, err := converted(t, two(), requant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := m.Graphs[0]
	in, out := g.Tensors[g.Inputs[0]], g.Tensors[g.Outputs[0]]
	if in.Name != "in" || in.Type != schema.UInt8 || !reflect.DeepEqual(in.Quant, quantized(0.5, 128)) {
		t.Errorf("input %+v %+v", in, in.Quant)
	}
	if out.Name != "out" || out.Type != schema.UInt8 || !reflect.DeepEqual(out.Quant, quantized(1, 10)) {
		t.Errorf("output %+v %+v", out, out.Quant)
	}
	if report.Quantize != 2 || m.Description != "two" {
		t.Errorf("%d QUANTIZE, description %q", report.Quantize, m.Description)
	}
	if s := m.Signatures[0]; s.Key != "serving_default" || s.Inputs[0].Tensor != uint32(g.Inputs[0]) || s.Outputs[0].Tensor != uint32(g.Outputs[0]) {
		t.Errorf("signature %+v, inputs %v, outputs %v", s, g.Inputs, g.Outputs)
	}
	if d := m.Metadata[0]; d.Name != "TFLITE_METADATA" || string(m.Buffers[d.Buffer]) != "labels" {
		t.Errorf("metadata %+v: %q", d, m.Buffers[d.Buffer])
	}
	for i, a := range g.Tensors {
		for _, b := range g.Tensors[:i] {
			if a.Name == b.Name && a.Name != "weights" && a.Name != "bias" {
				t.Errorf("two tensors are called %q", a.Name)
			}
		}
	}
}

// joined is a concatenation of two convolutions' results.
func joined(scales [2]float64, activation schema.Activation, read bool) *schema.Model {
	var d schema.Draft
	act := func(name string, channels int32, scale float64) int32 {
		return d.Add(schema.Tensor{Name: name, Shape: []int32{1, 2, 2, channels}, Type: schema.UInt8, Quant: quantized(scale, 128)})
	}
	in := act("in", 1, 0.5)
	inputs := make([]int32, 0, 2)
	o, _ := schema.NewOptions(schema.Conv2DOptions).With(1, 1).With(2, 1).WithActivation(activation)
	for _, s := range scales {
		w := d.Constant(schema.Tensor{Name: "w", Shape: []int32{1, 1, 1, 1}, Type: schema.UInt8, Quant: quantized(0.25, 100)}, []byte{140})
		to := act("conv", 1, s)
		d.Apply(schema.Conv2D, 1, o, to, in, w)
		inputs = append(inputs, to)
	}
	out := act("out", 2, 0.1)
	d.Apply(schema.Concatenation, 1, schema.NewOptions(schema.ConcatenationOptions).With(0, 3), out, inputs...)
	outputs := []int32{out}
	if read {
		outputs = append(outputs, inputs[0])
	}
	return d.Model("", []int32{in}, outputs)
}

func TestConcatenationsGetOneScale(t *testing.T) {
	for name, c := range map[string]struct {
		model              *schema.Model
		quantize, retarget int
	}{
		"equal":                      {joined([2]float64{0.1, 0.1}, 0, false), 0, 0},
		"wider":                      {joined([2]float64{0.2, 0.1}, 0, false), 0, 1},
		"narrower saturates":         {joined([2]float64{0.05, 0.1}, 0, false), 1, 0},
		"narrower by less than one":  {joined([2]float64{0.0997, 0.1}, 0, false), 0, 1},
		"narrower, but for ReLU6":    {joined([2]float64{0.05, 0.1}, schema.ReLU6, false), 0, 1},
		"wider, but somebody's":      {joined([2]float64{0.2, 0.1}, 0, true), 1, 0},
		"both wider, one somebody's": {joined([2]float64{0.2, 0.3}, 0, true), 1, 1},
	} {
		m, report, err := converted(t, c.model, requant.Options{NativeBorder: true})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if report.Quantize != c.quantize || report.Retargeted != c.retarget {
			t.Errorf("%s: %d QUANTIZE and %d retargeted, want %d and %d", name, report.Quantize, report.Retargeted, c.quantize, c.retarget)
		}
		g := m.Graphs[0]
		last := g.Nodes[len(g.Nodes)-1]
		for _, in := range last.Inputs {
			if q := g.Tensors[in].Quant; !reflect.DeepEqual(q, quantized(0.1, 0)) {
				t.Errorf("%s: the concatenation reads %+v", name, q)
			}
		}
	}
}

// detector ends in the detection operator.
func detector() *schema.Model {
	var d schema.Draft
	in := d.Add(schema.Tensor{Name: "in", Shape: []int32{1, 2, 4}, Type: schema.UInt8, Quant: quantized(0.5, 128)})
	anchors := d.Constant(schema.Tensor{Name: "anchors", Shape: []int32{2, 4}, Type: schema.UInt8, Quant: quantized(0.25, 4)}, []byte{0, 4, 8, 255, 1, 2, 3, 4})
	out := d.Add(schema.Tensor{Name: "boxes"})
	m := d.Model("", []int32{in}, []int32{out})
	m.Codes = []schema.OperatorCode{{Builtin: schema.Custom, Custom: "TFLite_Detection_PostProcess", Version: 1}}
	m.Graphs[0].Nodes = []schema.Node{{Inputs: []int32{in, in, anchors}, Outputs: []int32{out}, CustomOptions: []byte("flexbuffer")}}
	return m
}

func TestDetectionGetsFloats(t *testing.T) {
	m, report, err := converted(t, detector(), requant.Options{NativeBorder: true})
	if err != nil {
		t.Fatal(err)
	}
	g := m.Graphs[0]
	n := g.Nodes[len(g.Nodes)-1]
	for _, in := range n.Inputs {
		if typ := g.Tensors[in].Type; typ != schema.Float32 {
			t.Errorf("it reads %q of %s", g.Tensors[in].Name, typ)
		}
	}
	if string(n.CustomOptions) != "flexbuffer" || report.Dequantize != 2 || report.Outputs[0].Bound != nil {
		t.Errorf("options %q, report %+v", n.CustomOptions, report)
	}
	anchors := m.Buffers[g.Tensors[n.Inputs[2]].Buffer]
	if want := []byte{0, 0, 0x80, 0xbf}; !bytes.Equal(anchors[:4], want) { // (0 − 4) / 4 is −1
		t.Errorf("the first anchor is %x", anchors[:4])
	}
}

func TestReLU6IsPutBack(t *testing.T) {
	m, err := requant.Read(written(t, two()))
	if err != nil {
		t.Fatal(err)
	}
	data, report, err := m.Float32(requant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, data)
	g := got.Graphs[0]
	var activations []schema.Activation
	for _, n := range g.Nodes {
		if got.Codes[n.Code].Builtin == schema.Conv2D {
			activations = append(activations, n.Options.Activation())
		}
	}
	// The second one's limits are −10 to 245.
	if want := []schema.Activation{schema.ReLU6, schema.NoActivation}; !slices.Equal(activations, want) || report.Clamps != 1 {
		t.Errorf("activations %v, %d clamps", activations, report.Clamps)
	}
}

// refusals are models that are not converted, with words of the reason.
func refusals() map[string]*schema.Model {
	edit := func(change func(*schema.Model)) *schema.Model {
		m := two()
		change(m)
		return m
	}
	g := func(m *schema.Model) *schema.SubGraph { return &m.Graphs[0] }
	return map[string]*schema.Model{
		"operator 1, TANH: it is not among the operators": edit(func(m *schema.Model) {
			m.Codes = append(m.Codes, schema.OperatorCode{Builtin: 28, Version: 1})
			g(m).Nodes[1].Code = 1
		}),
		"operator 0, Mine: it is not": edit(func(m *schema.Model) { m.Codes[0] = schema.OperatorCode{Builtin: schema.Custom, Custom: "Mine"} }),
		"2 graphs":                    edit(func(m *schema.Model) { m.Graphs = append(m.Graphs, m.Graphs[0]) }),
		"tensor 0 is uint8 without":   edit(func(m *schema.Model) { g(m).Tensors[0].Quant = nil }),
		"has the scale 0":             edit(func(m *schema.Model) { g(m).Tensors[0].Quant = quantized(0, 1) }),
		"zero point 256":              edit(func(m *schema.Model) { g(m).Tensors[0].Quant = quantized(1, 256) }),
		"int8 already":                edit(func(m *schema.Model) { g(m).Tensors[1].Type = schema.Int8 }),
		"its output is not one of uint8": edit(func(m *schema.Model) {
			g(m).Tensors[1].Type = schema.Float32
		}),
		"has 4 bytes of values":         edit(func(m *schema.Model) { g(m).Tensors[2].Shape = []int32{3, 1, 1, 2} }),
		"reads what nothing":            edit(func(m *schema.Model) { g(m).Nodes[0].Inputs[0] = 99 }),
		"computes what something else":  edit(func(m *schema.Model) { g(m).Nodes[0].Outputs[0] = 0 }),
		"in a buffer that there is not": edit(func(m *schema.Model) { g(m).Tensors[2].Buffer = 99 }),
		"its metadata":                  edit(func(m *schema.Model) { m.Metadata[0].Buffer = 99 }),
		"signature":                     edit(func(m *schema.Model) { m.Signatures[0].Inputs[0].Tensor = 99 }),
		"keeps its value between runs":  edit(func(m *schema.Model) { g(m).Tensors[1].Variable = true }),
		"its first buffer":              edit(func(m *schema.Model) { m.Buffers[0] = []byte{1} }),
		"its bias is not a constant":    edit(func(m *schema.Model) { g(m).Tensors[3].Shape, m.Buffers[2] = []int32{1}, bytesOf32(1) }),
		"its weights are not constants": edit(func(m *schema.Model) { g(m).Nodes[1].Inputs[1] = 0 }),
		"nothing with uint8":            edit(func(m *schema.Model) { g(m).Nodes, g(m).Outputs, g(m).Inputs = nil, nil, nil }),
		"output 1 is computed by nothing": edit(func(m *schema.Model) {
			g(m).Nodes, g(m).Outputs = nil, []int32{1}
		}),
	}
}

func TestRefusals(t *testing.T) {
	for want, m := range refusals() {
		_, _, err := converted(t, m, requant.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a refusal with %q", err, want)
			continue
		}
		var r *requant.Refusal
		if !errors.As(err, &r) || r.Reason == "" || (r.Index < 0) != (r.Operator == "") {
			t.Errorf("%q is refused by %#v", want, err)
		}
	}
}

// TestConversionIsDeterministic holds what a digest of a converted model rests
// on.
func TestConversionIsDeterministic(t *testing.T) {
	m, err := requant.Read(smallmodel.Classifier(smallmodel.Options{Type: smallmodel.UInt8}))
	if err != nil {
		t.Fatal(err)
	}
	one, report, err := m.Int8(requant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	two, _, err := m.Int8(requant.Options{})
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("the same model gave other bytes, %v", err)
	}
	if _, err := json.Marshal(report); err != nil {
		t.Error(err)
	}
	again, err := requant.Read(one)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := again.Int8(requant.Options{}); err == nil || !strings.Contains(err.Error(), "int8 already") {
		t.Errorf("converting twice gave %v", err)
	}
}

func FuzzConvert(f *testing.F) {
	for _, m := range refusals() {
		f.Add(written(f, m))
	}
	for _, m := range []*schema.Model{two(), detector(), joined([2]float64{0.2, 0.05}, schema.ReLU, false)} {
		f.Add(written(f, m))
	}
	for seed := range uint64(12) {
		m, _ := random(seed)
		f.Add(written(f, m))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := requant.Read(data)
		if err != nil {
			return
		}
		for _, convert := range []func(requant.Options) ([]byte, requant.Report, error){m.Int8, m.Float32} {
			for _, native := range []bool{false, true} {
				out, report, err := convert(requant.Options{NativeBorder: native})
				if err != nil {
					if r := new(requant.Refusal); errors.As(err, &r) && (r.Reason == "" || (r.Index < 0) != (r.Operator == "")) {
						t.Errorf("a refusal says too little: %#v", r)
					}
					continue
				}
				if _, err := json.Marshal(report); err != nil {
					t.Errorf("the report is not JSON: %v", err)
				}
				if limit := 16*len(data) + 1<<16; len(out) > limit {
					t.Errorf("%d bytes became %d", len(data), len(out))
				}
				check(t, read(t, out))
			}
		}
	})
}

// check holds that a converted model hangs together: every constant has its
// tensor's size.
func check(t *testing.T, m *schema.Model) {
	t.Helper()
	for i, tensor := range m.Graphs[0].Tensors {
		n := 1
		for _, d := range tensor.Shape {
			n *= int(d)
		}
		size := len(m.Buffers[tensor.Buffer])
		if want := n * tensor.Type.Size(); size > 0 && want > 0 && size != want {
			t.Errorf("tensor %d, %s %v, has %d bytes", i, tensor.Type, tensor.Shape, size)
		}
	}
}
