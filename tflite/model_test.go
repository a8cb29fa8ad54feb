//go:build cgo

package tflite

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
)

const (
	mobilenet = "mobilenet_v1_1.0_224_quant"
	ssd       = "ssd_mobilenet_v1_quant"
)

// bundle opens one of the default models.
func bundle(t testing.TB, name string) *Bundle {
	t.Helper()
	b, err := OpenBundle(filepath.Join("../models", name))
	if err != nil {
		t.Fatalf("%v (make deps brings it)", err)
	}
	return b
}

func load(t testing.TB, b *Bundle, opts Options) *Model {
	t.Helper()
	m, err := Load(b, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// pixels makes the model's tensor of a picture.
func pixels(t testing.TB, m *Model, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	target := m.Target()
	tensor := make([]byte, target.Bytes())
	var s pixel.Scaler
	if _, err := s.Tensor(tensor, &target, pixel.Image{Format: pixel.Sniff(data), Data: data}); err != nil {
		t.Fatal(err)
	}
	return tensor
}

func TestClassifyPeacock(t *testing.T) {
	b := bundle(t, mobilenet)
	m := load(t, b, Options{})
	if i := m.Info(); i.Name != mobilenet || i.Version != 1 || i.Task != Classify || i.Labels != 1001 || i.Library != "2.9.0" && os.Getenv("TFLITE_ROOT") == "" {
		t.Errorf("info %+v", i)
	}
	var out Output
	if err := m.Predict(pixels(t, m, "../samples/classify/peacock.png"), &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Results) == 0 || out.Results[0].Label != "peacock" || out.Results[0].Index != 85 || out.Results[0].Score < 0.9 {
		t.Errorf("results %+v, want peacock (class 85) first", out.Results)
	}
	if out.InvokeTime <= 0 {
		t.Error("no Invoke time")
	}
}

func TestDetectExample(t *testing.T) {
	m := load(t, bundle(t, ssd), Options{})
	var out Output
	if err := m.Predict(pixels(t, m, "../samples/detect/example.jpg"), &out); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for i, r := range out.Results {
		found[r.Label]++
		if !r.HasBox || r.Box[0] >= r.Box[2] || r.Box[1] >= r.Box[3] || r.Box[0] < 0 || r.Box[3] > 1 {
			t.Errorf("result %d has no sensible box: %+v", i, r)
		}
		if i > 0 && r.Score > out.Results[i-1].Score {
			t.Errorf("result %d scores more than the one before", i)
		}
	}
	// Two people sit at laptops in the picture.
	if found["person"] < 2 || found["laptop"] < 2 {
		t.Errorf("found %v, want persons and laptops", found)
	}
}

func TestOptionsOverrideTheManifest(t *testing.T) {
	zero, one := 0.0, 1.0
	for _, tt := range []struct {
		name string
		opts Options
		want int
	}{
		{"top-k", Options{TopK: 5, Threshold: &zero}, 5},
		{"threshold above all", Options{Threshold: &one}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := load(t, bundle(t, mobilenet), tt.opts)
			var out Output
			if err := m.Predict(pixels(t, m, "../samples/classify/peacock.png"), &out); err != nil {
				t.Fatal(err)
			}
			if len(out.Results) != tt.want {
				t.Errorf("%d results, want %d", len(out.Results), tt.want)
			}
		})
	}
}

func TestGolden(t *testing.T) {
	for _, name := range []string{mobilenet, ssd} {
		b := bundle(t, name)
		m := load(t, b, Options{})
		if n, err := RunGolden(m, b); err != nil || n != 1 {
			t.Errorf("%s: %d golden samples right, %v", name, n, err)
		}
		one := 1.0
		picky := load(t, b, Options{TopK: 1, Threshold: &one})
		if _, err := RunGolden(picky, b); err != nil {
			t.Errorf("%s: a user's own threshold fails the golden samples: %v", name, err)
		}
		b.Manifest.Golden[0].Expect = []Expect{{Label: "unicorn", MinScore: 0.1}}
		if _, err := RunGolden(m, b); err == nil || !strings.Contains(err.Error(), "unicorn") {
			t.Errorf("%s: a sample that the model gets wrong gave %v", name, err)
		}
		b.Manifest.Golden[0].Expect = []Expect{{Index: new(9999), MinScore: 0.1}}
		if _, err := RunGolden(m, b); err == nil || !strings.Contains(err.Error(), "class 9999") {
			t.Errorf("%s: a class that is not there gave %v", name, err)
		}
		b.Manifest.Golden[0].Image = "../../../samples/classify/peacock.png"
		if _, err := RunGolden(m, b); err == nil || !strings.Contains(err.Error(), "leaves the bundle") {
			t.Errorf("%s: a sample outside of the bundle gave %v", name, err)
		}
	}
}

func TestGoldenByIndex(t *testing.T) {
	b := bundle(t, mobilenet)
	b.Manifest.Golden[0].Expect = []Expect{{Index: new(85), MinScore: 0.9}}
	if n, err := RunGolden(load(t, b, Options{}), b); err != nil || n != 1 {
		t.Errorf("%d golden samples right, %v", n, err)
	}
}

// TestPredictAllocatesNothing begins with a picture without results, so that
// the first call cannot make room by chance.
// TestBatch: each picture of a batch gets what it gets alone, also when the
// batch is not full.
func TestBatch(t *testing.T) {
	one, many := load(t, bundle(t, mobilenet), Options{}), load(t, bundle(t, mobilenet), Options{Batch: 3})
	tensors := [][]byte{pixels(t, one, "../samples/classify/peacock.png"), make([]byte, len(pixels(t, one, "../samples/classify/peacock.png")))}
	alone, outs := make([]*Output, len(tensors)), make([]*Output, len(tensors))
	for i, tensor := range tensors {
		alone[i], outs[i] = &Output{Raw: true}, &Output{Raw: true}
		if err := one.Predict(tensor, alone[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := many.PredictBatch(tensors, outs); err != nil {
		t.Fatal(err)
	}
	for i := range outs {
		if !bytes.Equal(outs[i].Tensors[0], alone[i].Tensors[0]) || len(outs[i].Tensors[0]) != 1001 || !slices.Equal(outs[i].Results, alone[i].Results) {
			t.Errorf("picture %d: %v in a batch, %v alone", i, outs[i].Results, alone[i].Results)
		}
	}
	if got, want := many.Info().Inputs[0].Shape, one.Info().Inputs[0].Shape; !slices.Equal(got, want) {
		t.Errorf("shape %v, want one picture's %v", got, want)
	}
	if err := many.PredictBatch(make([][]byte, 4), make([]*Output, 4)); err == nil {
		t.Error("more pictures than the batch has were taken")
	}
	if m, err := Load(bundle(t, ssd), Options{Batch: 2}); err == nil {
		_ = m.Close()
		t.Error("the detector was loaded for a batch, which its post-processing ignores")
	}
}

func TestPredictAllocatesNothing(t *testing.T) {
	pictures := map[string]string{mobilenet: "../samples/classify/peacock.png", ssd: "../samples/detect/example.jpg"}
	for name, picture := range pictures {
		m := load(t, bundle(t, name), Options{})
		target := m.Target()
		var out Output
		if err := m.Predict(make([]byte, target.Bytes()), &out); err != nil {
			t.Fatal(err)
		}
		rgb := pixels(t, m, picture)
		if n := testing.AllocsPerRun(3, func() {
			if err := m.Predict(rgb, &out); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations per Predict, want 0", name, n)
		}
	}
}

func TestClosedAndMisused(t *testing.T) {
	m := load(t, bundle(t, mobilenet), Options{})
	var out Output
	if err := m.Predict(make([]byte, 10), &out); err == nil || !strings.Contains(err.Error(), "[1 224 224 3]") {
		t.Errorf("a short tensor gave %v", err)
	}
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if err := m.Predict(make([]byte, 224*224*3), &out); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a closed model gave %v", err)
	}
}

func TestUnknownDelegate(t *testing.T) {
	_, err := Load(bundle(t, mobilenet), Options{Delegate: "warp"})
	if !errors.Is(err, ErrDelegate) || !strings.Contains(err.Error(), "warp") || !strings.Contains(err.Error(), "cpu") {
		t.Errorf("unknown delegate gave %v", err)
	}
}

// TestBadModels are files that must be refused with one line that names them.
func TestBadModels(t *testing.T) {
	good, err := os.ReadFile(bundle(t, mobilenet).ModelPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"text", []byte(strings.Repeat("this is no model\n", 50)), "TFL3"},
		{"empty", nil, "TFL3"},
		{"html", []byte("<!DOCTYPE html><html>not found</html>"), "TFL3"},
		{"header only", good[:8], "damaged"},
		{"truncated in the header", good[:12], "damaged"},
		{"truncated in the root table", good[:60], "damaged"},
		{"truncated in the middle", good[:len(good)/2], "damaged"},
		{"truncated by a byte", good[:len(good)-1], "damaged"},
		{"identifier then zeros", append(append([]byte{}, good[:8]...), make([]byte, 4096)...), "interpreter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.tflite")
			if err := os.WriteFile(path, tt.data, 0o644); err != nil {
				t.Fatal(err)
			}
			b, err := OpenBundle(path)
			if err == nil {
				var m *Model
				if m, err = Load(b, Options{}); err == nil {
					_ = m.Close()
				}
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q and the path", err, tt.want)
			}
		})
	}
}

func TestLabelsThatDoNotFit(t *testing.T) {
	b := bundle(t, mobilenet)
	for n, hint := range map[int]string{1000: "background class 0", 1002: "too many", 90: "another model"} {
		b.Labels = strings.Split(strings.Repeat("x\n", n-1)+"x", "\n")
		_, err := Load(b, Options{})
		if err == nil || !strings.Contains(err.Error(), "1001") || !strings.Contains(err.Error(), hint) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%d labels gave %v, want both numbers and %q", n, err, hint)
		}
	}
	b.Labels = nil
	m := load(t, b, Options{})
	var out Output
	if err := m.Predict(pixels(t, m, "../samples/classify/peacock.png"), &out); err != nil {
		t.Fatal(err)
	}
	if out.Results[0].Label != "85" {
		t.Errorf("without labels the class is called %q, want its number", out.Results[0].Label)
	}
}

func TestDetectorLabelsThatDoNotFit(t *testing.T) {
	b := bundle(t, ssd)
	b.Labels = b.Labels[:2]
	m := load(t, b, Options{})
	var out Output
	err := m.Predict(pixels(t, m, "../samples/detect/example.jpg"), &out)
	if err == nil || !strings.Contains(err.Error(), "there are 2 labels") {
		t.Errorf("two labels for 90 classes gave %v", err)
	}
}

// TestRemarks: what is odd about a model that runs all the same is logged once.
func TestRemarks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		labels  bool
		threads int
		want    string
	}{
		{"nothing odd", true, 1, ""},
		{"no labels", false, 1, "no labels"},
		{"threads beyond the cores", true, runtime.NumCPU() + 1, "more threads than cores"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bundle(t, mobilenet)
			if !tt.labels {
				b.Labels = nil
			}
			var logged bytes.Buffer
			load(t, b, Options{Threads: tt.threads, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			if got := logged.String(); !strings.Contains(got, tt.want) || (tt.want == "") != (got == "") || strings.Count(got, "\n") > 1 {
				t.Errorf("logged %q, want one line with %q", got, tt.want)
			}
		})
	}
}

// TestLabelsFromMetadata appends a zip archive to the real model, as TensorFlow
// Lite Metadata does: the model still runs, and the labels are found.
func TestLabelsFromMetadata(t *testing.T) {
	b := bundle(t, mobilenet)
	model, err := os.ReadFile(b.ModelPath)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "birds.tflite")
	archive := zipOf(t, map[string]string{"notes.txt": "no labels", "labels.txt": strings.Join(b.Labels, "\n")})
	if err := os.WriteFile(path, append(model, archive...), 0o644); err != nil {
		t.Fatal(err)
	}
	bare, err := OpenBundle(path)
	if err != nil {
		t.Fatal(err)
	}
	if bare.Name != "birds" || bare.Version != 0 || len(bare.Labels) != 1001 {
		t.Errorf("bare model %q version %d with %d labels", bare.Name, bare.Version, len(bare.Labels))
	}
	m := load(t, bare, Options{})
	var out Output
	if err := m.Predict(pixels(t, m, "../samples/classify/peacock.png"), &out); err != nil {
		t.Fatal(err)
	}
	if out.Results[0].Label != "peacock" {
		t.Errorf("top label %q, want peacock", out.Results[0].Label)
	}
}

// BenchmarkPredict shows what Predict adds to the library's Invoke.
func BenchmarkPredict(b *testing.B) {
	for _, name := range []string{mobilenet, ssd} {
		b.Run(name, func(b *testing.B) {
			m := load(b, bundle(b, name), Options{})
			target := m.Target()
			rgb := bytes.Repeat([]byte{128}, target.Bytes())
			var out Output
			var invoke time.Duration
			b.ReportAllocs()
			start := time.Now()
			for b.Loop() {
				if err := m.Predict(rgb, &out); err != nil {
					b.Fatal(err)
				}
				invoke += out.InvokeTime
			}
			b.ReportMetric(float64(time.Since(start))/float64(invoke), "total/invoke")
		})
	}
}
