package tflite

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// decoder turns a model's outputs into results.
type decoder interface {
	// decode replaces results by what the outputs say, best first. It
	// allocates nothing when results has the capacity.
	decode(outputs []tensorView, results []Result) ([]Result, error)
}

// newDecoder picks and checks the decoder for a model's outputs.
func newDecoder(b *Bundle, outputs []TensorInfo, opts Options) (decoder, Task, error) {
	task := b.Manifest.Task
	if task == "" {
		task = Classify
		if len(outputs) == 4 {
			task = Detect
		}
	}
	topK, threshold := 3, 0.1
	if task == Detect {
		topK, threshold = 10, 0.5
	}
	if b.Manifest.TopK > 0 {
		topK = b.Manifest.TopK
	}
	if opts.TopK > 0 {
		topK = opts.TopK
	}
	if b.Manifest.Threshold != nil {
		threshold = *b.Manifest.Threshold
	}
	if opts.Threshold != nil {
		threshold = *opts.Threshold
	}
	if task == Detect {
		d, err := newDetector(b, outputs, topK, float32(threshold))
		return d, task, err
	}
	c, err := newClassifier(b, outputs, topK, float32(threshold))
	return c, task, err
}

// classifier decodes one score per class.
type classifier struct {
	labels    []string
	topK      int
	threshold float32
	n         int
	logits    bool
	table     *[256]float32 // the real value of each byte of a quantized output
	scores    []float32
}

func newClassifier(b *Bundle, outputs []TensorInfo, topK int, threshold float32) (*classifier, error) {
	if len(outputs) != 1 {
		return nil, fmt.Errorf("it has %d outputs, a classifier has one", len(outputs))
	}
	out := outputs[0]
	n := out.elements()
	if out.byteSize() == 0 || n < 1 || len(out.Shape) == 0 || out.Shape[len(out.Shape)-1] != n {
		return nil, fmt.Errorf("its output %s is not one score per class: want uint8, int8 or float32 of shape [1 classes]", out)
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
	c := &classifier{labels: labelsOrNumbers(b.Labels, n), topK: topK, threshold: threshold, n: n, scores: make([]float32, n)}
	c.logits = b.Manifest.Scores == "logits"
	if out.byteSize() == 1 {
		c.table = new([256]float32)
		v := tensorView{TensorInfo: out, data: make([]byte, 1)}
		for i := range c.table {
			v.data[0] = byte(i)
			c.table[i] = v.float(0)
		}
		// A quantized softmax or sigmoid has the range 0 to 1, which is what
		// its scale says: 1/256. Anything else is logits.
		if lo, hi := slices.Min(c.table[:]), slices.Max(c.table[:]); b.Manifest.Scores == "" {
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
			// Logits show themselves by their range, once and for all.
			c.logits = c.logits || v < -0.01 || v > 1.01
		}
	}
	if c.logits {
		softmax(c.scores)
	}
	results = results[:0]
	for i, s := range c.scores {
		if !(s >= c.threshold) { // NaN is no score either
			continue
		}
		results = insert(results, Result{Index: i, Label: c.labels[i], Score: min(max(s, 0), 1)}, c.topK)
	}
	return results, nil
}

// softmax replaces logits by probabilities.
func softmax(v []float32) {
	highest := slices.Max(v)
	sum := float32(0)
	for i := range v {
		v[i] = float32(math.Exp(float64(v[i] - highest)))
		sum += v[i]
	}
	for i := range v {
		v[i] /= sum
	}
}

// insert keeps results sorted by score and at most limit long; of equal scores
// the one inserted first stays first.
func insert(results []Result, r Result, limit int) []Result {
	if len(results) == limit && results[limit-1].Score >= r.Score {
		return results
	}
	i := len(results)
	for i > 0 && results[i-1].Score < r.Score {
		i--
	}
	if len(results) < limit {
		results = append(results, Result{})
	}
	copy(results[i+1:], results[i:])
	results[i] = r
	return results
}

// detector decodes the four outputs of TFLite_Detection_PostProcess
// (tensorflow/lite/kernels/detection_postprocess.cc): boxes [1 N 4] as ymin,
// xmin, ymax, xmax; classes [1 N]; scores [1 N]; the number of valid ones [1].
type detector struct {
	labels    []string
	offset    int
	topK      int
	threshold float32
	// The positions of the outputs.
	boxes, classes, scores, count int
}

func newDetector(b *Bundle, outputs []TensorInfo, topK int, threshold float32) (*detector, error) {
	d := &detector{labels: b.Labels, topK: topK, threshold: threshold, boxes: 0, classes: 1, scores: 2, count: 3}
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
	results = results[:0]
	for i := range n {
		score, class := scores.float(i), classes.float(i)
		if !(score >= d.threshold) || !(class >= 0 && class < maxLabels) {
			continue
		}
		r := Result{Index: int(class) + d.offset, Score: min(score, 1), HasBox: true}
		if r.Box, r.HasBox = box(boxes, i); !r.HasBox {
			continue
		}
		switch {
		case d.labels == nil:
			r.Label = numberLabel(r.Index)
		case r.Index < 0 || r.Index >= len(d.labels):
			return results, fmt.Errorf("the model found class %d (label %d), but there are %d labels: are they another model's?", int(class), r.Index, len(d.labels))
		default:
			r.Label = d.labels[r.Index]
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
		if c != c {
			return b, false
		}
		b[k] = min(max(c, 0), 1)
	}
	return b, b[0] <= b[2] && b[1] <= b[3]
}

func numberLabel(i int) string { return strconv.Itoa(i) }
