// Package smallmodel makes TensorFlow Lite models for tests: image classifiers
// of a few hundred kilobytes in the types that a downloaded model may have, so
// that a test of int8 needs no download.
//
// The default one takes 80 kB and some 10 ms an Invoke on a core of 2022 with
// TensorFlow Lite 2.9's own kernels; XNNPACK is about five times as fast.
//
// A model tells which corner of the colour cube a picture's mean colour is
// nearest to: red, green, blue, … . That is not learnt but built into the
// weights, so its answers are known without running it; see network.go. It is
// for tests only, and it says nothing about how well real models do.
package smallmodel

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
)

// Type is the type of a model's tensors.
type Type int

// The types.
const (
	// Int8 is today's quantization: weights symmetric, with a scale for each
	// output channel.
	Int8 Type = iota
	// UInt8 is the older one: a scale and a zero point for the whole tensor.
	UInt8
	Float32
)

// Options of a generated model. A zero field means its default.
type Options struct {
	// Side of the square picture in pixels: 96, or another multiple of 4 from
	// 8 to 1024.
	Side int
	// Channels between the layers: 64, or another number from 8 to 1024.
	Channels int
	// Layers is the number of convolutions before the classes are told apart:
	// 6, or another number from 2 to 64.
	Layers int
	// Classes: 8, one for each corner of the colour cube, or another number
	// from 2 to 10000. Those beyond 8 are never the answer.
	Classes int
	Type    Type
	// Seed of the weights that do not matter for the answer.
	Seed uint64
}

// corner is a corner of the colour cube: ±1 for each of R, G and B.
type corner struct {
	name string
	rgb  [3]float32
}

var corners = []corner{
	{"red", [3]float32{1, -1, -1}},
	{"green", [3]float32{-1, 1, -1}},
	{"blue", [3]float32{-1, -1, 1}},
	{"yellow", [3]float32{1, 1, -1}},
	{"cyan", [3]float32{-1, 1, 1}},
	{"magenta", [3]float32{1, -1, 1}},
	{"white", [3]float32{1, 1, 1}},
	{"black", [3]float32{-1, -1, -1}},
}

// complete fills in the defaults and checks the rest.
func (o Options) complete() (Options, error) {
	for _, f := range []struct {
		name        string
		v           *int
		def, lo, hi int
		multiple    int
	}{
		{"Side", &o.Side, 96, 8, 1024, 4},
		{"Channels", &o.Channels, 64, 8, 1024, 1},
		{"Layers", &o.Layers, 6, 2, 64, 1},
		{"Classes", &o.Classes, len(corners), 2, 10000, 1},
	} {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < f.lo || *f.v > f.hi || *f.v%f.multiple != 0 {
			return o, fmt.Errorf("smallmodel: %s: %d is not a multiple of %d from %d to %d", f.name, *f.v, f.multiple, f.lo, f.hi)
		}
	}
	if o.Type < Int8 || o.Type > Float32 {
		return o, fmt.Errorf("smallmodel: Type: %d is not known: Int8, UInt8 or Float32", o.Type)
	}
	return o, nil
}

// Classifier is a model file's bytes, the same for the same options. Options
// out of their range are a mistake in the test: Classifier panics.
func Classifier(o Options) []byte {
	o, err := o.complete()
	if err != nil {
		panic(err)
	}
	return classifier(o)
}

// Label is the name of a class.
func Label(class int) string {
	if class < len(corners) {
		return corners[class].name
	}
	return fmt.Sprintf("class %d", class)
}

// Picture is a picture of a class below 8, side pixels wide and high: shades of
// its colour, because a flat one would hide pixels in the wrong place.
func Picture(class, side int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	shade := func(sign float32, off int) uint8 {
		if sign > 0 {
			return uint8(255 - off)
		}
		return uint8(off)
	}
	c := corners[class].rgb
	for y := range side {
		for x := range side {
			img.SetRGBA(x, y, color.RGBA{shade(c[0], 40*x/side), shade(c[1], 40*y/side), shade(c[2], (x*7+y*13)%40), 255})
		}
	}
	return img
}

// golden is the class of a bundle's golden sample.
const golden = 0

// WriteBundle writes a bundle into dir, which it makes: model.tflite,
// labels.txt, and model.yaml with a golden sample that the model gets right.
func WriteBundle(dir string, o Options) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	var sample bytes.Buffer
	if err := png.Encode(&sample, Picture(golden, o.Side)); err != nil {
		return fmt.Errorf("smallmodel: encode the golden sample: %w", err)
	}
	labels := make([]string, o.Classes)
	for i := range labels {
		labels[i] = Label(i)
	}
	manifest := fmt.Sprintf(`description: generated for tests; tells colours apart
task: classify
golden:
  - image: golden/sample.png
    expect:
      - {label: %s, min_score: 0.8}
`, Label(golden))
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"model.tflite", classifier(o)},
		{"labels.txt", []byte(strings.Join(labels, "\n") + "\n")},
		{"model.yaml", []byte(manifest)},
		{"golden/sample.png", sample.Bytes()},
	} {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("smallmodel: write bundle: %w", err)
		}
		if err := os.WriteFile(path, f.data, 0o644); err != nil {
			return fmt.Errorf("smallmodel: write bundle: %w", err)
		}
	}
	return nil
}
