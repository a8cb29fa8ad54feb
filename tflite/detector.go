package tflite

import (
	"fmt"
	"slices"
	"strconv"
)

// detector decodes the four outputs of TFLite_Detection_PostProcess
// (tensorflow/lite/kernels/detection_postprocess.cc): boxes [1 N 4] as ymin,
// xmin, ymax, xmax; classes [1 N]; scores [1 N]; the number of valid ones [1].
type detector struct {
	labels    []string
	offset    int
	topK      int
	threshold float32
	numbers   map[int]string // names of classes without labels, made once each
	// The positions of the outputs.
	boxes, classes, scores, count int
}

func newDetector(b *Bundle, outputs []TensorInfo, topK int, threshold float32) (*detector, error) {
	d := &detector{labels: b.Labels, numbers: map[int]string{}, topK: topK, threshold: threshold, boxes: 0, classes: 1, scores: 2, count: 3}
	if len(outputs) != 4 {
		return nil, fmt.Errorf("it has %d outputs, a detector with TFLite_Detection_PostProcess has 4", len(outputs))
	}
	if len(outputs[1].Shape) == 3 {
		// TensorFlow 2's exporter puts them in the order scores, boxes, count,
		// classes.
		d.scores, d.boxes, d.count, d.classes = 0, 1, 2, 3
	}
	n := 0
	if s := outputs[d.boxes].Shape; len(s) == 3 && s[2] == 4 {
		n = s[1]
	}
	d.topK = min(topK, max(n, 1))
	ok := n > 0 && outputs[d.classes].elements() == n && outputs[d.scores].elements() == n && outputs[d.count].elements() == 1
	for _, out := range outputs {
		ok = ok && out.Type == "float32"
	}
	if !ok {
		return nil, fmt.Errorf("its outputs %v are not those of TFLite_Detection_PostProcess: boxes [1 N 4], classes [1 N], scores [1 N] and count [1] in float32", outputs)
	}
	switch {
	case b.Manifest.LabelOffset != nil:
		d.offset = *b.Manifest.LabelOffset
	case len(b.Labels) > 0 && background(b.Labels[0]):
		d.offset = 1
	}
	return d, nil
}

func (d *detector) decode(outputs []tensorView, results []Result) ([]Result, error) {
	boxes, classes, scores := &outputs[d.boxes], &outputs[d.classes], &outputs[d.scores]
	capacity := scores.elements()
	n := capacity
	if c := outputs[d.count].float(0); c >= 0 && c < float32(capacity) { // false for NaN
		n = int(c)
	}
	results = slices.Grow(results[:0], d.topK)
	for i := range n {
		score, class := scores.float(i), classes.float(i)
		if !(score >= d.threshold) || !finite(score) || !(class >= 0 && class < maxLabels) {
			continue
		}
		r := Result{Index: int(class) + d.offset, Score: min(score, 1), HasBox: true}
		if r.Box, r.HasBox = box(boxes, i); !r.HasBox {
			continue
		}
		var err error
		if r.Label, err = d.label(r.Index); err != nil {
			return results, fmt.Errorf("class %d: %w", int(class), err)
		}
		results = insert(results, r, d.topK)
	}
	return results, nil
}

// box reads box i as x0, y0, x1, y1 within the frame; false when it is not a
// box at all.
func box(v *tensorView, i int) (b [4]float32, ok bool) {
	for k := range b {
		c := v.float(4*i + k ^ 1) // y before x in the tensor
		if !finite(c) {
			return b, false
		}
		b[k] = min(max(c, 0), 1)
	}
	return b, b[0] <= b[2] && b[1] <= b[3]
}

// label is the name of a label's index.
func (d *detector) label(i int) (string, error) {
	if d.labels == nil {
		name, ok := d.numbers[i]
		if !ok {
			name = strconv.Itoa(i)
			d.numbers[i] = name
		}
		return name, nil
	}
	if i < 0 || i >= len(d.labels) {
		return "", fmt.Errorf("the model found label %d, but there are %d labels: are they another model's?", i, len(d.labels))
	}
	return d.labels[i], nil
}
