//go:build cgo

package requant_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite"
	"github.com/egret-edge/egret/tflite/requant"
)

// sketches is the number of random models; pictures what each is shown.
const (
	sketches = 300
	pictures = 4
)

// loaded runs a model file with the real library.
func loaded(t *testing.T, data []byte, delegate string) (*tflite.Model, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.tflite")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := tflite.OpenBundle(path)
	if err != nil {
		return nil, err
	}
	m, err := tflite.Load(b, tflite.Options{Delegate: delegate})
	if err == nil {
		t.Cleanup(func() { _ = m.Close() })
	}
	return m, err
}

// answer is the output's bytes for an input.
func answer(t *testing.T, m *tflite.Model, input []byte) []byte {
	t.Helper()
	out := tflite.Output{Raw: true}
	if err := m.Predict(input, &out); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(out.Tensors[0])
}

func flipped(b []byte) []byte {
	out := make([]byte, len(b))
	for i, v := range b {
		out[i] = v ^ 0x80
	}
	return out
}

func furthest(a, b []byte) (most int) {
	for i := range a {
		most = max(most, int(a[i])-int(b[i]), int(b[i])-int(a[i]))
	}
	return most
}

// inputs are noise of different kinds: all values, few, extremes.
func inputs(n int, seed uint64) [][]byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	var all [][]byte
	for k := range pictures {
		in := make([]byte, n)
		for i := range in {
			switch k {
			case 0:
				in[i] = byte(rng.IntN(256))
			case 1:
				in[i] = byte(255 * rng.IntN(2))
			case 2:
				in[i] = byte(118 + rng.IntN(20))
			default:
				in[i] = byte(i * 255 / n)
			}
		}
		all = append(all, in)
	}
	return all
}

// TestSketchesKeepTheirBound converts random models and holds what the library
// computes with them against the bound that was derived.
func TestSketchesKeepTheirBound(t *testing.T) {
	tight, fast, equal, shown := 0, 0, 0, 0
	var did requant.Report
	for seed := range uint64(sketches) {
		model, steps := random(seed)
		data, err := model.Write()
		if err != nil {
			t.Fatal(err)
		}
		original, err := loaded(t, data, tflite.CPU)
		if err != nil {
			t.Fatalf("seed %d, %v: the original: %v", seed, steps, err)
		}
		m, err := requant.Read(data)
		if err != nil {
			t.Fatal(err)
		}
		bordered, report, err := m.Int8(requant.Options{})
		if err != nil {
			t.Fatalf("seed %d, %v: %v", seed, steps, err)
		}
		native, _, err := m.Int8(requant.Options{NativeBorder: true})
		if err != nil {
			t.Fatal(err)
		}
		did.Rescaled += report.Rescaled
		did.Retargeted += report.Retargeted
		did.Lowered += report.Lowered
		did.Quantize += report.Quantize - 2 // those of the border
		bound := 255.0
		if b := report.Outputs[0].Bound; b != nil {
			bound = *b
		}
		if bound <= 8 {
			tight++
		}
		for _, delegate := range []string{tflite.CPU, tflite.XNNPACK} {
			one, err := loaded(t, bordered, delegate)
			two, err2 := loaded(t, native, delegate)
			if delegate == tflite.XNNPACK && err != nil {
				t.Logf("seed %d, %v: %v", seed, steps, err)
				continue // kernels that take no such scale; counted below
			}
			if err != nil || err2 != nil {
				t.Fatalf("seed %d, %v: %v, %v", seed, steps, err, err2)
			}
			if delegate == tflite.XNNPACK {
				fast++
			}
			for _, in := range inputs(side*side*3, seed) {
				want, got := answer(t, original, in), answer(t, one, in)
				if d := furthest(want, got); float64(d) > bound {
					t.Errorf("seed %d on %s, %v: off by %d, the bound is %v", seed, delegate, steps, d, bound)
				} else if d == 0 {
					equal++
				}
				shown++
				if d := furthest(got, flipped(answer(t, two, flipped(in)))); d > 0 {
					t.Errorf("seed %d on %s, %v: with a border of int8 off by %d from that of uint8", seed, delegate, steps, d)
				}
			}
		}
	}
	t.Logf("%d models: %d with a bound of at most 8, %d on XNNPACK; %d of %d answers equal to the byte", sketches, tight, fast, equal, shown)
	if tight < sketches/4 || fast < sketches*9/10 {
		t.Errorf("of %d models %d had a bound of at most 8 and %d ran on XNNPACK: this test says too little", sketches, tight, fast)
	}
	if did.Rescaled == 0 || did.Retargeted == 0 || did.Lowered == 0 || did.Quantize == 0 {
		t.Errorf("the models never needed something: %+v", did)
	}
	if equal < shown/4 {
		t.Errorf("only %d of %d answers are equal to the byte", equal, shown)
	}
}

// TestClearAnswersStay converts a classifier whose answers are known and clear.
func TestClearAnswersStay(t *testing.T) {
	for name, convert := range map[string]func(*requant.Model, requant.Options) ([]byte, requant.Report, error){
		"int8": (*requant.Model).Int8, "float32": (*requant.Model).Float32,
	} {
		for _, native := range []bool{false, true} {
			dir := filepath.Join(t.TempDir(), "small")
			if err := smallmodel.WriteBundle(dir, smallmodel.Options{Type: smallmodel.UInt8, Side: 32}); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "model.tflite")
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := requant.Read(data)
			if err != nil {
				t.Fatal(err)
			}
			converted, _, err := convert(m, requant.Options{NativeBorder: native})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, converted, 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := tflite.OpenBundle(dir)
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := tflite.Load(b, tflite.Options{Delegate: tflite.XNNPACK})
			if err != nil {
				t.Fatal(err)
			}
			want := "uint8"
			if native {
				want = name
			}
			if n, err := tflite.RunGolden(loaded, b); n != 1 || err != nil || loaded.Info().Inputs[0].Type != want {
				t.Errorf("%s: input %s, %d golden samples right, %v", name, loaded.Info().Inputs[0], n, err)
			}
			if err := loaded.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestSketchesAsFloats has no bound to hold: uint8's limits cut off what
// floats let through. Where the original stays within its limits they agree.
func TestSketchesAsFloats(t *testing.T) {
	close, shown := 0, 0
	for seed := range uint64(sketches / 3) {
		model, steps := random(seed)
		data, err := model.Write()
		if err != nil {
			t.Fatal(err)
		}
		m, err := requant.Read(data)
		if err != nil {
			t.Fatal(err)
		}
		converted, _, err := m.Float32(requant.Options{})
		if err != nil && strings.Contains(err.Error(), "limits supplied") {
			continue
		}
		if err != nil {
			t.Fatalf("seed %d, %v: %v", seed, steps, err)
		}
		original, err := loaded(t, data, tflite.CPU)
		if err != nil {
			t.Fatal(err)
		}
		other, err := loaded(t, converted, tflite.CPU)
		if err != nil {
			t.Fatalf("seed %d, %v: %v", seed, steps, err)
		}
		for _, in := range inputs(side*side*3, seed) {
			if shown++; furthest(answer(t, original, in), answer(t, other, in)) <= 4 {
				close++
			}
		}
	}
	if t.Logf("%d of %d answers within 4 units", close, shown); close < shown/4 {
		t.Errorf("only %d of %d answers are within 4 units of the original's", close, shown)
	}
}
