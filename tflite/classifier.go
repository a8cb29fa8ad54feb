package tflite

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// classifier decodes one score per class.
type classifier struct {
	labels    []string
	topK      int
	threshold float32
	logits    bool
	declared  bool          // the manifest says which: the range is not asked
	table     *[256]float32 // the real value of each byte of a quantized output
	scores    []float32
}

func newClassifier(b *Bundle, outputs []TensorInfo, topK int, threshold float32) (*classifier, error) {
	if len(outputs) != 1 {
		return nil, fmt.Errorf("it has %d outputs, a classifier has one", len(outputs))
	}
	out := outputs[0]
	n := out.elements()
	if out.byteSize() == 0 || n < 1 || n > maxLabels || len(out.Shape) == 0 || out.Shape[len(out.Shape)-1] != n {
		return nil, fmt.Errorf("its output %s is not one score per class: want uint8, int8 or float32 of shape [1 classes]", out)
	}
	if out.byteSize() == 1 && !(out.Scale > 0 && out.Scale < math.MaxFloat32) {
		return nil, fmt.Errorf("its output %s says no scale for its scores: convert it with quantization parameters", out)
	}
	if b.Labels != nil && len(b.Labels) != n {
		hint := "are they another model's?"
		if d := n - len(b.Labels); d == 1 {
			hint = `does the model have a background class 0? then put a first line "background" into the labels`
		} else if d == -1 {
			hint = "is there a background line too many?"
		}
		return nil, fmt.Errorf("%d labels do not fit the output's %d classes: %s", len(b.Labels), n, hint)
	}
	c := &classifier{labels: labelsOrNumbers(b.Labels, n), topK: min(topK, n), threshold: threshold, scores: make([]float32, n)}
	c.declared, c.logits = b.Manifest.Scores != "", b.Manifest.Scores == "logits"
	if out.byteSize() == 1 {
		c.table = new([256]float32)
		v := tensorView{TensorInfo: out, data: make([]byte, 1)}
		for i := range c.table {
			v.data[0] = byte(i)
			c.table[i] = v.float(0)
		}
		// A quantized softmax or sigmoid has the range 0 to 1, which is what
		// its scale says: 1/256. Anything else is logits.
		if lo, hi := slices.Min(c.table[:]), slices.Max(c.table[:]); !c.declared {
			c.logits = lo < -0.01 || hi > 1.01
		}
	}
	return c, nil
}

// labelsOrNumbers are the labels, or the numbers themselves when there are
// none.
func labelsOrNumbers(labels []string, n int) []string {
	if labels != nil {
		return labels
	}
	numbers := make([]string, n)
	for i := range numbers {
		numbers[i] = strconv.Itoa(i)
	}
	return numbers
}

func (c *classifier) decode(outputs []tensorView, results []Result) ([]Result, error) {
	out := &outputs[0]
	if c.table != nil {
		for i := range c.scores {
			c.scores[i] = c.table[out.data[i]]
		}
	} else {
		for i := range c.scores {
			v := out.float(i)
			c.scores[i] = v
			// Logits show themselves by their range, once and for all. Scores
			// within it that do not add up to 1 are independent ones.
			if finite(v) && (v < -0.01 || v > 1.01) && !c.declared {
				c.logits = true
			}
		}
	}
	if c.logits {
		probabilities(c.scores)
	}
	results = slices.Grow(results[:0], c.topK)
	for i, s := range c.scores {
		if !(s >= c.threshold) || !finite(s) { // NaN is no score either
			continue
		}
		results = insert(results, Result{Index: i, Label: c.labels[i], Score: min(max(s, 0), 1)}, c.topK)
	}
	return results, nil
}

// probabilities replaces logits: by their softmax or, for a single one, by its
// sigmoid. What is not finite takes no part and becomes NaN.
func probabilities(v []float32) {
	if len(v) == 1 {
		v[0] = float32(1 / (1 + math.Exp(-float64(v[0]))))
		return
	}
	highest := float32(-math.MaxFloat32)
	for _, x := range v {
		if finite(x) {
			highest = max(highest, x)
		}
	}
	sum := float32(0)
	for i, x := range v {
		if !finite(x) {
			v[i] = float32(math.NaN())
			continue
		}
		v[i] = float32(math.Exp(float64(x - highest)))
		sum += v[i]
	}
	for i := range v {
		v[i] /= sum
	}
}
