package agent

import (
	"testing"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/tflite"
)

// seen is one frame: when, and the classes with a score of 0.8; a class of 100
// and more stands for class − 100 with a score of 0.3.
type seen struct {
	at      time.Duration
	classes []int
	kept    bool
}

func TestRules(t *testing.T) {
	const s = time.Second
	second := configs.Duration(s)
	for _, tt := range []struct {
		name   string
		cfg    configs.Rules
		frames []seen
	}{
		{"all by default", configs.Rules{}, []seen{{0, []int{1}, true}, {0, []int{1}, true}, {s, []int{101}, true}}},
		{"nothing seen is nothing to keep", configs.Rules{}, []seen{{0, nil, false}, {s, []int{1}, true}}},
		{"lowest score", configs.Rules{MinScore: 0.5}, []seen{{0, []int{101}, false}, {s, []int{101, 2}, true}}},
		{"sampled", configs.Rules{SampleEvery: 10 * second}, []seen{
			{0, []int{1}, true}, {9 * s, []int{1}, false}, {10 * s, []int{1}, true}, {11 * s, []int{2}, false}, {20 * s, nil, false}, {21 * s, []int{2}, true},
		}},
		{"on change at once", configs.Rules{OnChange: true}, []seen{
			{0, []int{1}, true}, {1 * s, []int{1}, false}, {2 * s, []int{2}, true}, {3 * s, nil, true}, {4 * s, nil, false}, {5 * s, []int{1, 1, 2}, true}, {6 * s, []int{2, 1}, false},
		}},
		{"a change must last", configs.Rules{OnChange: true, Hold: 2 * second}, []seen{
			{0, []int{1}, false}, {2 * s, []int{1}, true}, // the first state, too
			{3 * s, []int{2}, false}, {4 * s, []int{1}, false}, // one odd frame
			{5 * s, []int{2}, false}, {6 * s, []int{3}, false}, // another change starts its own time
			{7 * s, []int{3}, false}, {8 * s, []int{3}, true},
		}},
		{"on change and sampled", configs.Rules{OnChange: true, SampleEvery: 10 * second}, []seen{
			{0, []int{1}, true}, {5 * s, []int{1}, false}, {10 * s, []int{1}, true}, {12 * s, []int{2}, true}, {21 * s, []int{2}, false}, {22 * s, []int{2}, true},
		}},
		{"scores below do not make a change", configs.Rules{OnChange: true, MinScore: 0.5}, []seen{
			{0, []int{1}, true}, {1 * s, []int{1, 102}, false}, {2 * s, []int{101}, true},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rules{cfg: tt.cfg}
			start := time.Now()
			for i, f := range tt.frames {
				var results []tflite.Result
				for _, c := range f.classes {
					res := tflite.Result{Index: c, Score: 0.8}
					if c >= 100 {
						res = tflite.Result{Index: c - 100, Score: 0.3}
					}
					results = append(results, res)
				}
				if got := r.keep(start.Add(f.at), results); got != f.kept {
					t.Errorf("frame %d at %v with %v: kept %v, want %v", i, f.at, f.classes, got, f.kept)
				}
			}
		})
	}
}
