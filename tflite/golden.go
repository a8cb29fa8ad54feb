package tflite

import (
	"fmt"
	"strconv"

	"github.com/egret-edge/egret/sensors/pixel"
)

// RunGolden runs a bundle's golden samples on its loaded model and returns how
// many there are. The error names the first that the model gets wrong: a
// flipped bit in the weights is seen by nothing else. The samples are judged by
// the manifest alone: the threshold and top-k that the model was loaded with
// are a user's wishes, not the model's health. A conversion's scores may be lower
// by goldenTolerance.
func RunGolden(m *Model, b *Bundle) (int, error) {
	if len(b.Manifest.Golden) == 0 {
		return 0, nil
	}
	dec, _, err := newDecoder(b, m.Info().Outputs, Options{TopK: maxTopK, Threshold: new(float64)})
	if err != nil {
		return 0, fmt.Errorf("golden samples of model %s: %w", b.Name, err)
	}
	tolerance, hint := 0.0, ": is the model file damaged?"
	if b.Converted != "" {
		tolerance, hint = goldenTolerance, ", less "+strconv.FormatFloat(goldenTolerance, 'g', -1, 64)+", when it is converted to "+b.Converted
	}
	var scaler pixel.Scaler
	var out Output
	defer scaler.Close()
	target := m.Target()
	tensor := make([]byte, target.Bytes())
	for _, g := range b.Manifest.Golden {
		path, err := b.inside(g.Image)
		if err != nil {
			return 0, err
		}
		data, err := readLimited(path, pixel.MaxBytes)
		if err != nil {
			return 0, fmt.Errorf("golden sample: %w", err)
		}
		if _, err := scaler.Tensor(tensor, &target, pixel.Image{Format: pixel.Sniff(data), Data: data}); err != nil {
			return 0, fmt.Errorf("golden sample %s: %w", path, err)
		}
		if err := m.predict(tensor, &out, dec); err != nil {
			return 0, fmt.Errorf("golden sample %s: %w", path, err)
		}
		for _, want := range g.Expect {
			if !want.in(out.Results, tolerance) {
				return 0, fmt.Errorf("golden sample %s: model %s does not see %s with a score of %v or more%s", path, b.Name, want.name(), want.MinScore, hint)
			}
		}
	}
	return len(b.Manifest.Golden), nil
}

// goldenTolerance is how much less than a sample's score a conversion of the
// model may give: weights that were rounded anew shift scores a little
// (docs/CONVERSION.md), a damaged model by far more.
const goldenTolerance = 0.05

func (e Expect) in(results []Result, tolerance float64) bool {
	for _, r := range results {
		if e.matches(r) && float64(r.Score) >= e.MinScore-tolerance {
			return true
		}
	}
	return false
}

func (e Expect) matches(r Result) bool {
	if e.Index != nil {
		return r.Index == *e.Index
	}
	return r.Label == e.Label
}

func (e Expect) name() string {
	if e.Index != nil {
		return fmt.Sprintf("class %d", *e.Index)
	}
	return strconv.Quote(e.Label)
}
