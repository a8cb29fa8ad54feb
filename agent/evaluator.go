package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/egret-edge/egret/internal/spelling"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// Evaluation is how a model did on pictures whose classes are known.
type Evaluation struct {
	Model      string  `json:"model"`
	Digest     string  `json:"digest"`
	Delegate   string  `json:"delegate"`
	Threads    int     `json:"threads"`
	SizeBytes  int64   `json:"size_bytes"`
	Pictures   int     `json:"pictures"`
	Failed     int     `json:"failed"` // could not be read; not counted below
	Top1       float64 `json:"top1"`   // share of the pictures, 0 to 1
	Top5       float64 `json:"top5"`
	InvokeP50  float64 `json:"invoke_ms_p50"`
	InvokeP95  float64 `json:"invoke_ms_p95"`
	InvokeP99  float64 `json:"invoke_ms_p99"`
	DecodeP50  float64 `json:"decode_ms_p50"`
	PerSecond  float64 `json:"pictures_per_second"`
	Confusions `json:"confusion"`
}

// Confusions counts how often each class was taken for which.
type Confusions struct {
	Classes []string `json:"classes"` // the true ones: the folders' names
	Seen    []string `json:"seen"`    // the classes, and "(other)" for all else
	Counts  [][]int  `json:"counts"`  // by class and by what was seen
}

// Examples are the pictures of an evaluation: a folder for each class.
type Examples struct {
	classes []string
	files   []string
	class   []int // of each file
}

// FindExamples lists the pictures in the folders of dir, whose names are the
// classes.
func FindExamples(dir string) (*Examples, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open examples: %w", err)
	}
	e := &Examples{}
	for _, entry := range entries {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		files, err := Pictures(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		for range files {
			e.class = append(e.class, len(e.classes))
		}
		e.files = append(e.files, files...)
		e.classes = append(e.classes, entry.Name())
	}
	if len(e.classes) == 0 {
		return nil, fmt.Errorf("%s holds no folders: put the pictures of each class into a folder of its name", dir)
	}
	return e, nil
}

// Len is the number of pictures.
func (e *Examples) Len() int { return len(e.files) }

// Evaluate runs the model on all examples. tick is called after each. It ends
// early when ctx does.
func Evaluate(ctx context.Context, b *tflite.Bundle, opts tflite.Options, e *Examples, tick func(file string, err error)) (Evaluation, error) {
	var r Evaluation
	indices, err := e.indices(b)
	if err != nil {
		return r, err
	}
	opts.TopK, opts.Threshold = 5, new(float64)
	c, err := NewClassifier(b, opts, "eval")
	if err != nil {
		return r, err
	}
	defer c.Close()
	info := c.Info()
	if info.Task != tflite.Classify {
		return r, fmt.Errorf("model %s does %s, and an evaluation by class needs a classifier", b.Name, info.Task)
	}
	if err := e.inRange(indices, info); err != nil {
		return r, err
	}
	r = Evaluation{Model: b.Name, Digest: b.Digest, Delegate: info.Delegate, Threads: info.Threads}
	if file, err := os.Stat(b.ModelPath); err == nil {
		r.SizeBytes = file.Size()
	}
	t := newTally(e, indices)
	start := time.Now()
	at := -1
	err = c.Each(ctx, e.files, nil, func(file string, p payload.Prediction, err error) error {
		at++
		if err != nil {
			r.Failed++
		} else {
			t.add(e.class[at], p)
		}
		tick(file, err)
		return nil
	})
	if err != nil {
		return r, err
	}
	t.sum(&r, time.Since(start))
	if r.Pictures == 0 {
		return r, errors.New("no picture could be read")
	}
	return r, nil
}

// indices are the model's class numbers of each example class: labels may
// name one class twice ("crane" is a bird and a machine).
func (e *Examples) indices(b *tflite.Bundle) ([][]int, error) {
	var known []string
	names := map[string][]int{}
	for i, label := range b.Labels {
		// ImageNet's labels list synonyms: "tench, Tinca tinca".
		for _, name := range append(strings.Split(label, ","), label) {
			if n := plainName(name); n != "" && !slices.Contains(names[n], i) {
				names[n] = append(names[n], i)
				known = append(known, strings.TrimSpace(name))
			}
		}
	}
	out := make([][]int, len(e.classes))
	for i, class := range e.classes {
		out[i] = names[plainName(class)]
		if n, err := strconv.Atoi(class); err == nil && len(out[i]) == 0 && n >= 0 {
			out[i] = []int{n}
		}
		if len(out[i]) == 0 {
			return nil, fmt.Errorf("folder %q names no class of model %s: %s", class, b.Name, nearest(class, known))
		}
	}
	return out, nil
}

// inRange finds a class's number that the model cannot answer with.
func (e *Examples) inRange(indices [][]int, info tflite.Info) error {
	shape := info.Outputs[0].Shape
	classes := shape[len(shape)-1]
	for i, of := range indices {
		if slices.Max(of) >= classes {
			return fmt.Errorf("folder %q: model %s has the classes 0 to %d", e.classes[i], info.Name, classes-1)
		}
	}
	return nil
}

// nearest is a hint for a class that there is not; all labels would be a
// thousand.
func nearest(class string, known []string) string {
	if hint := spelling.Hint(class, known); len(hint) < 200 {
		return hint
	}
	return "egret model info lists its labels; a class's number will do as well"
}

// plainName makes "military_uniform" and "Military uniform" one.
func plainName(s string) string {
	return strings.ToLower(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '_' || r == '-' }), " "))
}

// tally collects an evaluation.
type tally struct {
	examples       *Examples
	indices        [][]int
	first, five, n int
	invoke, decode []time.Duration
	counts         [][]int
}

func newTally(e *Examples, indices [][]int) *tally {
	t := &tally{examples: e, indices: indices}
	for range e.classes {
		t.counts = append(t.counts, make([]int, len(e.classes)+1))
	}
	return t
}

func (t *tally) add(class int, p payload.Prediction) {
	t.n++
	t.invoke = append(t.invoke, time.Duration(p.Latency.Invoke)*time.Microsecond)
	t.decode = append(t.decode, time.Duration(p.Latency.Decode)*time.Microsecond)
	seen := len(t.indices)
	for rank, r := range p.Results {
		if slices.Contains(t.indices[class], r.Index) {
			t.five++
			if rank == 0 {
				t.first++
			}
			break
		}
	}
	if len(p.Results) > 0 {
		for i, indices := range t.indices {
			if slices.Contains(indices, p.Results[0].Index) {
				seen = i
			}
		}
	}
	t.counts[class][seen]++
}

func (t *tally) sum(r *Evaluation, took time.Duration) {
	slices.Sort(t.invoke)
	slices.Sort(t.decode)
	r.Pictures = t.n
	r.Top1, r.Top5 = float64(t.first)/float64(max(t.n, 1)), float64(t.five)/float64(max(t.n, 1))
	ms := func(d []time.Duration, q float64) float64 { return percentile(d, q) / 1e3 }
	r.InvokeP50, r.InvokeP95, r.InvokeP99 = ms(t.invoke, 0.5), ms(t.invoke, 0.95), ms(t.invoke, 0.99)
	r.DecodeP50 = ms(t.decode, 0.5)
	r.PerSecond = float64(t.n) / took.Seconds()
	r.Confusions = Confusions{
		Classes: t.examples.classes, Counts: t.counts,
		Seen: append(slices.Clone(t.examples.classes), "(other)"),
	}
}
