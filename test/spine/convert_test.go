package spine

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite"
)

func TestModelConvert(t *testing.T) {
	dir := t.TempDir()
	in, file, folder := filepath.Join(dir, "old"), filepath.Join(dir, "new.tflite"), filepath.Join(dir, "new", "1")
	if err := smallmodel.WriteBundle(in, smallmodel.Options{Type: smallmodel.UInt8, Side: 32}); err != nil {
		t.Fatal(err)
	}
	plot := filepath.Join(dir, "plot.svg")
	out, errs, code := egret(t, nil, "model", "convert", in, "-o", file, "--inputs", "20", "--threads", "1", "--delegate", "xnnpack", "--plot", plot)
	if code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	wantLines(t, "convert", out, 11, "2 QUANTIZE and 0 DEQUANTIZE added", "times as fast, on 20 inputs made of 1 pictures", "written: "+file)
	if _, err := os.Stat(plot); err != nil {
		t.Error(err)
	}
	if b, err := tflite.OpenBundle(file); err != nil || b.Digest == "" {
		t.Errorf("what was written: %v", err)
	}
	out, errs, code = egret(t, nil, "model", "convert", in, "-o", folder, "--inputs", "8", "--threads", "1", "--delegate", "xnnpack", "--native-border", "--json")
	if code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	var result struct {
		Output string
		Report struct {
			To       string
			Quantize int
		}
		Comparison struct {
			Inputs    int
			Speedup   float64
			ClearTop1 float64 `json:"clear_top1"`
		}
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if c := result.Comparison; result.Output != folder || result.Report.To != "int8" || result.Report.Quantize != 0 || c.Inputs != 8 || c.ClearTop1 != 1 || !(c.Speedup > 0) {
		t.Errorf("result %+v", result)
	}
	if b, err := tflite.OpenBundle(filepath.Dir(folder)); err != nil || b.Version != 1 || len(b.Labels) != 8 || len(b.Manifest.Golden) != 1 {
		t.Errorf("the folder: %+v, %v", b, err)
	}
	onlyThere(t, dir, "new", "new.tflite", "old", "plot.svg")
}

func TestModelConvertRefuses(t *testing.T) {
	dir := t.TempDir()
	pictures, bare, file := filepath.Join(dir, "grey"), filepath.Join(dir, "old.tflite"), filepath.Join(dir, "new.tflite")
	if err := os.WriteFile(bare, smallmodel.Classifier(smallmodel.Options{Type: smallmodel.UInt8, Side: 32}), 0o600); err != nil {
		t.Fatal(err)
	}
	int8Model := filepath.Join(dir, "int8.tflite")
	if err := os.WriteFile(int8Model, smallmodel.Classifier(smallmodel.Options{Side: 32}), 0o600); err != nil {
		t.Fatal(err)
	}
	img := image.NewGray(image.Rect(0, 0, 32, 32))
	for i := range img.Pix {
		img.Pix[i] = 128
	}
	if err := os.Mkdir(pictures, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(pictures, "grey.png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"nothing to judge by": {[]string{bare, "-o", file, "--verify", pictures, "--inputs", "1", "--delegate", "cpu", "--threads", "1"}, 1, "not written: the original is sure of nothing"},
		"int8 already":        {[]string{int8Model, "-o", file, "--verify", pictures}, 1, "it computes with int8 already"},
		"an unknown type":     {[]string{bare, "-o", file, "--to", "int4"}, 2, "give int8 or float32"},
		"a folder that is":    {[]string{bare, "-o", pictures}, 2, "name a new folder"},
		"a float's border":    {[]string{bare, "-o", file, "--to", "float32", "--native-border"}, 2, "--native-border goes with --to int8"},
	} {
		_, errs, code := egret(t, nil, append([]string{"model", "convert"}, c.args...)...)
		if code != c.code {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
		wantLines(t, name, errs, 1, c.want)
	}
	onlyThere(t, dir, "grey", "int8.tflite", "old.tflite")
}

// TestModelConvertInterrupted: Ctrl-C leaves nothing behind.
func TestModelConvertInterrupted(t *testing.T) {
	dir := t.TempDir()
	if err := smallmodel.WriteBundle(filepath.Join(dir, "old"), smallmodel.Options{Type: smallmodel.UInt8, Side: 32}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "model", "convert", filepath.Join(dir, "old"), "-o", filepath.Join(dir, "new.tflite"),
		"--inputs", "10000000", "--threads", "1", "--delegate", "cpu")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	waitFor(t, "the conversion", func() bool {
		files, _ := filepath.Glob(filepath.Join(dir, ".egret-convert-*", "*.tflite"))
		return len(files) > 0
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || !strings.HasSuffix(errs.String(), "interrupted: nothing is written\n") {
		t.Errorf("%v: %q", err, errs.String())
	}
	onlyThere(t, dir, "old")
}

// onlyThere holds that a folder has these entries and nothing that was left
// behind.
func onlyThere(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	if len(have) != len(names) {
		t.Fatalf("%s holds %v, want %v", dir, have, names)
	}
	for i := range names {
		if have[i] != names[i] {
			t.Errorf("%s holds %v, want %v", dir, have, names)
		}
	}
}
