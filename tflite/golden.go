package tflite

import (
	"fmt"

	"github.com/egret-edge/egret/sensors/pixel"
)

// RunGolden runs a bundle's golden samples on its loaded model and returns how
// many there are. The error names the first that the model gets wrong: a
// flipped bit in the weights is seen by nothing else.
func RunGolden(m *Model, b *Bundle) (int, error) {
	var scaler pixel.Scaler
	var out Output
	w, h := m.InputSize()
	rgb := make([]byte, w*h*3)
	for _, g := range b.Manifest.Golden {
		path, err := b.inside(g.Image)
		if err != nil {
			return 0, err
		}
		data, err := readLimited(path, pixel.MaxBytes)
		if err != nil {
			return 0, fmt.Errorf("golden sample: %w", err)
		}
		if err := scaler.RGB(rgb, w, h, pixel.Image{Format: pixel.Sniff(data), Data: data}); err != nil {
			return 0, fmt.Errorf("golden sample %s: %w", path, err)
		}
		if err := m.Predict(rgb, &out); err != nil {
			return 0, fmt.Errorf("golden sample %s: %w", path, err)
		}
		for _, want := range g.Expect {
			if !want.in(out.Results) {
				return 0, fmt.Errorf("golden sample %s: model %s does not see %q with a score of %v: is the model file damaged?", path, b.Name, want.Label, want.MinScore)
			}
		}
	}
	return len(b.Manifest.Golden), nil
}

func (e Expect) in(results []Result) bool {
	for _, r := range results {
		if r.Label == e.Label && float64(r.Score) >= e.MinScore {
			return true
		}
	}
	return false
}
