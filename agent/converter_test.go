package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite"
)

// kitchen is a device whose conversions are described, beside the table of its
// milliseconds ("xnnpack/int8×1").
type kitchen struct {
	device
	refuse   map[string]string // reasons, by type
	needless bool
	full     bool // the disk
	memory   uint64
	made     []string
	compared int
	agree    map[string]Comparison // by type; what lacks agrees on all
}

func (k *kitchen) probe(ctx context.Context, req ProbeRequest) ProbeReport {
	if !req.Convert {
		if req.Converted != "" {
			req.Delegate += "/" + req.Converted
			r := k.device.probe(ctx, req)
			r.Spec, r.Converted, r.Delegated, r.Memory = tflite.XNNPACK, req.Converted, 28, k.memory
			return r
		}
		return k.device.probe(ctx, req)
	}
	if req.File != "" {
		k.made = append(k.made, req.Converted)
	}
	r := ProbeReport{Converted: req.Converted, Needless: k.needless, Reason: k.refuse[req.Converted]}
	r.Unwritten = k.full
	if r.OK = r.Reason == "" && !k.needless && !k.full; r.OK && req.File != "" {
		// What lies there must be a model's file, for its digest.
		if err := os.WriteFile(req.File, []byte("....TFL3"+req.Converted), 0o600); err != nil {
			return ProbeReport{Reason: err.Error()}
		}
		r.Digest, _ = (&tflite.Bundle{ModelPath: req.File}).FileDigest()
	}
	return r
}

func (k *kitchen) compare(_ context.Context, req Comparing) (Comparison, error) {
	k.compared++
	c, ok := k.agree[req.Converted.Bundle.Converted]
	if !ok {
		c = Comparison{Inputs: 96, Agreement: Agreement{Task: tflite.Classify, Classes: 4, Clear: 90, ClearTop1: 1}}
	}
	if c.Original.InvokeP50 == 0 {
		c.Original.InvokeP50, c.Converted.InvokeP50 = 40, 8
	}
	return c, nil
}

func TestChooseConverted(t *testing.T) {
	b := openBundle(t, mobilenet)
	fast := map[string]float64{"xnnpack×1": 41, "cpu×1": 40, "xnnpack/int8×1": 8, "xnnpack/float32×1": 9}
	clear := func(n int, share float64) Comparison {
		return Comparison{Inputs: n, Agreement: Agreement{Task: tflite.Classify, Classes: 2, Clear: n, ClearTop1: share}}
	}
	for _, tt := range []struct {
		name     string
		k        kitchen
		list     []string
		required bool
		limit    uint64
		want     string // delegate and type
		made     string
		reason   string // for which something is not used
		err      string
	}{
		{name: "int8", k: kitchen{}, want: "xnnpack int8", made: "int8"},
		{name: "one who asks for xnnpack gets it too", list: []string{"xnnpack"}, want: "xnnpack int8", made: "int8"},
		{name: "not one who asks for the CPU", list: []string{"cpu"}, want: "cpu "},
		{name: "nor with require", list: []string{"cpu"}, required: true, err: "inference.delegate has it run on cpu before auto or xnnpack"},
		{name: "nor is one refused that needs no conversion", k: kitchen{needless: true}, list: []string{"cpu"}, required: true, want: "cpu "},
		{name: "no kernels for int8: float32", k: kitchen{device: device{ms: map[string]float64{"cpu×1": 40, "xnnpack/float32×1": 9}}},
			want: "xnnpack float32", made: "int8 float32", reason: "int8: no luck with xnnpack/int8×1"},
		{name: "slower: the model itself", k: kitchen{device: device{ms: map[string]float64{"cpu×1": 8, "xnnpack/int8×1": 7.9, "xnnpack/float32×1": 9}}},
			want: "cpu ", made: "int8 float32", reason: "int8: it is not faster"},
		{name: "disagrees: float32", k: kitchen{agree: map[string]Comparison{"int8": clear(96, 0.95)}},
			want: "xnnpack float32", made: "int8 float32", reason: "int8: it gives another answer in 5 of 96"},
		{name: "one of few may differ", k: kitchen{agree: map[string]Comparison{"int8": clear(20, 0.95)}}, want: "xnnpack int8", made: "int8"},
		{name: "sure of too little", k: kitchen{agree: map[string]Comparison{"int8": clear(11, 1), "float32": clear(0, 0)}},
			want: "cpu ", made: "int8 float32", reason: "float32: the original is sure of 0 of its answers"},
		{name: "measured slower beside the original", k: kitchen{agree: map[string]Comparison{"int8": {
			Inputs: 96, Agreement: Agreement{Task: tflite.Classify, Classes: 4, Clear: 96, ClearTop1: 1}, Original: CompareSide{InvokeP50: 8}, Converted: CompareSide{InvokeP50: 8},
		}}}, want: "xnnpack float32", made: "int8 float32", reason: "int8: it is not faster: 8.00 ms"},
		{name: "sure of one class", k: kitchen{agree: map[string]Comparison{"int8": {Inputs: 96, Agreement: Agreement{Task: tflite.Classify, Classes: 1, Clear: 96, ClearTop1: 1}}}},
			want: "xnnpack float32", made: "int8 float32", reason: "int8: the original is sure of one class alone"},
		{name: "boxes that are there too much", k: kitchen{agree: map[string]Comparison{"int8": {Inputs: 96, Agreement: Agreement{Task: tflite.Detect, Boxes: 50, Matched: 50, Extra: 3}}}},
			want: "xnnpack float32", made: "int8 float32", reason: "int8: it gives another answer in 3 of 53"},
		{name: "too large", k: kitchen{memory: 300 << 20}, limit: 200 << 20, want: "cpu ", made: "int8 float32",
			reason: "int8: it needs 300 MiB of memory, and at most 200 are allowed"},
		{name: "refused", k: kitchen{refuse: map[string]string{"int8": "operator 3, LSTM: no", "float32": "operator 3, LSTM: no"}},
			want: "cpu ", made: "int8 float32", reason: "int8: operator 3, LSTM: no"},
		{name: "refused, and required", k: kitchen{refuse: map[string]string{"int8": "operator 3, LSTM: no", "float32": "nor so"}}, required: true,
			made: "int8 float32", err: "does not run converted, and inference.convert is require: int8: operator 3, LSTM: no; float32: nor so"},
		{name: "nothing to convert", k: kitchen{needless: true}, required: true, want: "cpu ", made: "int8"},
		{name: "an accelerator needs none", k: kitchen{device: device{ms: map[string]float64{"edgetpu×1": 3, "cpu×1": 40, "xnnpack/int8×1": 8}}},
			list: []string{"edgetpu", "auto"}, required: true, want: "edgetpu "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &tt.k
			if k.ms == nil {
				k.ms = fast
			}
			if tt.list == nil {
				tt.list = []string{auto}
			}
			tuner := Tuner{Probe: k.probe, Cores: 1, Converter: &Converter{Dir: filepath.Join(t.TempDir(), "c"), Required: tt.required, MaxMemory: tt.limit, compare: k.compare}}
			c, err := tuner.Choose(t.Context(), b, tt.list, 0)
			if got := strings.Join(k.made, " "); got != tt.made {
				t.Errorf("made %q, want %q", got, tt.made)
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want %q in one line", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Delegate + " " + c.way().converted; got != tt.want {
				t.Errorf("chose %q, want %q; table %s", got, tt.want, c.Summary())
			}
			if why := strings.Join(c.Refused, "; "); !strings.Contains(why, tt.reason) || (why == "") != (tt.reason == "") {
				t.Errorf("reasons %q, want %q", why, tt.reason)
			}
			files, _ := filepath.Glob(filepath.Join(tuner.Converter.Dir, "*"))
			if want := map[bool]int{true: 1}[c.Conversion != nil]; len(files) != want {
				t.Errorf("files %q, want %d: what was refused does not stay", files, want)
			}
			if len(c.Passed) > 0 && tt.list[0] == auto {
				t.Errorf("a conversion is waited for: %+v", c.Passed)
			}
		})
	}
}

// TestConversionIsKept: the next start measures nothing and converts nothing,
// unless the file is not what was proved.
func TestConversionIsKept(t *testing.T) {
	b := openBundle(t, mobilenet)
	dir := t.TempDir()
	k := &kitchen{device: device{ms: map[string]float64{"cpu×1": 40, "xnnpack×1": 41, "xnnpack/int8×1": 8}}}
	inf := configs.Default().Inference
	choose := func() (Choice, int) {
		t.Helper()
		tuner := NewTuner(inf, dir, nil)
		tuner.Probe, tuner.Cores = k.probe, 1
		if tuner.Converter != nil {
			tuner.Converter.compare = k.compare
		}
		before := len(k.probed) + len(k.made)
		c, err := tuner.Choose(t.Context(), b, []string{auto}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return c, len(k.probed) + len(k.made) - before
	}
	first, _ := choose()
	if first.Conversion == nil {
		t.Fatalf("chose %+v", first)
	}
	if c, probes := choose(); probes != 0 || !c.Remembered || c.Conversion == nil || *c.Conversion != *first.Conversion {
		t.Errorf("after %d probes %+v, want what was remembered", probes, c.Conversion)
	}
	file := (&Converter{Dir: filepath.Join(dir, ConvertedDir)}).file(b, ToInt8)
	for name, harm := range map[string]func() error{
		"a flipped bit": func() error { return os.WriteFile(file, []byte("....TFL3hnt8"), 0o600) },
		"no file":       func() error { return os.Remove(file) },
		"half a file":   func() error { return os.Truncate(file, 3) },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		if c, probes := choose(); probes == 0 || c.Conversion == nil {
			t.Errorf("%s: %d probes, %+v; want it made again", name, probes, c.Conversion)
		}
		if _, probes := choose(); probes != 0 {
			t.Errorf("%s: not mended for good", name)
		}
	}
	inf.Convert = "off"
	if c, probes := choose(); probes == 0 || c.Conversion != nil {
		t.Errorf("switched off: %+v after %d probes", c.Conversion, probes)
	}
	inf.Convert, inf.MaxMemory = "auto", 1<<30
	if _, probes := choose(); probes == 0 {
		t.Error("another limit of memory: not measured anew")
	}
}

// TestPassingRefusals: what the next start may not meet is not remembered, and
// what it will meet is, with the reason.
func TestPassingRefusals(t *testing.T) {
	b := openBundle(t, mobilenet)
	dir := t.TempDir()
	k := &kitchen{device: device{ms: map[string]float64{"cpu×1": 40, "xnnpack×1": 41, "xnnpack/int8×1": 8}}}
	inf := configs.Default().Inference
	choose := func() (Choice, error) {
		tuner := NewTuner(inf, dir, nil)
		tuner.Probe, tuner.Cores, tuner.Converter.compare = k.probe, 1, k.compare
		return tuner.Choose(t.Context(), b, []string{auto}, 0)
	}
	// A file where the folder should be.
	if err := os.WriteFile(filepath.Join(dir, ConvertedDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := choose(); err != nil || c.Conversion != nil || len(c.Refused) != 2 {
		t.Errorf("without a place for it: %+v, %v", c, err)
	}
	inf.Convert = "require"
	if _, err := choose(); !errors.As(err, new(*passing)) {
		t.Errorf("error %v, want one that may pass", err)
	}
	inf.Convert = "auto"
	if err := os.Remove(filepath.Join(dir, ConvertedDir)); err != nil {
		t.Fatal(err)
	}
	k.full = true
	if c, err := choose(); err != nil || c.Remembered || c.Conversion != nil {
		t.Errorf("with a full disk: %+v, %v", c, err)
	}
	k.full = false
	k.agree = map[string]Comparison{"int8": {Inputs: 96, Agreement: Agreement{Task: tflite.Classify, Classes: 2, Clear: 96, ClearTop1: 0.5}}}
	if c, err := choose(); err != nil || c.Remembered || len(c.Refused) != 2 || !strings.Contains(c.Refused[0], "another answer in 48 of 96") {
		t.Errorf("with a place for it: %+v, %v", c, err)
	}
	k.agree = nil
	if c, err := choose(); err != nil || !c.Remembered || len(c.Refused) != 2 {
		t.Errorf("at the next start %+v, %v; want the reasons remembered", c, err)
	}
	inf.Convert = "require"
	if c, err := choose(); err != nil || c.Remembered || c.Conversion == nil {
		t.Errorf("required: %+v, %v; want it tried anew", c, err)
	}
	b.Manifest.Golden = append(b.Manifest.Golden, tflite.Golden{Image: "another.png"})
	if c, err := choose(); err != nil || c.Remembered {
		t.Errorf("with another golden sample: %+v, %v; want it tried anew", c, err)
	}
}

// TestKilledInARound: a process that is killed when it is tried again, as memory
// runs out, says nothing of the conversion.
func TestKilledInARound(t *testing.T) {
	for _, hung := range []bool{false, true} {
		k := &kitchen{device: device{ms: map[string]float64{"cpu×1": 40, "xnnpack×1": 41, "xnnpack/int8×1": 8}}}
		tries := 0
		tuner := NewTuner(configs.Default().Inference, t.TempDir(), nil)
		tuner.Cores, tuner.Converter.compare = 1, k.compare
		tuner.Probe = func(ctx context.Context, req ProbeRequest) ProbeReport {
			r := k.probe(ctx, req)
			if req.Converted == ToInt8 && !req.Convert {
				if tries++; tries > 1 {
					r.OK, r.died, r.hung, r.Reason = false, true, hung, "crashed (killed)"
				}
			}
			return r
		}
		choose := func() Choice {
			tries = 0
			c, err := tuner.Choose(t.Context(), openBundle(t, mobilenet), []string{auto}, 0)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		if c := choose(); c.Conversion != nil || len(c.Refused) != 1 || !strings.Contains(c.Refused[0], "int8: crashed (killed)") {
			t.Errorf("chose %+v, refused %q", c.way(), c.Refused)
		}
		if c := choose(); c.Remembered != hung { // one that hangs does so again
			t.Errorf("hung %t: remembered %t", hung, c.Remembered)
		}
	}
}

// TestRefusalLeavesOthersFile: another version of the same model may serve from
// it.
func TestRefusalLeavesOthersFile(t *testing.T) {
	dir := t.TempDir()
	k := &kitchen{device: device{ms: map[string]float64{"cpu×1": 40, "xnnpack×1": 41, "xnnpack/int8×1": 8}}, memory: 300 << 20}
	inf := configs.Default().Inference
	choose := func() Choice {
		tuner := NewTuner(inf, dir, nil)
		tuner.Probe, tuner.Cores, tuner.Converter.compare = k.probe, 1, k.compare
		c, err := tuner.Choose(t.Context(), openBundle(t, mobilenet), []string{auto}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if choose().Conversion == nil {
		t.Fatal("not converted")
	}
	inf.MaxMemory = 200 << 20
	if c := choose(); c.Conversion != nil {
		t.Errorf("chose %+v in spite of its memory", c.way())
	}
	inf.MaxMemory = 0
	if c := choose(); c.Conversion == nil || !c.Remembered || len(k.made) != 2 || k.compared != 1 {
		t.Errorf("again %+v, made %v, compared %d times", c.way(), k.made, k.compared)
	}
}

// TestPatience: a worker whose model takes seconds is waited for so long.
func TestPatience(t *testing.T) {
	for _, tt := range []struct{ invoke, want time.Duration }{
		{0, workerBound}, {70 * time.Millisecond, workerBound}, {2 * time.Second, 8 * time.Second}, {time.Minute, 20 * time.Second},
	} {
		w := &worker{}
		if tt.invoke > 0 {
			w.invokes.add(time.Millisecond)
			w.invokes.add(tt.invoke)
		}
		if got := w.patience(); got != tt.want {
			t.Errorf("an Invoke of %v: %v, want %v", tt.invoke, got, tt.want)
		}
	}
}

// TestProofIsKept: where choices are not remembered, as while a Coral is away,
// the comparison is made once all the same.
func TestProofIsKept(t *testing.T) {
	dir := t.TempDir()
	k := &kitchen{device: device{ms: map[string]float64{"cpu×1": 40, "xnnpack×1": 41, "xnnpack/int8×1": 8}}}
	for start := range 3 {
		tuner := NewTuner(configs.Default().Inference, dir, nil)
		tuner.Probe, tuner.Cores, tuner.Converter.compare = k.probe, 1, k.compare
		c, err := tuner.Choose(t.Context(), openBundle(t, mobilenet), []string{"edgetpu", auto}, 0)
		if err != nil || c.Remembered || c.Conversion == nil || c.Conversion.OriginalMs != 40 {
			t.Errorf("start %d: %+v, %v", start, c, err)
		}
	}
	if len(k.made) != 1 || k.compared != 1 {
		t.Errorf("made %d times and compared %d times, want once", len(k.made), k.compared)
	}
}

// TestConversionLeavesRoom: the predictions need the disk more.
func TestConversionLeavesRoom(t *testing.T) {
	b := *openBundle(t, mobilenet)
	b.ModelPath = filepath.Join(t.TempDir(), "huge.tflite")
	f, err := os.Create(b.ModelPath)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 42); err != nil { // a hole
		t.Skip("no file system for so large a file: ", err)
	}
	c := Converter{Dir: t.TempDir()}
	if err := c.room(&b, ToInt8); err == nil || !strings.Contains(err.Error(), "MiB are free") {
		t.Errorf("a conversion of 8 TiB: %v", err)
	}
	if err := c.room(openBundle(t, mobilenet), ToFloat32); err != nil {
		t.Errorf("one of 20 MB: %v", err)
	}
}

// TestLookingConvertsNothing: the doctor, who may be root, leaves no files in the
// service's folder that the service cannot replace.
func TestLookingConvertsNothing(t *testing.T) {
	k := &kitchen{device: device{ms: map[string]float64{"cpu×1": 40, "xnnpack×1": 41, "xnnpack/int8×1": 8}}}
	inf := configs.Default().Inference
	inf.Convert = "require"
	dir := t.TempDir()
	tuner := NewTuner(inf, dir, nil)
	tuner.Probe, tuner.Cores, tuner.Memory.ReadOnly, tuner.Converter.ReadOnly = k.probe, 1, true, true
	c, err := tuner.Choose(t.Context(), openBundle(t, mobilenet), []string{auto}, 0)
	if files, _ := os.ReadDir(dir); err != nil || c.Conversion != nil || len(k.made) > 0 || len(files) > 0 {
		t.Errorf("chose %+v, %v; made %v, files %v", c.way(), err, k.made, files)
	}
}

func TestConvertedFilesAreFew(t *testing.T) {
	c := Converter{Dir: t.TempDir()}
	used := func(name string, ago time.Duration) {
		t.Helper()
		path, when := filepath.Join(c.Dir, name), time.Now().Add(-ago)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxConversions + 3 {
		used(string(rune('a'+i))+".tflite", time.Duration(i+2)*time.Hour)
	}
	used("crashed"+unfinished, 3*time.Hour)
	used("under-way"+unfinished, time.Minute)
	c.prune()
	left, _ := filepath.Glob(filepath.Join(c.Dir, "*"))
	if len(left) != maxConversions || filepath.Base(left[0]) != "a.tflite" || filepath.Base(left[maxConversions-1]) != "under-way"+unfinished {
		t.Errorf("left %q, want the %d newest", left, maxConversions)
	}
	// The models of one start may be more.
	for i := range maxConversions + 3 {
		used(string(rune('a'+i))+".tflite", time.Minute)
	}
	c.prune()
	if left, _ = filepath.Glob(filepath.Join(c.Dir, "*")); len(left) != maxConversions+4 {
		t.Errorf("left %q, want all that this start has used", left)
	}
}

// TestConversionServes has the real parts do all of it, with a small model: the
// trial process converts, and what is opened answers as the original does.
func TestConversionServes(t *testing.T) {
	o := smallOptions
	o.Type = smallmodel.UInt8
	b := smallBundle(t, o)
	dir := t.TempDir()
	inf := configs.Default().Inference
	tuner := NewTuner(inf, dir, nil)
	tuner.Cores = 1
	digest, err := tuner.make(t.Context(), b, ToInt8)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tuner.make(t.Context(), smallBundle(t, smallOptions), ToInt8); !errors.Is(err, errNeedless) {
		t.Errorf("an int8 model: %v, want that it is needless", err)
	}
	v, err := tuner.Converter.prove(t.Context(), Side{b, tflite.CPU, 1}, Side{tuner.Converter.as(b, ToInt8), tflite.XNNPACK, 1})
	if v.Sure < sureLeast || v.Agreement != 1 || err != nil && !strings.Contains(err.Error(), "not faster") {
		t.Errorf("proof %+v, %v", v, err) // so small a model need not be faster
	}
	v.Digest = digest
	op := &opener{bundle: b, inf: inf, tuner: tuner, open: openModel}
	op.choice = Choice{Delegate: tflite.XNNPACK, Threads: 1, Conversion: &v}
	m, err := op.first()
	if err != nil {
		t.Fatal(err)
	}
	original, err := op.on(way{delegate: tflite.CPU, threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	info, was := m.Info(), original.Info()
	if info.Converted != "int8" || info.Digest != b.Digest || info.Name != b.Name || info.Delegate != tflite.XNNPACK {
		t.Errorf("it says of itself %+v", info)
	}
	if info.Inputs[0].Type != "uint8" || info.Inputs[0].ZeroPoint != was.Inputs[0].ZeroPoint || info.Outputs[0].Type != "uint8" {
		t.Errorf("its tensors are %v %v, want the original's %v %v", info.Inputs, info.Outputs, was.Inputs, was.Outputs)
	}
	target := m.Target()
	tensor, want, got := make([]byte, target.Bytes()), tflite.Output{Raw: true}, tflite.Output{Raw: true}
	var s pixel.Scaler
	defer s.Close()
	for _, file := range writePictures(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Tensor(tensor, &target, pixel.Image{Format: pixel.PNG, Data: data}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(original.Predict(tensor, &want), m.Predict(tensor, &got)); err != nil {
			t.Fatal(err)
		}
		if got.Results[0].Label != want.Results[0].Label || apart(got.Results[0].Score, want.Results[0].Score) > 0.02 {
			t.Errorf("%s: %v, the original says %v", filepath.Base(file), got.Results, want.Results)
		}
		for i := range want.Tensors[0] {
			if d := int(want.Tensors[0][i]) - int(got.Tensors[0][i]); d < -2 || d > 2 {
				t.Fatalf("%s: output %d is %d, the original's %d", filepath.Base(file), i, got.Tensors[0][i], want.Tensors[0][i])
			}
		}
	}
	defer func() {
		if err := errors.Join(m.Close(), original.Close()); err != nil {
			t.Error(err)
		}
	}()
	t.Run("a file that was changed ends on the model itself", func(t *testing.T) {
		data, err := os.ReadFile(tuner.Converter.file(b, ToInt8))
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(tuner.Converter.file(b, ToInt8), data, 0o600); err != nil {
			t.Fatal(err)
		}
		op := &opener{bundle: b, inf: inf, tuner: tuner, open: openModel, choice: Choice{Delegate: tflite.XNNPACK, Threads: 1, Conversion: &v}}
		m, err := op.first()
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if info := m.Info(); info.Converted != "" || info.Delegate != tflite.CPU || len(op.choice.Passed) != 1 || op.choice.Conversion != nil {
			t.Errorf("it runs as %+v, choice %+v", info, op.choice)
		}
	})
}

// TestMeasureConverted is what `egret bench` lists: both conversions, and why the
// faster one is not chosen.
func TestMeasureConverted(t *testing.T) {
	for _, tt := range []struct {
		agree   float64
		auto    string
		refused int
	}{{1, "int8", 0}, {0.5, "", 2}} {
		k := &kitchen{device: device{ms: map[string]float64{"cpu×1": 40, "xnnpack×1": 41, "xnnpack/int8×1": 8, "xnnpack/float32×1": 9}}}
		k.agree = map[string]Comparison{}
		for _, to := range []string{ToInt8, ToFloat32} {
			k.agree[to] = Comparison{Inputs: 96, Agreement: Agreement{Task: tflite.Classify, Classes: 2, Clear: 96, ClearTop1: tt.agree}}
		}
		s, err := Measure(t.Context(), Tuner{Probe: k.probe, Cores: 1, Converter: &Converter{Dir: t.TempDir(), compare: k.compare}}, openBundle(t, mobilenet), nil)
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, r := range s.Runs {
			rows = append(rows, r.Spec+" "+r.Converted)
		}
		if got := strings.Join(rows, ", "); !strings.Contains(got, "cpu , xnnpack int8, xnnpack float32") {
			t.Errorf("rows %s", got)
		}
		if s.Auto.Converted != tt.auto || len(s.Refused) != tt.refused {
			t.Errorf("agreement %v: auto %+v, refused %q", tt.agree, s.Auto, s.Refused)
		}
	}
}
