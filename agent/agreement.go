package agent

import (
	"math"
	"slices"

	"github.com/egret-edge/egret/tflite"
)

// What counts as clear in a comparison of two models.
const (
	// ClearLead is how far the best class is ahead of the second.
	ClearLead = 0.08
	// clearBox is the score of a box that the other model has to find as well,
	// and nearBox what its own score must be at least: scores shift a little.
	clearBox, nearBox = 0.5, 0.4
	// extraBox is the score of a box that must not be there alone.
	extraBox = 0.6
	// sameBox is the intersection over union of boxes that are the same.
	sameBox = 0.5
)

// Agreement is how often two models say the same. The figures of classes are 0
// for a detector, those of boxes for a classifier.
type Agreement struct {
	Task tflite.Task `json:"task"`
	// Top1 is the share of inputs with the same best class; ClearTop1 that
	// among those Clear ones in which the original leads by ClearLead.
	Top1      float64 `json:"top1"`
	Clear     int     `json:"clear"`
	Classes   int     `json:"classes"` // different ones among the clear
	ClearTop1 float64 `json:"clear_top1"`
	// ScoreMax is the largest difference of any class's score, ScoreMean the
	// mean of each input's largest.
	ScoreMax  float64 `json:"score_difference_max"`
	ScoreMean float64 `json:"score_difference_mean"`
	// Boxes are the original's with a score of 0.5 or more; Matched of them
	// have one of the same class over them in the other. Extra are boxes of the
	// other with a score of 0.6 or more where the original has none of 0.4.
	Boxes   int     `json:"boxes"`
	Extra   int     `json:"extra"`
	Matched int     `json:"matched"`
	IoU     float64 `json:"iou_mean"` // of the matched
}

// Share is the figure to decide by: that of clear inputs, or of boxes, where one
// that is there too much counts as one that is missing. ok is false when there were
// none.
func (a Agreement) Share() (share float64, ok bool) {
	if a.Task == tflite.Detect {
		return float64(a.Matched) / float64(max(a.Sure(), 1)), a.Sure() > 0
	}
	return a.ClearTop1, a.Clear > 0
}

// Sure is how many answers the share is of.
func (a Agreement) Sure() int {
	if a.Task == tflite.Detect {
		return a.Boxes + a.Extra
	}
	return a.Clear
}

// agreementTally collects an Agreement. The zero value is ready.
type agreementTally struct {
	Agreement
	inputs, same, clearSame int
	classesSeen             map[int]bool
	differences, ious       float64
}

func (t *agreementTally) add(original, converted []tflite.Result) {
	t.inputs++
	if slices.ContainsFunc(original, hasBox) || slices.ContainsFunc(converted, hasBox) {
		t.Task = tflite.Detect
		t.boxes(original, converted)
		t.extra(original, converted)
		return
	}
	t.classes(original, converted)
}

func hasBox(r tflite.Result) bool { return r.HasBox }

func (t *agreementTally) classes(original, converted []tflite.Result) {
	if len(original) == 0 && len(converted) == 0 {
		return
	}
	same := len(original) > 0 && len(converted) > 0 && original[0].Index == converted[0].Index
	if same {
		t.same++
	}
	if lead(original) >= ClearLead {
		if t.classesSeen == nil {
			t.classesSeen = map[int]bool{}
		}
		t.classesSeen[original[0].Index] = true
		if t.Clear++; same {
			t.clearSame++
		}
	}
	worst := 0.0
	for _, pair := range [][2][]tflite.Result{{original, converted}, {converted, original}} {
		for _, r := range pair[0] {
			score := 0.0 // not among the best hundred
			if i := slices.IndexFunc(pair[1], func(o tflite.Result) bool { return o.Index == r.Index }); i >= 0 {
				score = float64(pair[1][i].Score)
			}
			worst = max(worst, math.Abs(score-float64(r.Score)))
		}
	}
	t.ScoreMax = max(t.ScoreMax, worst)
	t.differences += worst
}

func lead(results []tflite.Result) float64 {
	switch len(results) {
	case 0:
		return 0
	case 1:
		return float64(results[0].Score)
	}
	return float64(results[0].Score - results[1].Score)
}

func (t *agreementTally) boxes(original, converted []tflite.Result) {
	taken := make([]bool, len(converted))
	for _, r := range original {
		if !r.HasBox || r.Score < clearBox {
			continue
		}
		t.Boxes++
		best, at := sameBox, -1
		for i, o := range converted {
			if o.HasBox && !taken[i] && o.Index == r.Index && o.Score >= nearBox {
				if v := overlap(r.Box, o.Box); v >= best {
					best, at = v, i
				}
			}
		}
		if at >= 0 {
			taken[at] = true
			t.Matched++
			t.ious += best
		}
	}
}

// extra counts the boxes that are there too much.
func (t *agreementTally) extra(original, converted []tflite.Result) {
	for _, o := range converted {
		over := func(r tflite.Result) bool {
			return r.HasBox && r.Index == o.Index && r.Score >= nearBox && overlap(r.Box, o.Box) >= sameBox
		}
		if o.HasBox && o.Score >= extraBox && !slices.ContainsFunc(original, over) {
			t.Extra++
		}
	}
}

// overlap is two boxes' intersection over union.
func overlap(a, b [4]float32) float64 {
	area := func(b [4]float32) float64 { return float64(max(b[2]-b[0], 0)) * float64(max(b[3]-b[1], 0)) }
	both := area([4]float32{max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])})
	if both == 0 {
		return 0
	}
	return both / (area(a) + area(b) - both)
}

func (t *agreementTally) sum() Agreement {
	a := t.Agreement
	if a.Task == "" {
		a.Task = tflite.Classify
	}
	a.Classes = len(t.classesSeen)
	if a.Task == tflite.Classify {
		a.Top1 = float64(t.same) / float64(max(t.inputs, 1))
		a.ClearTop1 = float64(t.clearSame) / float64(max(a.Clear, 1))
		a.ScoreMean = t.differences / float64(max(t.inputs, 1))
	}
	a.IoU = t.ious / float64(max(a.Matched, 1))
	return a
}
