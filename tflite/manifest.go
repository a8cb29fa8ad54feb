package tflite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/egret-edge/egret/sensors/pixel"
)

// Task is what a model does.
type Task string

// The tasks.
const (
	Classify Task = "classify"
	Detect   Task = "detect"
)

// Manifest is a bundle's model.yaml. Every field may be left out: what is
// missing is inferred from the model's tensors.
type Manifest struct {
	Description string `yaml:"description"`
	License     string `yaml:"license"`
	Source      string `yaml:"source"`

	Task Task `yaml:"task"`
	// Labels names the labels file in the bundle; labels.txt without.
	Labels string `yaml:"labels"`
	// LabelOffset is added to a detection's class to find its label. Without,
	// it is 1 when the first label is a background ("???", "background") and
	// 0 otherwise.
	LabelOffset *int `yaml:"label_offset"`
	// Input says how the model was trained to see pixels.
	Input Input `yaml:"input"`
	// Scores says whether a classifier gives "probabilities" or "logits".
	// Without, the output's range tells.
	Scores string `yaml:"scores"`
	// TopK and Threshold are the defaults for results.
	TopK      int      `yaml:"top_k"`
	Threshold *float64 `yaml:"threshold"`
	// Golden are samples that a healthy model must get right.
	Golden []Golden `yaml:"golden"`
}

// Input is how a frame becomes the model's input. A pixel of 0 to 255 becomes
// the real value (pixel − Mean) / Std, by channel R, G, B; one value serves all
// three.
type Input struct {
	Mean []float64 `yaml:"mean"`
	Std  []float64 `yaml:"std"`
	// Fit is "stretch" (also when empty), "crop" or "letterbox".
	Fit string `yaml:"fit"`
}

// Golden is a picture in the bundle and what the model must see in it.
type Golden struct {
	Image  string   `yaml:"image"`
	Expect []Expect `yaml:"expect"`
}

// Expect is a result that must be there: by its label or, for a model without
// labels, by its index.
type Expect struct {
	Label    string  `yaml:"label"`
	Index    *int    `yaml:"index"`
	MinScore float64 `yaml:"min_score"`
}

// readManifest reads a model.yaml; a missing one is an empty one.
func readManifest(path string) (Manifest, error) {
	data, err := readLimited(path, maxManifestBytes)
	if errors.Is(err, os.ErrNotExist) {
		return Manifest{}, nil
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("read model manifest: %w", err)
	}
	m, err := ParseManifest(data)
	if err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// ParseManifest reads the text of a model.yaml. An unknown key is an error that
// names its line.
func ParseManifest(data []byte) (Manifest, error) {
	var m Manifest
	if len(data) > maxManifestBytes {
		return m, fmt.Errorf("%w: more than %d KiB", errTooLarge, maxManifestBytes>>10)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&m); err != nil && !errors.Is(err, io.EOF) {
		return m, errors.New(strings.Join(strings.Fields(err.Error()), " ")) // the decoder breaks lines
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return m, errors.New("text after the end of the manifest: it is one YAML document")
	}
	return m, m.validate()
}

func (m Manifest) validate() error {
	switch {
	case m.Task != "" && m.Task != Classify && m.Task != Detect:
		return fmt.Errorf("task: %q is not known: classify or detect", m.Task)
	case m.Scores != "" && m.Scores != "probabilities" && m.Scores != "logits":
		return fmt.Errorf("scores: %q is not known: probabilities or logits", m.Scores)
	case m.TopK < 0 || m.TopK > 1000:
		return fmt.Errorf("top_k: %d is not from 1 to 1000", m.TopK)
	case m.Threshold != nil && !(*m.Threshold >= 0 && *m.Threshold <= 1):
		return fmt.Errorf("threshold: %v is not from 0 to 1", *m.Threshold)
	case m.LabelOffset != nil && (*m.LabelOffset < -1 || *m.LabelOffset > 1):
		return fmt.Errorf("label_offset: %d is not from -1 to 1", *m.LabelOffset)
	}
	for i, g := range m.Golden {
		if err := g.validate(); err != nil {
			return fmt.Errorf("golden[%d].%w", i, err)
		}
	}
	return m.Input.validate()
}

func (g Golden) validate() error {
	if g.Image == "" || len(g.Expect) == 0 {
		return errors.New("image and expect: a golden sample needs both")
	}
	for i, e := range g.Expect {
		if (e.Label == "") == (e.Index == nil) {
			return fmt.Errorf("expect[%d]: give either label or index", i)
		}
		if !(e.MinScore >= 0 && e.MinScore <= 1) {
			return fmt.Errorf("expect[%d].min_score: %v is not from 0 to 1", i, e.MinScore)
		}
	}
	return nil
}

func (n Input) validate() error {
	if _, err := pixel.ParseFit(n.Fit); n.Fit != "" && err != nil {
		return fmt.Errorf("input.fit: %w", err)
	}
	if len(n.Mean) != len(n.Std) || (len(n.Mean) != 0 && len(n.Mean) != 1 && len(n.Mean) != 3) {
		return fmt.Errorf("input: %d means and %d stds: give one of each, or three", len(n.Mean), len(n.Std))
	}
	// Half floats bound the range: what lies outside is a typing error.
	for i, s := range n.Std {
		if !(s > 1e-4 && s < 65504) {
			return fmt.Errorf("input: std %v is not greater than 0 and below 65504", s)
		}
		if !(math.Abs(n.Mean[i]) < 65504) {
			return fmt.Errorf("input: mean %v is not within ±65504", n.Mean[i])
		}
	}
	return nil
}
