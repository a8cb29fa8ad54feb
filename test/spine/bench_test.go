package spine

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/test/smallmodel"
)

// TestBench: a generated int8 model, which XNNPACK takes, and a delegate that
// this device does not have.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	if err := smallmodel.WriteBundle(dir, smallmodel.Options{}); err != nil {
		t.Fatal(err)
	}
	plot := filepath.Join(dir, "bench.svg")
	args := []string{"bench", "--model", dir, "--delegate", "edgetpu", "--delegate", "xnnpack", "--delegate", "cpu", "--max-threads", "1", "--plot", plot}
	out, errs, code := egret(t, nil, append(args, "--json")...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var s agent.Sweep
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(s.Runs) != 3 || s.Runs[0].OK || s.Runs[0].Reason == "" || !s.Runs[1].OK || !s.Runs[2].OK {
		t.Fatalf("runs %+v", s.Runs)
	}
	x, cpu := s.Runs[1], s.Runs[2]
	if x.Delegate != "xnnpack" || x.Delegated < x.Operators/2 || x.Golden != 1 || cpu.Delegate != "cpu" || !(x.InvokeP50 > 0) || s.Library != x.Library {
		t.Errorf("runs %+v", s.Runs)
	}
	// Five times as fast where nothing else runs; here, only faster.
	if x.InvokeP50 >= cpu.InvokeP50 || s.Auto.Delegate != "xnnpack" || s.Auto.Threads < 1 {
		t.Errorf("xnnpack takes %.2f ms, the CPU %.2f; auto chose %+v", x.InvokeP50, cpu.InvokeP50, s.Auto)
	}
	svg, err := os.ReadFile(plot)
	if err != nil || !strings.Contains(string(svg), "← auto") || !strings.Contains(string(svg), "cpu × 1") {
		t.Errorf("plot: %v\n%s", err, svg)
	}
	out, _, code = egret(t, nil, args...)
	if code != 0 || !strings.Contains(out, "delegate: xnnpack") || !strings.Contains(out, "libedgetpu.so.1") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestEvalAndExplain(t *testing.T) {
	dir := t.TempDir()
	picture := filepath.Join(dir, "peacock", "1.png")
	if err := os.MkdirAll(filepath.Dir(picture), 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, "samples/classify/peacock.png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(picture, data, 0o644); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(root, "models", classifier)
	plot, confusion := filepath.Join(dir, "plot.svg"), filepath.Join(dir, "confusion.svg")
	out, errs, code := egret(t, nil, "eval", "--model", model, "--delegate", "cpu", "--threads", "1", "--plot", plot, "--confusion", confusion, "--json", dir)
	var all []agent.Evaluation
	if err := json.Unmarshal([]byte(out), &all); code != 0 || err != nil || len(all) != 1 || all[0].Top1 != 1 || all[0].Pictures != 1 {
		t.Errorf("exit code %d, %v: %s%s", code, err, out, errs)
	}
	for path, word := range map[string]string{plot: "top-1", confusion: "peacock"} {
		if svg, err := os.ReadFile(path); err != nil || !strings.Contains(string(svg), word) {
			t.Errorf("%s: %v, want %q in it", path, err, word)
		}
	}
	heat := filepath.Join(dir, "heat.png")
	out, errs, code = egret(t, nil, "explain", "--model", model, "--steps", "3", "-o", heat, picture)
	if code != 0 || !strings.HasPrefix(out, "peacock 0.9") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	f, err := os.Open(heat)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if img, err := png.Decode(f); err != nil || img.Bounds().Dy() != 512 {
		t.Errorf("heat map: %v", err)
	}
}
