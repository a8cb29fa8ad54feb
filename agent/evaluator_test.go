package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite"
)

// pictures writes a folder for each entry with so many pictures of a class.
func pictures(t *testing.T, folders map[string]map[int]int) string {
	t.Helper()
	dir := t.TempDir()
	for name, classes := range folders {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		for class, n := range classes {
			var b bytes.Buffer
			if err := png.Encode(&b, smallmodel.Picture(class, 40)); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if err := os.WriteFile(filepath.Join(dir, name, fmt.Sprintf("%d-%d.png", class, i)), b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return dir
}

func TestEvaluate(t *testing.T) {
	b := smallBundle(t, smallOptions)
	red, green, blue := smallmodel.Label(0), smallmodel.Label(1), smallmodel.Label(2)
	// One of the folder of reds is a green one, one of green's is blue.
	dir := pictures(t, map[string]map[int]int{strings.ToUpper(red): {0: 3, 1: 1}, green: {1: 1, 2: 1}})
	if err := os.WriteFile(filepath.Join(dir, green, "broken.png"), []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := FindExamples(dir)
	if err != nil || e.Len() != 7 {
		t.Fatalf("%d examples, %v, want 7", e.Len(), err)
	}
	failed, ticks := 0, 0
	r, err := Evaluate(t.Context(), b, tflite.Options{}, e, func(_ string, err error) {
		ticks++
		if err != nil {
			failed++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Pictures != 6 || r.Failed != 1 || failed != 1 || ticks != 7 || r.Top1 != 4./6 || r.Top5 < r.Top1 || r.Top5 > 1 {
		t.Errorf("%+v after %d ticks, want 6 pictures, 1 failed, 4 right, as many or more within five", r, ticks)
	}
	if want := []string{strings.ToUpper(red), green, "(other)"}; fmt.Sprint(r.Seen) != fmt.Sprint(want) && r.Seen[1] != strings.ToUpper(red) {
		t.Errorf("seen %v, want %v in some order", r.Seen, want)
	}
	sum := 0
	for i, row := range r.Counts {
		for j, n := range row {
			sum += n
			if r.Classes[i] == green && r.Seen[j] == "(other)" && n != 1 {
				t.Errorf("%s taken for %s is not counted as other: %v", green, blue, r.Counts)
			}
		}
	}
	if sum != 6 || !(r.InvokeP50 > 0) || r.InvokeP99 < r.InvokeP95 || r.InvokeP95 < r.InvokeP50 || r.SizeBytes == 0 || r.Delegate != "cpu" {
		t.Errorf("%+v", r)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	b := smallBundle(t, smallOptions)
	empty := t.TempDir()
	for _, tt := range []struct{ name, dir, want string }{
		{"no folders", empty, "holds no folders"},
		{"no such folder", filepath.Join(empty, "none"), "no such file"},
		{"a misspelt class", pictures(t, map[string]map[int]int{"gren": {1: 1}}), `did you mean "green"?`},
		{"an empty class", pictures(t, map[string]map[int]int{"green": {}}), "holds no pictures"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := FindExamples(tt.dir)
			if err == nil {
				_, err = Evaluate(t.Context(), b, tflite.Options{}, e, func(string, error) {})
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, tt.want)
			}
		})
	}
	t.Run("classes by number", func(t *testing.T) {
		e, err := FindExamples(pictures(t, map[string]map[int]int{"1": {1: 2}}))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := Evaluate(t.Context(), b, tflite.Options{}, e, func(string, error) {}); err != nil || r.Top1 != 1 {
			t.Errorf("top-1 %v, %v", r.Top1, err)
		}
	})
}

func TestExplain(t *testing.T) {
	b := openBundle(t, mobilenet)
	ticks := 0
	x, err := Explain(t.Context(), b, tflite.Options{}, "../samples/classify/peacock.png", nil, ExplainOptions{Steps: 5, Window: 0.3, Watch: func() { ticks++ }})
	if err != nil {
		t.Fatal(err)
	}
	if x.Label != "peacock" || x.Lowest >= x.Score || ticks != 25 {
		t.Errorf("%s %.2f, lowest %.2f after %d places", x.Label, x.Score, x.Lowest, ticks)
	}
	// The bird stands in the upper middle; the grass below matters little.
	heat := func(x0, y0, x1, y1 float64) (sum float64) {
		r := x.Picture.Bounds()
		w, h := float64(r.Dx()), float64(r.Dy())
		n := 0.0
		for py := int(y0 * h); py < int(y1*h); py++ {
			for px := int(x0 * w); px < int(x1*w); px++ {
				c := x.Picture.RGBAAt(px, py)
				sum += float64(c.R) - float64(c.G)
				n++
			}
		}
		return sum / n
	}
	if bird, grass := heat(0.5, 0.2, 0.8, 0.5), heat(0, 0.85, 1, 1); bird < grass+20 {
		t.Errorf("heat of %.0f on the bird and %.0f on the grass", bird, grass)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Explain(ctx, b, tflite.Options{}, "../samples/classify/peacock.png", nil, ExplainOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestMeasure(t *testing.T) {
	d := &device{ms: map[string]float64{"xnnpack×1": 7.5, "xnnpack×2": 4.2, "cpu×1": 40, "cpu×2": 38}}
	var seen int
	s, err := Measure(t.Context(), Tuner{Probe: d.probe, Cores: 2, Watch: func(ProbeReport) { seen++ }}, openBundle(t, mobilenet), []string{"edgetpu", "xnnpack", "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Runs) != 5 || seen != 5 || s.Runs[0].OK || s.Auto.Delegate != "xnnpack" || s.Auto.Threads != 2 || s.Auto.InvokeP50 != 4.2 {
		t.Errorf("%+v", s)
	}
	if len(d.probed) != 5+2*moreRounds {
		t.Errorf("probed %v: the table's figures are the first round, and only the best have more", d.probed)
	}
	if s, err = Measure(t.Context(), Tuner{Probe: d.probe, Cores: 2}, openBundle(t, mobilenet), []string{"edgetpu"}); err != nil || s.Auto.Delegate != "" {
		t.Errorf("recommends %+v of what does not work, %v", s.Auto, err)
	}
	d.ms["external:npu.so×1"] = 1
	if s, err = Measure(t.Context(), Tuner{Probe: d.probe, Cores: 2}, openBundle(t, mobilenet), []string{"cpu", "external:npu.so"}); err != nil || s.Auto.Delegate != "external:npu.so" {
		t.Errorf("recommends %+v, %v, want the fastest of those named", s.Auto, err)
	}
}
