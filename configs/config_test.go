package configs

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func shipped(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("shipped files %v, %v: want four at least", files, err)
	}
	return files
}

func wrong(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("wrong files %v, %v: want twenty at least", files, err)
	}
	return files
}

func TestShippedFilesLoad(t *testing.T) {
	for _, path := range shipped(t) {
		if _, err := Load(path); err != nil {
			t.Error(err)
		}
	}
}

// TestShippedDefaults: egret.yaml shows every setting with its default.
func TestShippedDefaults(t *testing.T) {
	data, err := os.ReadFile("egret.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("egret.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	c.Device = want.Device // written empty, which means the host's name
	want.Models, want.Cameras = c.Models, c.Cameras
	if !reflect.DeepEqual(c, want) {
		t.Errorf("egret.yaml says\n%+v\ndefaults are\n%+v", c, want)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	checkAllShown(t, data, doc.Content[0], reflect.TypeFor[Config](), "")
}

// checkAllShown finds settings that the file does not mention, be it in a
// comment.
func checkAllShown(t *testing.T, text []byte, n *yaml.Node, typ reflect.Type, field string) {
	t.Helper()
	for _, k := range keys(typ) {
		var value *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == k.name {
				value = n.Content[i+1]
			}
		}
		switch {
		case value == nil && !bytes.Contains(text, []byte("# "+k.name+":")):
			t.Errorf("egret.yaml does not show %s", join(field, k.name))
		case value != nil && k.field.Type.Kind() == reflect.Struct && value.Kind == yaml.MappingNode:
			checkAllShown(t, text, value, k.field.Type, join(field, k.name))
		case value != nil && k.field.Type.Kind() == reflect.Slice && k.field.Type.Elem().Kind() == reflect.Struct:
			checkAllShown(t, text, value.Content[0], k.field.Type.Elem(), k.name)
		}
	}
}

func TestWrongFiles(t *testing.T) {
	for _, path := range wrong(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			_, err := Load(path)
			if err == nil {
				t.Fatal("accepted")
			}
			errs, ok := err.(Errors)
			if !ok {
				t.Fatalf("error of type %T", err)
			}
			for _, e := range errs {
				if strings.Contains(e.Error(), "\n") {
					t.Errorf("more than a line: %q", e)
				}
			}
			golden := strings.TrimSuffix(path, ".yaml") + ".golden"
			got := strings.ReplaceAll(err.Error(), "testdata/bad/", "") + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load("none.yaml")
	if _, ok := err.(Errors); !ok || !strings.Contains(err.Error(), "none.yaml: cannot be read: no such file") {
		t.Errorf("got %T %v", err, err)
	}
}

func TestTooLarge(t *testing.T) {
	_, err := Parse("big", bytes.Repeat([]byte("# filler\n"), MaxFileBytes/9+1))
	if err == nil || !strings.Contains(err.Error(), "larger than 1024 KiB") {
		t.Errorf("got %v", err)
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	text := `
state_dir: state
models: [{name: m, path: ../m.tflite, labels: /abs/l.txt}]
cameras: [{name: c, source: "folder:pics?fps=2"}, {name: d, source: "command:cat pics"}, {name: e, source: "folder:/abs"}]
mqtt: {username: u, password_file: pw}
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range [][2]string{
		{c.StateDir, filepath.Join(dir, "state")}, {c.Models[0].Path, filepath.Join(filepath.Dir(dir), "m.tflite")},
		{c.Models[0].Labels, "/abs/l.txt"}, {c.Cameras[0].Source, "folder:" + filepath.Join(dir, "pics") + "?fps=2"},
		{c.Cameras[1].Source, "command:cat pics"}, {c.Cameras[2].Source, "folder:/abs"},
		{c.MQTT.PasswordFile, filepath.Join(dir, "pw")}, {c.MQTT.TLS.CAFile, ""},
	} {
		if tt[0] != tt[1] {
			t.Errorf("path %q, want %q", tt[0], tt[1])
		}
	}
}

func TestCameraRulesOverrideTheCommonOnes(t *testing.T) {
	c, err := Parse("c", []byte(`
models: [{name: m, path: m.tflite}]
cameras:
  - {name: a, source: "pattern:", rules: {min_score: 0.9, on_change: false}}
  - {name: b, source: "pattern:"}
rules: {min_score: 0.5, on_change: true, sample_every: 1m}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := c.Rules
	if c.Cameras[1].EffectiveRules != want {
		t.Errorf("camera without rules has %+v, want %+v", c.Cameras[1].EffectiveRules, want)
	}
	want.MinScore, want.OnChange = 0.9, false
	if c.Cameras[0].EffectiveRules != want {
		t.Errorf("camera with rules has %+v, want %+v", c.Cameras[0].EffectiveRules, want)
	}
}

func TestYAMLHidesSecrets(t *testing.T) {
	c := Default()
	c.Models = []Model{{Name: "m", Path: "m.tflite"}}
	c.Cameras = []Camera{
		{Name: "a", Source: "http://admin:hunter2@cam/stream"},
		{Name: "b", Source: "command:ffmpeg -i 'rtsp://admin:hunter2@cam/1' -f mjpeg pipe:1"},
		{Name: "d", Source: "http://admin:hunter2%zz@cam/"},
	}
	c.MQTT.Broker = "tcp://admin:hunter2@broker:1883"
	out, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out, []byte("hunter2")) || bytes.Count(out, []byte("redacted")) != 4 {
		t.Errorf("printed secrets:\n%s", out)
	}
	if !strings.Contains(c.Cameras[0].Source, "hunter2") {
		t.Error("printing changed the configuration itself")
	}
}

func TestSchemaAgreesWithTheParser(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("egret.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("egret.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range shipped(t) {
		if err := schema.Validate(instance(t, path)); err != nil {
			t.Errorf("%s: the schema refuses what is shipped: %v", path, err)
		}
	}
	for _, name := range []string{
		"unknown-key", "unknown-nested-key", "duration-without-unit", "duration-nonsense", "size-nonsense", "list-expected",
		"block-expected", "number-expected", "threads-out-of-range", "unknown-delegate", "threshold-out-of-range", "nothing-to-do",
	} {
		if err := schema.Validate(instance(t, "testdata/bad/"+name+".yaml")); err == nil {
			t.Errorf("%s: the schema accepts what the parser refuses", name)
		}
	}
}

// instance is a YAML file as JSON values.
func instance(t *testing.T, path string) any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func FuzzParse(f *testing.F) {
	for _, path := range append(shipped(f), wrong(f)...) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz", data)
		if err != nil {
			if _, ok := err.(Errors); !ok {
				t.Errorf("error of type %T: %v", err, err)
			}
			return
		}
		out, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("again", out)
		if err != nil {
			t.Fatalf("printed what it does not read: %v\n%s", err, out)
		}
		if twice, err := again.YAML(); err != nil || !bytes.Equal(out, twice) {
			t.Errorf("printed once\n%s\ntwice (%v)\n%s", out, err, twice)
		}
	})
}

func TestParseWindow(t *testing.T) {
	for text, want := range map[string]Window{
		"": {}, "01:00-05:30": {time.Hour, 5*time.Hour + 30*time.Minute}, "22:30 - 02:00": {22*time.Hour + 30*time.Minute, 2 * time.Hour},
	} {
		if w, err := ParseWindow(text); err != nil || w != want {
			t.Errorf("%q: %v, %v", text, w, err)
		}
	}
	for _, bad := range []string{"1", "01:00", "01:00-", "-", "25:00-26:00", "01:00-01:00", "01:00-05:30-07:00", "01:00 05:30"} {
		if w, err := ParseWindow(bad); err == nil {
			t.Errorf("%q became %s", bad, w)
		}
	}
}
