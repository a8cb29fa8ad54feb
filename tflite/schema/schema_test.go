package schema_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite/schema"
)

// everything is a model with a value in each field.
func everything() *schema.Model {
	var d schema.Draft
	quant := &schema.Quantization{Min: []float32{-1}, Max: []float32{1}, Scale: []float32{0.5, 0.25}, Zero: []int64{3, -4}, Dim: 3}
	in := d.Add(schema.Tensor{Name: "in", Shape: []int32{1, 4, 4, 3}, Type: schema.UInt8, Quant: quant, ShapeSignature: []int32{-1, 4, 4, 3}, HasRank: true})
	kernel := d.Constant(schema.Tensor{Name: "kernel", Shape: []int32{5}, Type: schema.Int8}, []byte{1, 2, 3, 4, 5})
	out := d.Add(schema.Tensor{Name: "out", Shape: []int32{}, Variable: true})
	conv, _ := schema.NewOptions(schema.Conv2DOptions).With(0, schema.Valid).With(1, 2).With(2, 3).With(4, 7).WithActivation(schema.ReLU6)
	d.Apply(schema.Conv2D, 3, conv, out, in, kernel, -1)
	d.Apply(schema.Softmax, 1, schema.NewOptions(schema.SoftmaxOptions).WithFloat(0, 0.75), out, in)
	d.Apply(schema.Reshape, 1, schema.NewOptions(schema.ReshapeOptions).WithInts(0, []int32{1, -1}), out, in)
	d.Apply(schema.Operator(150), 2, schema.Options{}, out, in)
	m := d.Model("a description", []int32{in}, []int32{out})
	m.Codes = append(m.Codes, schema.OperatorCode{Builtin: schema.Custom, Custom: "Mine", Version: 1})
	g := &m.Graphs[0]
	g.Name = "main"
	g.Nodes = append(g.Nodes, schema.Node{Code: uint32(len(m.Codes) - 1), Inputs: []int32{0}, Outputs: []int32{2}, CustomOptions: []byte("flex")})
	m.Buffers = append(m.Buffers, []byte("1.5.0"))
	m.Metadata = []schema.Metadata{{Name: "min_runtime_version", Buffer: 2}}
	m.MetadataBuffer = []int32{2}
	m.Signatures = []schema.Signature{{
		Inputs: []schema.TensorMap{{Name: "image", Tensor: 0}}, Outputs: []schema.TensorMap{{Name: "scores", Tensor: 2}}, Key: "serving_default",
	}}
	return m
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	m := everything()
	data, err := m.Write()
	if err != nil {
		t.Fatal(err)
	}
	got, err := schema.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, got) {
		t.Errorf("wrote %+v\nread  %+v", m, got)
	}
}

func TestBuffersAreAligned(t *testing.T) {
	m := everything()
	marks := [][]byte{[]byte("mark one, of odd length"), []byte("mark two"), []byte("mark three, and so on!")}
	m.Buffers = append(m.Buffers, marks...)
	data, err := m.Write()
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range marks {
		if at := bytes.Index(data, mark); at < 0 || at%16 != 0 {
			t.Errorf("%q lies at %d, want a multiple of 16", mark, at)
		}
	}
}

// damaged are files that must be refused, with words of the error.
func damaged(t testing.TB) map[string][]byte {
	t.Helper()
	whole, err := everything().Write()
	if err != nil {
		t.Fatal(err)
	}
	// A model whose buffers are a hundred thousand times the same one.
	const many = 100000
	loop := append([]byte{24, 0, 0, 0}, "TFL3"...)
	loop = append(loop, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0) // at 8: 14 bytes, tables of 8; slot 4 at byte 4
	loop = append(loop, 16, 0, 0, 0, 4, 0, 0, 0)                         // at 24: the model, its buffers 4 bytes on
	loop = binary.LittleEndian.AppendUint32(loop, many)                  // at 32
	for i := range many {
		loop = binary.LittleEndian.AppendUint32(loop, uint32(4*(many-i)+4))
	}
	loop = append(loop, 4, 0, 4, 0) // a list of no fields
	loop = append(loop, 4, 0, 0, 0) // the empty table
	return map[string][]byte{
		"no TensorFlow Lite file":       []byte("PK\x03\x04 a zip file"),
		"lies outside of the file":      append([]byte{0xff, 0xff, 0xff, 0x7f}, whole[4:]...),
		"damaged or too new":            whole[:len(whole)-24],
		"more than 65536 tables":        loop,
		"is no TensorFlow Lite file":    nil,
		"damaged or too new: table Mod": append([]byte{4, 0, 0, 0}, whole[4:]...),
	}
}

func TestDamagedFilesAreRefused(t *testing.T) {
	for want, data := range damaged(t) {
		if _, err := schema.Read(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes gave %v, want an error with %q", len(data), err, want)
		}
	}
}

// TestEveryTruncation has no answer to check but that there is one: what is cut
// off may be the padding.
func TestEveryTruncation(t *testing.T) {
	whole, err := everything().Write()
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for n := range whole {
		if _, err := schema.Read(whole[:n]); err != nil {
			refused++
		}
	}
	if refused < len(whole)-64 {
		t.Errorf("of %d truncated files only %d were refused", len(whole), refused)
	}
}

func TestWhatIsNotUnderstoodIsNotLost(t *testing.T) {
	m := everything()
	m.Graphs[0].Nodes[0].Options.Union = 200
	if _, err := m.Write(); err == nil || !strings.Contains(err.Error(), "operator 0 has options of type 200") {
		t.Errorf("unknown options gave %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, data := range damaged(f) {
		if len(data) < 1<<16 { // large seeds make slow fuzzing
			f.Add(data)
		}
	}
	whole, err := everything().Write()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(smallmodel.Classifier(smallmodel.Options{Type: smallmodel.UInt8, Side: 8, Channels: 8, Layers: 2}))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := schema.Read(data)
		if err != nil {
			return
		}
		again, err := m.Write()
		if err != nil {
			return // options that are not known
		}
		// Numbers that are NaN differ from themselves: the bytes tell.
		twice, err := schema.Read(again)
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		third, err := twice.Write()
		if err != nil || !bytes.Equal(again, third) {
			t.Fatalf("what was read is written otherwise: %v", err)
		}
	})
}
