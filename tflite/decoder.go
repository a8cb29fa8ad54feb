package tflite

import "math"

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
	topK, threshold := limits(task, b.Manifest, opts)
	if task == Detect {
		d, err := newDetector(b, outputs, topK, threshold)
		return d, task, err
	}
	c, err := newClassifier(b, outputs, topK, threshold)
	return c, task, err
}

// maxTopK bounds the results of one picture.
const maxTopK = 1000

// limits are the number of results and their lowest score: the caller's, else
// the manifest's, else the task's.
func limits(task Task, manifest Manifest, opts Options) (topK int, threshold float32) {
	topK, threshold = 3, 0.1
	if task == Detect {
		topK, threshold = 10, 0.5
	}
	if manifest.TopK > 0 {
		topK = manifest.TopK
	}
	if opts.TopK > 0 {
		topK = opts.TopK
	}
	if manifest.Threshold != nil {
		threshold = float32(*manifest.Threshold)
	}
	if opts.Threshold != nil {
		threshold = float32(*opts.Threshold)
	}
	return min(topK, maxTopK), threshold
}

// finite tells a number from NaN and the infinities, which a damaged model
// gives and which no score or coordinate is.
func finite(v float32) bool { return math.Abs(float64(v)) <= math.MaxFloat32 }

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
