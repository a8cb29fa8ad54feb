//go:build cgo

package smallmodel_test

import (
	"bytes"
	"fmt"
	"image"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite"
)

// load writes a bundle and loads it with the real library.
func load(t testing.TB, o smallmodel.Options) (*tflite.Model, *tflite.Bundle) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "small", "1")
	if err := smallmodel.WriteBundle(dir, o); err != nil {
		t.Fatal(err)
	}
	b, err := tflite.OpenBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	m, err := tflite.Load(b, tflite.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if logged.Len() > 0 {
		t.Errorf("the model is odd: %s", logged.Bytes())
	}
	return m, b
}

// best is the label of the best result for packed pixels.
func best(t testing.TB, m *tflite.Model, rgb []byte) string {
	t.Helper()
	target := m.Target()
	tensor := make([]byte, target.Bytes())
	var s pixel.Scaler
	defer s.Close()
	if _, err := s.Tensor(tensor, &target, pixel.Image{Format: pixel.RGB24, Width: target.Width, Height: target.Height, Data: rgb}); err != nil {
		t.Fatal(err)
	}
	var out tflite.Output
	if err := m.Predict(tensor, &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Results) == 0 {
		return "nothing"
	}
	return out.Results[0].Label
}

func packed(img image.Image) []byte {
	var rgb []byte
	r := img.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			r, g, b, _ := img.At(x, y).RGBA()
			rgb = append(rgb, byte(r>>8), byte(g>>8), byte(b>>8))
		}
	}
	return rgb
}

// flat is n pixels of one colour.
func flat(n int, r, g, b byte) []byte { return bytes.Repeat([]byte{r, g, b}, n) }

func TestModelsAreOfTheirType(t *testing.T) {
	for name, typ := range types {
		m, _ := load(t, smallmodel.Options{Type: typ})
		in, out := m.Info().Inputs[0], m.Info().Outputs[0]
		if in.Type != name || out.Type != name || fmt.Sprint(in.Shape) != "[1 96 96 3]" || fmt.Sprint(out.Shape) != "[1 8]" {
			t.Errorf("%s: input %s, output %s", name, in, out)
		}
		if name == "int8" && (out.Scale != 1.0/256 || out.ZeroPoint != -128) {
			t.Errorf("int8 scores have scale %v and zero point %d, want 1/256 and -128", out.Scale, out.ZeroPoint)
		}
	}
}

func TestSeesColours(t *testing.T) {
	for name, typ := range types {
		for _, o := range []smallmodel.Options{
			{},
			{Seed: 1},
			{Side: 8, Channels: 8, Layers: 2},
			{Side: 44, Channels: 30, Layers: 10, Classes: 3},
			{Side: 32, Classes: 1001, Seed: 2},
		} {
			o.Type = typ
			t.Run(fmt.Sprintf("%s/%+v", name, o), func(t *testing.T) {
				m, b := load(t, o)
				if n, err := tflite.RunGolden(m, b); n != 1 || err != nil {
					t.Errorf("%d golden samples right, %v", n, err)
				}
				side := m.Target().Width
				for class := range min(len(b.Labels), 8) {
					want := smallmodel.Label(class)
					if got := best(t, m, packed(smallmodel.Picture(class, side))); got != want || b.Labels[class] != want {
						t.Errorf("a picture of %s is seen as %s", want, got)
					}
				}
				for want, rgb := range map[string][]byte{
					"red": flat(side*side, 220, 20, 30), "green": flat(side*side, 10, 200, 40), "blue": flat(side*side, 0, 0, 255),
				} {
					if got := best(t, m, rgb); got != want {
						t.Errorf("plain %s is seen as %s", want, got)
					}
				}
			})
		}
	}
}

// TestOnlyTheMeanColourMatters shows noise whose mean is clear: what is built
// into the weights must hold for pictures that look like nothing.
func TestOnlyTheMeanColourMatters(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, typ := range types {
		m, _ := load(t, smallmodel.Options{Type: typ, Side: 48, Seed: 3})
		for range 20 {
			corner := rng.IntN(8)
			rgb := make([]byte, 48*48*3)
			for i := range rgb {
				// Three of four values are the corner's, the others the opposite.
				high := corner>>(i%3)&1 == 1
				if high == (rng.IntN(4) != 0) {
					rgb[i] = 255 - byte(rng.IntN(16))
				} else {
					rgb[i] = byte(rng.IntN(16))
				}
			}
			// Bits 0, 1 and 2 are R, G and B.
			want := []string{"black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"}[corner]
			if got := best(t, m, rgb); got != want {
				t.Errorf("%s: noise that is %s in the mean is seen as %s", name, want, got)
			}
		}
	}
}
