package tflite

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/egret-edge/egret/sensors/pixel"
)

func floatView(shape []int, values ...float32) tensorView {
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return tensorView{TensorInfo: TensorInfo{Type: "float32", Shape: shape}, data: data}
}

func byteView(kind string, scale float64, zero int, data ...byte) tensorView {
	return tensorView{TensorInfo: TensorInfo{Type: kind, Shape: []int{1, len(data)}, Scale: scale, ZeroPoint: zero}, data: data}
}

func TestClassifierScores(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, tt := range []struct {
		name   string
		out    tensorView
		scores string
		want   []Result
	}{
		{"uint8 probabilities", byteView("uint8", 1./256, 0, 0, 128, 64, 64), "", []Result{{Index: 1, Score: 0.5}, {Index: 2, Score: 0.25}, {Index: 3, Score: 0.25}}},
		{"int8 probabilities", byteView("int8", 1./256, -128, 0x80, 0, 0xc0, 0xc0), "", []Result{{Index: 1, Score: 0.5}, {Index: 2, Score: 0.25}, {Index: 3, Score: 0.25}}},
		{"float probabilities", floatView([]int{1, 3}, 0.2, 0.7, 0.1), "", []Result{{Index: 1, Score: 0.7}, {Index: 0, Score: 0.2}, {Index: 2, Score: 0.1}}},
		{"independent scores are left alone", floatView([]int{1, 2}, 0.9, 0.8), "", []Result{{Index: 0, Score: 0.9}, {Index: 1, Score: 0.8}}},
		{"float logits", floatView([]int{1, 2}, 0, float32(math.Log(3))), "", []Result{{Index: 1, Score: 0.75}, {Index: 0, Score: 0.25}}},
		{"float logits, large", floatView([]int{1, 2}, 1000, 1000), "", []Result{{Index: 0, Score: 0.5}, {Index: 1, Score: 0.5}}},
		{"quantized logits", byteView("uint8", math.Log(3), 128, 128, 129), "", []Result{{Index: 1, Score: 0.75}, {Index: 0, Score: 0.25}}},
		{"logits by the manifest", floatView([]int{1, 2}, 0.5, 0.5), "logits", []Result{{Index: 0, Score: 0.5}, {Index: 1, Score: 0.5}}},
		{"not a number", floatView([]int{1, 2}, nan, 0.6), "", []Result{{Index: 1, Score: 0.6}}},
		{"infinite is no score", floatView([]int{1, 3}, inf, 0.6, -inf), "", []Result{{Index: 1, Score: 0.6}}},
		{"infinite among logits", floatView([]int{1, 4}, inf, 5, 5, nan), "", []Result{{Index: 1, Score: 0.5}, {Index: 2, Score: 0.5}}},
		{"one logit is a sigmoid's", floatView([]int{1, 1}, -float32(math.Log(3))), "", []Result{{Index: 0, Score: 0.25}}},
		{"probabilities by the manifest", floatView([]int{1, 2}, 1.5, 0.6), "probabilities", []Result{{Index: 0, Score: 1}, {Index: 1, Score: 0.6}}},
		{"quantized probabilities by the manifest", byteView("uint8", 1./64, 0, 96, 32), "probabilities", []Result{{Index: 0, Score: 1}, {Index: 1, Score: 0.5}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			zero := 0.01
			d, task, err := newDecoder(&Bundle{Manifest: Manifest{Scores: tt.scores}}, []TensorInfo{tt.out.TensorInfo}, Options{Threshold: &zero})
			if err != nil || task != Classify {
				t.Fatalf("%v, task %s", err, task)
			}
			got, err := d.decode([]tensorView{tt.out}, nil)
			if err != nil || len(got) != len(tt.want) {
				t.Fatalf("results %+v, %v, want %+v", got, err, tt.want)
			}
			for i, r := range got {
				if r.Index != tt.want[i].Index || math.Abs(float64(r.Score-tt.want[i].Score)) > 1e-3 {
					t.Errorf("result %d is %+v, want %+v", i, r, tt.want[i])
				}
			}
		})
	}
}

func detection(classes, scores []float32, boxes []float32, count float32) []tensorView {
	n := len(scores)
	return []tensorView{
		floatView([]int{1, n, 4}, boxes...), floatView([]int{1, n}, classes...),
		floatView([]int{1, n}, scores...), floatView([]int{1}, count),
	}
}

func infos(views []tensorView) (out []TensorInfo) {
	for _, v := range views {
		out = append(out, v.TensorInfo)
	}
	return out
}

func TestDetector(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	good := []float32{0.1, 0.2, 0.5, 0.6} // ymin, xmin, ymax, xmax
	box := [4]float32{0.2, 0.1, 0.6, 0.5}
	two := append(append([]float32{}, good...), good...)
	labels := []string{"???", "person", "bicycle"}
	for _, tt := range []struct {
		name  string
		views []tensorView
		want  []Result
		wrong string
	}{
		{"two, the better first", detection([]float32{0, 1}, []float32{0.6, 0.9}, two, 2), []Result{{Index: 2, Label: "bicycle", Score: 0.9, Box: box, HasBox: true}, {Index: 1, Label: "person", Score: 0.6, Box: box, HasBox: true}}, ""},
		{"only as many as the count", detection([]float32{0, 1}, []float32{0.6, 0.9}, two, 1), []Result{{Index: 1, Label: "person", Score: 0.6, Box: box, HasBox: true}}, ""},
		{"a count beyond the tensor", detection([]float32{0}, []float32{0.6}, good, 1e9), []Result{{Index: 1, Label: "person", Score: 0.6, Box: box, HasBox: true}}, ""},
		{"below the threshold", detection([]float32{0}, []float32{0.4}, good, 1), nil, ""},
		{"box beyond the frame", detection([]float32{0}, []float32{0.6}, []float32{-1, 0.2, 0.5, 9}, 1), []Result{{Index: 1, Label: "person", Score: 0.6, Box: [4]float32{0.2, 0, 1, 0.5}, HasBox: true}}, ""},
		{"box inside out", detection([]float32{0}, []float32{0.6}, []float32{0.5, 0.6, 0.1, 0.2}, 1), nil, ""},
		{"not numbers", detection([]float32{nan, 0}, []float32{0.9, nan}, two, nan), nil, ""},
		{"infinite score, class and count", detection([]float32{0, inf}, []float32{inf, 0.9}, two, inf), nil, ""},
		{"infinite box", detection([]float32{0}, []float32{0.9}, []float32{0, 0, inf, 1}, 1), nil, ""},
		{"negative class", detection([]float32{-1}, []float32{0.9}, good, 1), nil, ""},
		{"box is no number", detection([]float32{0}, []float32{0.9}, []float32{nan, 0, 1, 1}, 1), nil, ""},
		{"class without a label", detection([]float32{7}, []float32{0.9}, good, 1), nil, "3 labels"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, task, err := newDecoder(&Bundle{Labels: labels}, infos(tt.views), Options{})
			if err != nil || task != Detect {
				t.Fatalf("%v, task %s", err, task)
			}
			got, err := d.decode(tt.views, nil)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("error %v, want one with %q", err, tt.wrong)
				}
				return
			}
			if err != nil || len(got) != len(tt.want) {
				t.Fatalf("results %+v, %v, want %+v", got, err, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("result %d is %+v, want %+v", i, got[i], tt.want[i])
				}
			}
		})
	}
}

func TestDetectorTakesTensorFlow2sOrder(t *testing.T) {
	v := detection([]float32{0}, []float32{0.6}, []float32{0.1, 0.2, 0.5, 0.6}, 1)
	v = []tensorView{v[2], v[0], v[3], v[1]}
	d, _, err := newDecoder(&Bundle{}, infos(v), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.decode(v, nil)
	if err != nil || len(got) != 1 || got[0].Score != 0.6 || got[0].Box != [4]float32{0.2, 0.1, 0.6, 0.5} {
		t.Errorf("results %+v, %v", got, err)
	}
}

func TestOutputsThatAreNone(t *testing.T) {
	for _, tt := range []struct {
		name string
		task Task
		outs []TensorInfo
		want string
	}{
		{"text model's two outputs", "", []TensorInfo{{Type: "int32"}, {Type: "float32"}}, "2 outputs"},
		{"integers", "", []TensorInfo{{Type: "int64", Shape: []int{1, 3}}}, "one score per class"},
		{"quantized without a scale", "", []TensorInfo{{Type: "uint8", Shape: []int{1, 3}}}, "no scale"},
		{"quantized with a scale that is no number", "", []TensorInfo{{Type: "int8", Shape: []int{1, 3}, Scale: math.NaN()}}, "no scale"},
		{"more classes than can be", "", []TensorInfo{{Type: "float32", Shape: []int{1, maxLabels + 1}}}, "one score per class"},
		{"a picture", "", []TensorInfo{{Type: "float32", Shape: []int{1, 257, 257, 21}}}, "one score per class"},
		{"unknown shape", "", []TensorInfo{{Type: "float32", Shape: []int{1, 0}}}, "one score per class"},
		{"four that are no detections", "", []TensorInfo{{Type: "float32", Shape: []int{1, 3}}, {Type: "float32", Shape: []int{1, 3}}, {Type: "float32", Shape: []int{1, 3}}, {Type: "float32", Shape: []int{1}}}, "TFLite_Detection_PostProcess"},
		{"a classifier called a detector", Detect, []TensorInfo{{Type: "uint8", Shape: []int{1, 3}}}, "1 outputs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := newDecoder(&Bundle{Manifest: Manifest{Task: tt.task}}, tt.outs, Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, tt.want)
			}
		})
	}
}

func TestImageInput(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   TensorInfo
		ok   bool
	}{
		{"mobilenet", TensorInfo{Type: "uint8", Shape: []int{1, 224, 160, 3}}, true},
		{"text", TensorInfo{Type: "int32", Shape: []int{1, 256}}, false},
		{"batch", TensorInfo{Type: "uint8", Shape: []int{8, 224, 224, 3}}, false},
		{"grey", TensorInfo{Type: "uint8", Shape: []int{1, 28, 28, 1}}, false},
		{"half floats", TensorInfo{Type: "float16", Shape: []int{1, 224, 224, 3}}, false},
		{"huge", TensorInfo{Type: "uint8", Shape: []int{1, 100000, 224, 3}}, false},
		{"unknown size", TensorInfo{Type: "uint8", Shape: []int{1, 0, 0, 3}}, false},
	} {
		w, h, err := imageInput(tt.in)
		if (err == nil) != tt.ok || tt.ok && (w != 160 || h != 224) {
			t.Errorf("%s: %d×%d, %v", tt.name, w, h, err)
		}
	}
}

func TestEncoding(t *testing.T) {
	rgb := []byte{0, 127, 255}
	for _, tt := range []struct {
		name string
		in   TensorInfo
		norm Input
		want []float32
	}{
		{"uint8 as it is", TensorInfo{Type: "uint8", Scale: 1. / 128, ZeroPoint: 128}, Input{}, []float32{0, 127, 255}},
		{"int8 less 128", TensorInfo{Type: "int8", Scale: 1. / 128}, Input{}, []float32{-128, -1, 127}},
		{"int8 normalised", TensorInfo{Type: "int8", Scale: 1. / 64, ZeroPoint: 3}, Input{Mean: []float64{127}, Std: []float64{128}}, []float32{-61, 3, 67}},
		{"int8 with a tiny scale", TensorInfo{Type: "int8", Scale: 1e-38}, Input{Mean: []float64{127}, Std: []float64{1e-3}}, []float32{-128, 0, 127}},
		{"uint8 clamped", TensorInfo{Type: "uint8", Scale: 1. / 64}, Input{Mean: []float64{127}, Std: []float64{8}}, []float32{0, 0, 255}},
		{"float by default", TensorInfo{Type: "float32"}, Input{}, []float32{-1, -0.003922, 1}},
		{"float by channel", TensorInfo{Type: "float32"}, Input{Mean: []float64{1, 27, 55}, Std: []float64{1, 10, 100}}, []float32{-1, 10, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := tensorView{TensorInfo: TensorInfo{Type: tt.in.Type, Scale: 1}, data: make([]byte, 3*tt.in.byteSize())}
			var s pixel.Scaler
			target := pixel.Target{Width: 1, Height: 1, Encoding: newEncoding(tt.in, tt.norm)}
			if _, err := s.Tensor(v.data, &target, pixel.Image{Format: pixel.RGB24, Width: 1, Height: 1, Data: rgb}); err != nil {
				t.Fatal(err)
			}
			for i, want := range tt.want {
				if got := v.float(i); math.Abs(float64(got-want)) > 1e-4 {
					t.Errorf("channel %d is %v, want %v", i, got, want)
				}
			}
		})
	}
}

func TestDetectorWithoutLabelsCallsClassesByNumber(t *testing.T) {
	v := detection([]float32{1234}, []float32{0.6}, []float32{0.1, 0.2, 0.5, 0.6}, 1)
	d, _, err := newDecoder(&Bundle{}, infos(v), Options{})
	if err != nil {
		t.Fatal(err)
	}
	results, err := d.decode(v, nil)
	if err != nil || len(results) != 1 || results[0].Label != "1234" {
		t.Fatalf("results %+v, %v", results, err)
	}
	if n := testing.AllocsPerRun(10, func() { results, _ = d.decode(v, results) }); n != 0 {
		t.Errorf("%v allocations per decode, want 0", n)
	}
}

// TestEncodingShortcuts: a table is left out where it would do nothing.
func TestEncodingShortcuts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		in    TensorInfo
		norm  Input
		plain bool
		flip  byte
	}{
		{"uint8 copied", TensorInfo{Type: "uint8"}, Input{}, true, 0},
		{"int8 flipped", TensorInfo{Type: "int8"}, Input{}, true, 0x80},
		{"the usual normalisation", TensorInfo{Type: "int8", Scale: 1 / 127.5, ZeroPoint: -1}, Input{Mean: []float64{127.5}, Std: []float64{127.5}}, false, 0},
		{"normalised to the pixel itself", TensorInfo{Type: "uint8", Scale: 1}, Input{Mean: []float64{0}, Std: []float64{1}}, true, 0},
		{"another zero point", TensorInfo{Type: "uint8", Scale: 1, ZeroPoint: 1}, Input{Mean: []float64{0}, Std: []float64{1}}, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if e := newEncoding(tt.in, tt.norm); (e.Bytes == nil) != tt.plain || e.Flip != tt.flip {
				t.Errorf("table left out %v, flip %#x, want %v and %#x", e.Bytes == nil, e.Flip, tt.plain, tt.flip)
			}
		})
	}
}
