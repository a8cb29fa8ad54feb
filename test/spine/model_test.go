package spine

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const mobilenet = "../../models/mobilenet_v1_1.0_224_quant/1"

// copyModel copies a bundle to dir/cats/3 and gives that folder.
func copyModel(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(dir, "cats", "3")
	if err := os.CopyFS(to, os.DirFS(mobilenet)); err != nil {
		t.Fatal(err)
	}
	return to
}

// rewrite changes a file of a bundle.
func rewrite(t *testing.T, dir, name string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(data), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestModelPackAndUnpack(t *testing.T) {
	dir := t.TempDir()
	file, models := filepath.Join(dir, "cats-3.zip"), filepath.Join(dir, "models")
	model := copyModel(t, dir)
	out, errs, code := egret(t, nil, "model", "pack", model, "-o", file)
	if code != 0 {
		t.Fatalf("pack: exit %d: %s%s", code, out, errs)
	}
	wantLines(t, "pack", out, 4, "cats version 3", "answers 1 of 1 golden samples right", "digest    sha256:")
	out, errs, code = egret(t, nil, "model", "unpack", file, "--models", models)
	if code != 0 {
		t.Fatalf("unpack: exit %d: %s%s", code, out, errs)
	}
	wantLines(t, "unpack", out, 3, filepath.Join(models, "cats", "3"), "answers 1 of 1 golden samples right")
	for _, name := range []string{"model.tflite", "labels.txt", "golden/peacock.png"} {
		a, err := os.ReadFile(filepath.Join(model, name))
		b, err2 := os.ReadFile(filepath.Join(models, "cats", "3", name))
		if err != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs: %v, %v", name, err, err2)
		}
	}
	loose := filepath.Join(dir, "loose") // no version
	if err := os.CopyFS(loose, os.DirFS(mobilenet)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want string
		code int
		args []string
	}{
		{"file already exists: remove it, or unpack another version", 1, []string{"unpack", file, "--models", models}},
		{"download.zip: the file name says no model and version, as cats-3.zip would: give --as", 2, []string{"unpack", "download.zip"}},
		{`--as "cats": give <name>/<version>`, 2, []string{"unpack", file, "--as", "cats"}},
		{"no such file", 1, []string{"unpack", filepath.Join(dir, "dogs-1.zip")}},
		{"not a valid bundle", 1, []string{"unpack", filepath.Join(model, "labels.txt"), "--as", "a/1"}},
		{"is a file: give the folder", 1, []string{"pack", file}},
		{"is not models/<name>/<version>", 1, []string{"pack", loose, "--no-check"}},
	} {
		out, errs, code := egret(t, nil, append([]string{"model"}, tt.args...)...)
		if code != tt.code || !strings.Contains(errs, tt.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: exit %d, want %d; %q, want %q in one line; %s", tt.args, code, tt.code, errs, tt.want, out)
		}
	}
}

// Models that must not travel are refused before they are packed, and again
// where they arrive; nothing is left of them.
func TestBadModelsAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		file   string
		change func([]byte) []byte
		want   string
	}{
		"empty":         {"model.tflite", func([]byte) []byte { return nil }, "is not a TensorFlow Lite file"},
		"truncated":     {"model.tflite", func(b []byte) []byte { return b[:len(b)/2] }, "tried and refused"},
		"wrong answer":  {"model.yaml", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("label: peacock"), []byte("label: tabby")) }, "tabby"},
		"labels":        {"labels.txt", func(b []byte) []byte { return b[:bytes.IndexByte(b, '\n')+1] }, "label"},
		"manifest":      {"model.yaml", func(b []byte) []byte { return append(b, "colour: red\n"...) }, "colour"},
		"missing image": {"model.yaml", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("peacock.png"), []byte("swan.png")) }, "swan.png"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			model := copyModel(t, dir)
			rewrite(t, model, tt.file, tt.change)
			file, models := filepath.Join(dir, "cats-3.zip"), filepath.Join(dir, "models")
			out, errs, code := egret(t, nil, "model", "pack", model, "-o", file)
			if code != 1 || !strings.Contains(errs, tt.want) || strings.Count(errs, "\n") != 1 {
				t.Errorf("pack: exit %d; %q, want %q; %s", code, errs, tt.want, out)
			}
			if _, err := os.Stat(file); err == nil {
				t.Fatal("it was packed")
			}
			if _, errs, code := egret(t, nil, "model", "pack", model, "-o", file, "--no-check"); code != 0 {
				if name != "empty" && name != "manifest" { // these cannot be opened at all
					t.Fatalf("pack --no-check: exit %d: %s", code, errs)
				}
				return
			}
			out, errs, code = egret(t, nil, "model", "unpack", file, "--models", models)
			if code != 1 || !strings.Contains(errs, tt.want) {
				t.Errorf("unpack: exit %d; %q, want %q; %s", code, errs, tt.want, out)
			}
			if left, _ := filepath.Glob(filepath.Join(models, "cats", "*")); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
