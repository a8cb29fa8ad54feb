package requant_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/egret-edge/egret/tflite/requant"
	"github.com/egret-edge/egret/tflite/schema"
)

// odd are numbers that break what is not careful.
var odd = []int32{-1, 0, 1, 2, 3, 7, 255, 256, -128, 1 << 24, math.MaxInt32, math.MinInt32}

// damage changes one number of a model, as a mutation of the bytes does that
// leaves the FlatBuffer whole, which few do.
func damage(m *schema.Model, rng *rand.Rand) {
	g := &m.Graphs[0]
	t, n := &g.Tensors[rng.IntN(len(g.Tensors))], &g.Nodes[rng.IntN(len(g.Nodes))]
	v := odd[rng.IntN(len(odd))]
	if rng.IntN(2) == 0 {
		v = int32(rng.IntN(len(g.Tensors)))
	}
	switch rng.IntN(12) {
	case 0:
		t.Buffer = uint32(v)
	case 1:
		t.Type = schema.Type(rng.IntN(12))
	case 2:
		if len(t.Shape) > 0 {
			t.Shape[rng.IntN(len(t.Shape))] = v
		}
	case 3:
		t.Shape = t.Shape[:rng.IntN(len(t.Shape)+1)]
	case 4:
		t.Quant = nil
	case 5:
		t.Quant = quantized([]float64{0, -1, math.NaN(), math.Inf(1), math.MaxFloat32, math.SmallestNonzeroFloat32}[rng.IntN(6)], int(v))
	case 6:
		if len(n.Inputs) > 0 {
			n.Inputs[rng.IntN(len(n.Inputs))] = v
		}
	case 7:
		n.Outputs[0] = v
	case 8:
		n.Inputs = n.Inputs[:rng.IntN(len(n.Inputs)+1)]
	case 9:
		n.Code = uint32(rng.IntN(len(m.Codes)))
	case 10:
		m.Codes[rng.IntN(len(m.Codes))].Builtin = schema.Operator(rng.IntN(45))
	default:
		n.Options = schema.NewOptions([]schema.Union{schema.NoOptions, schema.Conv2DOptions, schema.SoftmaxOptions, schema.AddOptions}[rng.IntN(4)])
	}
}

// TestDamagedModelsAreRefusedOrWhole damages random models: what is still
// converted hangs together, what is not is refused with a reason.
func TestDamagedModelsAreRefusedOrWhole(t *testing.T) {
	refused, kept := 0, 0
	for seed := range uint64(3000) {
		model, _ := random(seed % 100)
		rng := rand.New(rand.NewPCG(seed, 5))
		for range 1 + rng.IntN(2) {
			damage(model, rng)
		}
		m, err := requant.Read(written(t, model))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, convert := range []func(requant.Options) ([]byte, requant.Report, error){m.Int8, m.Float32} {
			out, _, err := convert(requant.Options{NativeBorder: seed%2 == 0})
			var r *requant.Refusal
			switch {
			case err == nil:
				kept++
				check(t, read(t, out))
			case errors.As(err, &r) && r.Reason != "" && (r.Index < 0) == (r.Operator == ""):
				refused++
			default:
				t.Errorf("seed %d: %v", seed, err)
			}
		}
	}
	if t.Logf("%d refused, %d converted", refused, kept); refused < 1000 || kept < 500 {
		t.Errorf("%d were refused and %d converted: this test says too little", refused, kept)
	}
}
