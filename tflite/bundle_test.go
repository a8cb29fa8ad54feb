package tflite

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// zipOf makes an archive in memory.
func zipOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, text := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

var labelCases = []struct {
	name, text string
	want       []string
	wrong      string
}{
	{name: "plain", text: "background\ntench\ngoldfish\n", want: []string{"background", "tench", "goldfish"}},
	{name: "windows lines and a byte order mark", text: "\ufeffa\r\nb\r\n", want: []string{"a", "b"}},
	{name: "indexed", text: "0  background\n1  tench\n", want: []string{"background", "tench"}},
	{name: "indexed with a colon", text: "0: person\n1: bicycle", want: []string{"person", "bicycle"}},
	{name: "indexed with tabs and a gap", text: "0\ta\n2\tc c\n", want: []string{"a", "???", "c c"}},
	{name: "numbers that are labels", text: "0\n1\n2", want: []string{"0", "1", "2"}},
	{name: "one line without a number", text: "0 a\nb\n", want: []string{"0 a", "b"}},
	{name: "index twice", text: "0 a\n0 b\n", want: []string{"0 a", "0 b"}},
	{name: "huge index", text: "0 a\n99999999 b\n", want: []string{"0 a", "99999999 b"}},
	{name: "empty line in the middle keeps its index", text: "a\n\nc", want: []string{"a", "", "c"}},
	{name: "empty", text: " \n", wrong: "no labels"},
	{name: "binary", text: "\xff\xfe\x00", wrong: "UTF-8"},
	{name: "too many", text: strings.Repeat("x\n", maxLabels+1), wrong: "limit"},
}

func TestParseLabels(t *testing.T) {
	for _, tt := range labelCases {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseLabels([]byte(tt.text))
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("error %v, want one with %q", err, tt.wrong)
				}
				return
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("labels %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func FuzzParseLabels(f *testing.F) {
	for _, tt := range labelCases {
		if len(tt.text) < 1<<10 { // mutating a long one takes all the time
			f.Add([]byte(tt.text))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		labels, err := ParseLabels(data)
		if err == nil && (len(labels) == 0 || len(labels) > maxLabels) {
			t.Errorf("%d labels without an error", len(labels))
		}
	})
}

func FuzzZipLabels(f *testing.F) {
	f.Add(zipOf(f, map[string]string{"labels.txt": "a\nb"}))
	f.Add(append([]byte("model"), zipOf(f, map[string]string{"x.txt": "0 a\n1 b", "y.bin": "z"})...))
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if labels, err := zipLabels(bytes.NewReader(data), int64(len(data))); err != nil && labels != nil {
			t.Errorf("labels %q with error %v", labels, err)
		}
	})
}

var manifestCases = []struct{ name, text, wrong string }{
	{"empty", "", ""},
	{"full", "task: detect\nlabels: l.txt\nlabel_offset: 1\ninput: {mean: [127.5], std: [127.5]}\nscores: logits\ntop_k: 5\nthreshold: 0.3\ngolden: [{image: a.png, expect: [{label: a, min_score: 0.5}]}]\n", ""},
	{"unknown key", "task: detect\ntreshold: 1\n", "line 2: field treshold not found"},
	{"unknown task", "task: dance\n", "dance"},
	{"top-k out of range", "top_k: 5000\n", "top_k"},
	{"threshold out of range", "threshold: 1.5\n", "threshold"},
	{"no number", "threshold: .nan\n", "threshold"},
	{"two means", "input: {mean: [1, 2], std: [1, 2]}\n", "means"},
	{"std of zero", "input: {mean: [1], std: [0]}\n", "std"},
	{"not YAML", "{{{", "yaml"},
	{"wrong type", "task: [1]\n", "line 1"},
	{"second document", "task: detect\n---\ntask: classify\n", "one YAML document"},
	{"text after the document", "task: detect\n...\n}{\n", "one YAML document"},
	{"infinite mean", "input: {mean: [.inf], std: [1]}\n", "mean"},
	{"infinite std", "input: {mean: [1], std: [.inf]}\n", "std"},
	{"golden by index", "golden: [{image: a.png, expect: [{index: 0, min_score: 1}]}]\n", ""},
	{"golden without an image", "golden: [{expect: [{label: a}]}]\n", "golden[0].image"},
	{"golden that expects nothing", "golden: [{image: a.png}]\n", "golden[0].image and expect"},
	{"golden with label and index", "golden: [{image: a.png, expect: [{label: a, index: 1}]}]\n", "golden[0].expect[0]"},
	{"golden score out of range", "golden: [{image: a.png, expect: [{label: a, min_score: 80}]}]\n", "golden[0].expect[0].min_score"},
}

func TestParseManifest(t *testing.T) {
	for _, tt := range manifestCases {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseManifest([]byte(tt.text))
			if tt.wrong == "" && err != nil {
				t.Error(err)
			}
			if tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("error %v, want one line with %q", err, tt.wrong)
			}
		})
	}
}

func FuzzParseManifest(f *testing.F) {
	for _, tt := range manifestCases {
		f.Add([]byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data)
		if err == nil && m.validate() != nil {
			t.Errorf("accepted %q, which does not validate", data)
		}
	})
}

func TestOpenBundlePicksTheHighestVersion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "birds")
	for _, v := range []string{"2", "10", "9", "latest", "011"} {
		if err := os.MkdirAll(filepath.Join(dir, v), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, v, modelFile), []byte("\x1c\x00\x00\x00TFL3"+v), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "11"), 0o755); err != nil { // half copied: no model yet
		t.Fatal(err)
	}
	b, err := OpenBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.Version != 10 || b.Name != "birds" {
		t.Errorf("opened %s version %d, want birds version 10", b.Name, b.Version)
	}
	one, err := OpenBundle(filepath.Join(dir, "2"))
	if err != nil || one.Version != 2 || one.Name != "birds" || one.Digest == b.Digest {
		t.Errorf("version 2: %+v, %v", one, err)
	}
	for _, path := range []string{filepath.Join(dir, "11"), filepath.Join(dir, "12")} {
		if _, err := OpenBundle(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s gave %v", path, err)
		}
	}
}

// write puts files into a folder.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// noModel passes for a model with all but the native library.
const noModel = "\x1c\x00\x00\x00TFL3"

func TestOpenBundleInTheWorkingFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "birds", "7")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{modelFile: noModel})
	t.Chdir(dir)
	for _, path := range []string{".", "..", "../7/"} {
		b, err := OpenBundle(path)
		if err != nil || b.Name != "birds" || b.Version != 7 {
			t.Errorf("%s is %+v, %v, want birds version 7", path, b, err)
		}
	}
}

func TestOpenBundleKeepsItsLimits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		size  int64 // of the model; sparse
		want  string
	}{
		{"model", nil, MaxModelBytes + 1, "512 MiB"},
		{"manifest", map[string]string{manifestFile: strings.Repeat("#", maxManifestBytes+1)}, 0, manifestFile},
		{"labels", map[string]string{labelsFile: strings.Repeat("a", maxLabelBytes+1)}, 0, labelsFile},
		{"labels in the archive", map[string]string{modelFile: noModel + string(zipOf(t, map[string]string{"labels.txt": strings.Repeat("a", maxLabelBytes+1)}))}, 0, "too large"},
		{"labels that the manifest promises", map[string]string{manifestFile: "labels: gone.txt"}, 0, "gone.txt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{modelFile: noModel})
			write(t, dir, tt.files)
			if tt.size > 0 {
				if err := os.Truncate(filepath.Join(dir, modelFile), tt.size); err != nil {
					t.Fatal(err)
				}
			}
			b, err := OpenBundle(dir)
			if err == nil || b != nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, %v, want one line with %q", b, err, tt.want)
			}
		})
	}
}

func TestOpenBundleRefusesWhatIsNoFile(t *testing.T) {
	if _, err := OpenBundle(os.DevNull); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a device gave %v", err)
	}
}

func TestZipLabelsPrefersFilesNamedLabels(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"no text", map[string]string{"metadata.json": "{}"}, nil},
		{"any text", map[string]string{"classes.txt": "a\nb"}, []string{"a", "b"}},
		{"labels before others", map[string]string{"a.txt": "x", "LabelMap.TXT": "a\nb", "z.txt": "x"}, []string{"a", "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := zipOf(t, tt.files)
			got, err := zipLabels(bytes.NewReader(data), int64(len(data)))
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("labels %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestBundleStaysInItsFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{modelFile: noModel, manifestFile: "labels: ../../etc/passwd\n"})
	if _, err := OpenBundle(dir); err == nil || !strings.Contains(err.Error(), "leaves the bundle") {
		t.Errorf("labels outside of the bundle gave %v", err)
	}
}
