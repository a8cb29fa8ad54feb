package agent

import (
	"math"
	"testing"

	"github.com/egret-edge/egret/tflite"
)

func class(index int, score float32) tflite.Result { return tflite.Result{Index: index, Score: score} }

func box(index int, score, x0, x1 float32) tflite.Result {
	return tflite.Result{Index: index, Score: score, HasBox: true, Box: [4]float32{x0, 0, x1, 1}}
}

func TestAgreementOfClasses(t *testing.T) {
	var tally agreementTally
	tally.add([]tflite.Result{class(1, 0.9), class(2, 0.1)}, []tflite.Result{class(1, 0.8), class(2, 0.15)}) // clear, the same
	tally.add([]tflite.Result{class(1, 0.9)}, []tflite.Result{class(2, 0.7)})                                // clear, another
	tally.add([]tflite.Result{class(1, 0.5), class(2, 0.45)}, []tflite.Result{class(2, 0.5), class(1, 0.4)}) // not clear
	tally.add(nil, []tflite.Result{class(2, 0.2)})
	got := tally.sum()
	want := Agreement{Task: tflite.Classify, Top1: 0.25, Clear: 2, ClearTop1: 0.5, ScoreMax: 0.9, ScoreMean: (0.1 + 0.9 + 0.1 + 0.2) / 4}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-6 }
	if got.Task != want.Task || got.Top1 != want.Top1 || got.Clear != want.Clear || got.ClearTop1 != want.ClearTop1 || !near(got.ScoreMax, want.ScoreMax) || !near(got.ScoreMean, want.ScoreMean) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if share, ok := got.Share(); share != 0.5 || !ok {
		t.Errorf("share %v, %t", share, ok)
	}
}

func TestAgreementOfBoxes(t *testing.T) {
	for name, c := range map[string]struct {
		original, converted []tflite.Result
		boxes, matched      int
		iou                 float64
	}{
		"the same":                {[]tflite.Result{box(1, 0.9, 0, 0.5)}, []tflite.Result{box(1, 0.8, 0, 0.5)}, 1, 1, 1},
		"half of it":              {[]tflite.Result{box(1, 0.9, 0, 0.5)}, []tflite.Result{box(1, 0.8, 0, 0.25)}, 1, 1, 0.5},
		"less than half":          {[]tflite.Result{box(1, 0.9, 0, 0.5)}, []tflite.Result{box(1, 0.8, 0, 0.2)}, 1, 0, 0},
		"beside it":               {[]tflite.Result{box(1, 0.9, 0, 0.5)}, []tflite.Result{box(1, 0.8, 0.5, 1)}, 1, 0, 0},
		"another class":           {[]tflite.Result{box(1, 0.9, 0, 0.5)}, []tflite.Result{box(2, 0.8, 0, 0.5)}, 1, 0, 0},
		"a score just below":      {[]tflite.Result{box(1, 0.5, 0, 0.5)}, []tflite.Result{box(1, 0.45, 0, 0.5)}, 1, 1, 1},
		"a score far below":       {[]tflite.Result{box(1, 0.5, 0, 0.5)}, []tflite.Result{box(1, 0.3, 0, 0.5)}, 1, 0, 0},
		"not clear":               {[]tflite.Result{box(1, 0.4, 0, 0.5)}, nil, 0, 0, 0},
		"one for two":             {[]tflite.Result{box(1, 0.9, 0, 0.5), box(1, 0.8, 0, 0.5)}, []tflite.Result{box(1, 0.8, 0, 0.5)}, 2, 1, 1},
		"only the converted sees": {nil, []tflite.Result{box(1, 0.8, 0, 0.5)}, 0, 0, 0},
	} {
		var tally agreementTally
		tally.add(c.original, c.converted)
		got := tally.sum()
		if got.Task != tflite.Detect || got.Boxes != c.boxes || got.Matched != c.matched || math.Abs(got.IoU-c.iou) > 1e-6 {
			t.Errorf("%s: %+v, want %d of %d boxes with %v", name, got, c.matched, c.boxes, c.iou)
		}
		// What lies elsewhere is there too much.
		extra := map[string]int{"less than half": 1, "beside it": 1, "another class": 1, "only the converted sees": 1}[name]
		if got.Extra != extra {
			t.Errorf("%s: %d boxes too much, want %d", name, got.Extra, extra)
		}
		share, ok := got.Share()
		if ok != (c.boxes+extra > 0) || ok && share != float64(c.matched)/float64(c.boxes+extra) {
			t.Errorf("%s: share %v, can be judged: %t", name, share, ok)
		}
	}
}
