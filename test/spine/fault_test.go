package spine

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// offline is a configuration that needs no broker.
const offline = `
device: dev
state_dir: DIR/state
models:
  - {name: classifier, path: ROOT/models/` + classifier + `, top_k: 1, threshold: 0}
cameras:
  - {name: cam, source: "pattern:?size=64x64&fps=10"}
outbox: {flush_interval: 100ms}
mqtt: {enabled: false}
`

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// modTimeAfter tells whether the file at path was written after at.
func modTimeAfter(path string, at time.Time) bool {
	info, err := os.Stat(path)
	return err == nil && info.ModTime().After(at)
}

// TestWrongStarts are the mistakes that end the program: each gives one line
// that names the culprit.
func TestWrongStarts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	text := filepath.Join(t.TempDir(), "text.tflite")
	if err := os.WriteFile(text, []byte(strings.Repeat("no model at all\n", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	labels := filepath.Join(t.TempDir(), "labels.txt")
	if err := os.WriteFile(labels, []byte("one\ntwo\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, old, new string
		code           int
		says           []string
	}{
		{"unknown key", "mqtt:", "mqqt:", 2, []string{"egret.yaml:9", "mqqt", `"mqtt"`}},
		{"model is a text file", "ROOT/models/" + classifier, text, 1, []string{text, "TFL3"}},
		{"no model", "ROOT/models/" + classifier, "DIR/none", 1, []string{"none"}},
		{"labels do not fit", "top_k: 1", "top_k: 1, labels: " + labels, 1, []string{"1001", "2"}},
		{"state folder cannot be made", "DIR/state", "/dev/null/state", 1, []string{"/dev/null", "state_dir"}},
		{"port in use", "enabled: false", fmt.Sprintf("embedded: true, embedded_listen: %q", taken.Addr()), 1, []string{taken.Addr().String(), "in use"}},
		{"unknown source", "pattern:", "patern:", 2, []string{"patern", "pattern"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newConfig(t, strings.Replace(offline, tt.old, tt.new, 1))
			d := run(t, c)
			if code := d.wait(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			said := ""
			for line := range strings.Lines(d.log.String()) {
				if strings.HasPrefix(line, "egret: ") {
					said += line
				}
			}
			if strings.Count(said, "\n") != 1 {
				t.Errorf("want one line of error, got %q of\n%s", said, d.log)
			}
			for _, word := range tt.says {
				if !strings.Contains(said, word) {
					t.Errorf("%q does not name %q", said, word)
				}
			}
		})
	}
}

// TestSecondAgent: two agents on one state folder would break both.
func TestSecondAgent(t *testing.T) {
	c := newConfig(t, offline)
	first := started(t, c)
	second := run(t, c)
	if code := second.wait(); code != 1 || !strings.Contains(second.log.String(), "in use by another egret") {
		t.Errorf("second agent: exit code %d, log %s", code, second.log)
	}
	if code := first.stop(); code != 0 {
		t.Errorf("the first agent's exit code is %d, want 0", code)
	}
}

// TestReload: a wrong file changes nothing, a right one is swapped in, and no
// number is skipped or given twice on the way.
// TestAborted: what the watchdog ends must not look like a wrong configuration,
// exit code 2, after which systemd leaves the agent alone.
func TestAborted(t *testing.T) {
	d := started(t, newConfig(t, offline))
	if err := d.cmd.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	d.wait()
	status := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGABRT {
		t.Errorf("ended as %v, want by SIGABRT", d.cmd.ProcessState)
	}
	if !strings.Contains(d.log.String(), "goroutine ") {
		t.Error("where its goroutines stood is not said")
	}
}

func TestReload(t *testing.T) {
	c := newConfig(t, offline)
	d := started(t, c)
	hup := func() {
		t.Helper()
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	c.write(strings.Replace(offline, "top_k", "topk", 1))
	hup()
	d.waitLog("reload refused")
	c.write(strings.Replace(offline, "DIR/state", "DIR/elsewhere", 1))
	hup()
	d.waitLog("state_dir changed")
	c.write(strings.NewReplacer("name: cam,", "name: door,", "top_k: 1", "top_k: 2").Replace(offline))
	hup()
	d.waitLog("msg=reloaded")
	outbox := filepath.Join(c.dir, "state", "outbox.db")
	at := time.Now()
	waitFor(t, "a flush after the reload", func() bool { return modTimeAfter(outbox, at.Add(500*time.Millisecond)) })
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	c.write(offline)
	out, _, _ := egret(t, nil, "outbox", "export", "--config", c.path)
	seen := map[string]int{}
	seq := uint64(0)
	for line := range strings.Lines(out) {
		p := decode(t, line)
		if seq++; p.Seq != seq {
			t.Fatalf("prediction %d follows %d", p.Seq, seq-1)
		}
		seen[fmt.Sprintf("%s with %d results", p.Camera, len(p.Results))]++
	}
	if seen["cam with 1 results"] == 0 || seen["door with 2 results"] == 0 || len(seen) != 2 {
		t.Errorf("predictions by camera: %v, want some before and some after the reload", seen)
	}
}

// TestHostileFolder: pictures that do not decode are counted and passed over,
// the others go on.
func TestHostileFolder(t *testing.T) {
	dir := t.TempDir()
	peacock, err := os.ReadFile(filepath.Join(root, "samples/classify/peacock.png"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"a-truncated.jpg": {0xff, 0xd8, 0xff, 0xe0, 0, 16}, "b-empty.png": {}, "c-text.jpg": []byte("hello"),
		"d-truncated.png": peacock[:len(peacock)/2], "e-wide.png": widePNG(30000, 1), "f-good.png": peacock,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := newConfig(t, strings.Replace(offline, "pattern:?size=64x64&fps=10", "folder:"+dir+"?fps=20&loop=true", 1))
	d := started(t, c)
	d.waitLog("frames failed")
	outbox := filepath.Join(c.dir, "state", "outbox.db")
	at := time.Now()
	waitFor(t, "predictions in the outbox", func() bool { return modTimeAfter(outbox, at.Add(time.Second)) })
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	d.waitLog("camera=cam") // the vanished folder is said
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	out, _, _ := egret(t, nil, "outbox", "export", "--config", c.path)
	n := 0
	for line := range strings.Lines(out) {
		if p := decode(t, line); p.File != "f-good.png" || p.Results[0].Label != "peacock" {
			t.Errorf("prediction of %s: %+v, want peacocks of f-good.png only", p.File, p.Results)
		}
		n++
	}
	if n == 0 {
		t.Error("the good picture gave no prediction")
	}
}
