package spine

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/egret-edge/egret/sync/payload"
)

func decode(t *testing.T, line string) payload.Prediction {
	t.Helper()
	var p payload.Prediction
	dec := json.NewDecoder(strings.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	return p
}

// widePNG is a PNG header that announces a picture of the given size.
func widePNG(width, height uint32) []byte {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		_ = binary.Write(&b, binary.BigEndian, uint32(len(data)))
		body := append([]byte(kind), data...)
		b.Write(body)
		_ = binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	ihdr := binary.BigEndian.AppendUint32(nil, width)
	ihdr = binary.BigEndian.AppendUint32(ihdr, height)
	chunk("IHDR", append(ihdr, 8, 2, 0, 0, 0))
	chunk("IEND", nil)
	return b.Bytes()
}

func TestClassifyBothModels(t *testing.T) {
	for _, tt := range []struct {
		model, picture, label string
		task                  payload.Task
	}{
		{classifier, "classify/peacock.png", "peacock", payload.Classify},
		{"ssd_mobilenet_v1_quant", "detect/example.jpg", "", payload.Detect},
	} {
		t.Run(tt.model, func(t *testing.T) {
			out, errs, code := egret(t, nil, "classify", "--json", "--model", filepath.Join(root, "models", tt.model), filepath.Join(root, "samples", tt.picture))
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			p := decode(t, out)
			if p.Task != tt.task || len(p.Results) == 0 || p.Model.Version != 1 || !strings.HasPrefix(p.Model.Digest, "sha256:") {
				t.Fatalf("prediction %+v", p)
			}
			top := p.Results[0]
			if tt.label != "" && top.Label != tt.label {
				t.Errorf("top label %q, want %q", top.Label, tt.label)
			}
			if (top.Box != nil) != (tt.task == payload.Detect) {
				t.Errorf("box %v for task %s", top.Box, tt.task)
			}
			if p.Latency.Invoke <= 0 || p.Latency.Total < p.Latency.Invoke+p.Latency.Decode {
				t.Errorf("latency %+v does not add up", p.Latency)
			}
		})
	}
}

// TestClassifyForms: folders, standard input and CSV see the same peacock, and
// the model is loaded once however many pictures there are.
func TestClassifyForms(t *testing.T) {
	model := filepath.Join(root, "models", classifier)
	peacock, err := os.ReadFile(filepath.Join(root, "samples/classify/peacock.png"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"a.png", "b.png", "sub/c.png"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), peacock, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, code := egret(t, nil, "classify", "--json", "--model", model, dir)
	if n := strings.Count(out, `"label":"peacock"`); code != 0 || n != 3 {
		t.Errorf("folder: exit %d, %d peacocks, want 0 and 3; %s", code, n, errs)
	}
	out, errs, code = egret(t, peacock, "classify", "--csv", "--top-k", "1", "--model", model, "-")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 2 || !strings.Contains(lines[1], ",peacock,0.") {
		t.Errorf("stdin as CSV: exit %d: %q %s", code, out, errs)
	}
	out, _, code = egret(t, nil, "classify", "--model", model, filepath.Join(dir, "a.png"))
	if code != 0 || !strings.Contains(out, "peacock") || !strings.HasPrefix(out, "PICTURE") {
		t.Errorf("table: exit %d: %s", code, out)
	}
}

// TestWrongUse are mistakes on the command line.
func TestWrongUse(t *testing.T) {
	peacock := filepath.Join(root, "samples/classify/peacock.png")
	model := filepath.Join(root, "models", classifier)
	wrongSource := newConfig(t, strings.Replace(offline, "fps=10", "fsp=10", 1)).path
	for _, tt := range []struct {
		name string
		args []string
		in   string
		code int
		says string
	}{
		{"no command of that name", []string{"clasify"}, "", 2, "unknown command"},
		{"no flag of that name", []string{"classify", "--mdoel", "x", peacock}, "", 2, "unknown flag"},
		{"no picture", []string{"classify"}, "", 2, "requires at least 1 arg"},
		{"missing picture", []string{"classify", "--model", model, "none.png"}, "", 1, "none.png"},
		{"text as picture", []string{"classify", "--model", model, "-"}, "hello", 1, "-: "},
		{"empty folder", []string{"classify", "--model", model, t.TempDir()}, "", 1, "no pictures"},
		{"top-k out of range", []string{"classify", "--top-k", "0", peacock}, "", 2, "--top-k"},
		{"threshold out of range", []string{"classify", "--threshold", "2", peacock}, "", 2, "--threshold"},
		{"unknown delegate", []string{"classify", "--model", model, "--delegate", "warp", peacock}, "", 2, "warp"},
		{"threads out of range", []string{"eval", "--threads", "65", root}, "", 2, "--threads: 65"},
		{"a delegate that is not here", []string{"probe", "--model", model, "--delegate", "edgetpu"}, "", 1, "libedgetpu.so.1"},
		{"an argument for probe", []string{"probe", model}, "", 2, "--model"},
		{"no request for probe", []string{"probe", "-"}, "", 1, "probe request"},
		{"bench of too many threads", []string{"bench", "--max-threads", "65"}, "", 2, "--max-threads"},
		{"bench of no model", []string{"bench", "--model", "none"}, "", 1, "none"},
		{"eval of a file", []string{"eval", peacock}, "", 1, "not a directory"},
		{"eval of classes that are none", []string{"eval", "--model", model, "--delegate", "cpu", "--threads", "1", filepath.Join(root, "samples")}, "", 1, "names no class"},
		{"explain without a file to write", []string{"explain", peacock}, "", 2, "out"},
		{"explain with a huge window", []string{"explain", "--window", "2", "-o", "x.png", peacock}, "", 2, "--window"},
		{"explain into nowhere", []string{"explain", "--model", model, "--steps", "2", "-o", "/dev/null/x.png", peacock}, "", 1, "/dev/null/x.png"},
		{"unknown key of a source", []string{"config", "check", wrongSource}, "", 2, "cameras[0].source"},
		{"no label", []string{"model", "info", "none.tflite"}, "", 1, "none.tflite"},
		{"missing configuration", []string{"run", "--config", "none.yaml"}, "", 2, "none.yaml"},
		{"no outbox", []string{"outbox", "stat", "--state-dir", t.TempDir()}, "", 1, "outbox"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, errs, code := egret(t, []byte(tt.in), tt.args...)
			if code != tt.code || !strings.Contains(errs, tt.says) || strings.Count(errs, "\n") != 1 {
				t.Errorf("exit code %d, want %d; want one line with %q, got %q", code, tt.code, tt.says, errs)
			}
		})
	}
}

// TestLook are the commands that only show something.
func TestLook(t *testing.T) {
	c := newConfig(t, offline)
	model := filepath.Join(root, "models", classifier)
	for _, tt := range []struct {
		name string
		args []string
		says []string
	}{
		{"help", []string{"--help"}, []string{"classify", "doctor", "Exit codes"}},
		{"version", []string{"version"}, []string{"egret ", "TensorFlow Lite ", "go1."}},
		{"config check", []string{"config", "check", c.path}, []string{": ok"}},
		{"config print", []string{"config", "print", "--config", c.path}, []string{"flush_interval: 100ms", "fleet: default"}},
		{"config schema", []string{"config", "schema"}, []string{"$schema", "stall_timeout"}},
		{"model info", []string{"model", "info", model}, []string{"uint8 [1 224 224 3]", "labels    1001", "sha256:"}},
		{"model info as JSON", []string{"model", "info", "--json", model}, []string{`"task": "classify"`}},
		{"completion", []string{"completion", "bash"}, []string{"__start_egret"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, code := egret(t, nil, tt.args...)
			if code != 0 || errs != "" {
				t.Errorf("exit code %d: %s", code, errs)
			}
			for _, word := range tt.says {
				if !strings.Contains(out, word) {
					t.Errorf("does not say %q:\n%s", word, out)
				}
			}
		})
	}
}
