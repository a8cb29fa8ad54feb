package spine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/smallmodel"
)

// digest is a file's as predictions carry it.
func digest(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// TestRunsConverted: the agent measures that the default model is faster as
// int8, runs it so under its own name, keeps that through starts and a damaged
// file, and goes back without a gap when it is switched off.
func TestRunsConverted(t *testing.T) {
	c := newConfig(t, offline+"inference: {delegate: auto, threads: 1}\n")
	want := digest(t, filepath.Join(root, "models", classifier, "1", "model.tflite"))
	for _, start := range []struct {
		name, how string
		before    func(file string) error
	}{
		{"first", "how=measured", nil},
		{"remembered", "how=remembered", nil},
		{"damaged file", "how=measured", func(file string) error {
			data, err := os.ReadFile(file)
			if err == nil {
				data[len(data)/2] ^= 0x10
				err = os.WriteFile(file, data, 0o600)
			}
			return err
		}},
	} {
		if start.before != nil {
			files, _ := filepath.Glob(filepath.Join(c.dir, "state", "converted", "*"))
			if len(files) != 1 {
				t.Fatalf("%s: converted files %q, want one", start.name, files)
			}
			if err := start.before(files[0]); err != nil {
				t.Fatal(err)
			}
		}
		d := run(t, c, "--print")
		d.waitLog("msg=started")
		waitFor(t, "predictions", printed(d, " cam ", 3))
		if code := d.stop(); code != 0 {
			t.Errorf("%s: exit code %d", start.name, code)
		}
		for _, said := range []string{start.how, `msg="model runs converted" model=classifier to=int8`} {
			if !strings.Contains(d.log.String(), said) {
				t.Errorf("%s: the log lacks %q:\n%s", start.name, said, d.log)
			}
		}
	}
	if out, errs, code := egret(t, nil, "doctor", "--config", c.path); code != 0 || !strings.Contains(out, ", converted to int8") {
		t.Errorf("egret doctor: exit %d, %s%s", code, out, errs)
	}
	all := predictions(t, c)
	if len(all) < 9 {
		t.Errorf("%d predictions stored, want at least 9", len(all))
	}
	for _, p := range all {
		if p.Converted != "int8" || p.Delegate != "xnnpack" || p.Model.Digest != want || p.Model.Name != classifier {
			t.Fatalf("prediction %+v, want one of the model %s, converted", p, want)
		}
	}
	t.Run("switched off while it runs", func(t *testing.T) {
		d := run(t, c, "--print")
		d.waitLog("msg=started")
		waitFor(t, "predictions", printed(d, " cam ", 3))
		c.write(offline + "inference: {delegate: cpu, threads: 1, convert: off}\n")
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		d.waitLog("msg=reloaded")
		before := strings.Count(d.log.String(), " cam ")
		waitFor(t, "more predictions", printed(d, " cam ", before+3))
		if code := d.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		made := map[string]int{}
		var last payload.Prediction
		for _, p := range predictions(t, c) {
			if p.Boot == last.Boot && p.Seq != last.Seq+1 {
				t.Errorf("number %d follows %d", p.Seq, last.Seq)
			}
			if p.Boot > all[len(all)-1].Boot {
				made[fmt.Sprintf("%s %s", p.Delegate, p.Converted)]++
			}
			last = p
		}
		if made["xnnpack int8"] < 3 || made["cpu "] < 3 || len(made) != 2 {
			t.Errorf("predictions %v, want some of both", made)
		}
	})
}

// TestUpdateRunsConverted: a release is tried as it would serve, which is
// converted, and so are the releases after it.
func TestUpdateRunsConverted(t *testing.T) {
	s := newSite(t, "inference: {delegate: auto, threads: 1, convert: require}\n")
	d := started(t, s.config)
	s.answers(1, 3) // an int8 model: there is nothing to convert
	for v := 2; v <= 3; v++ {
		s.publish(v, s.model(v, smallmodel.Options{Seed: uint64(v), Type: smallmodel.UInt8}, t.TempDir()+"/colours"), nil)
		s.roll(v, uint64(v), nil)
		for _, state := range []payload.ReleaseState{payload.Probing, payload.Shadow, payload.Trial, payload.Committed} {
			s.reaches(v, state)
		}
		s.answers(v, 3)
		s.mu.Lock()
		if n := s.converted[v]; n != s.serving[v] {
			t.Errorf("%d of %d predictions of version %d are of its conversion", n, s.serving[v], v)
		}
		s.mu.Unlock()
	}
	d.stop()
	d = started(t, s.config)
	s.answers(3, 3)
	d.stop()
	if log := d.log.String(); !strings.Contains(log, `msg="model runs converted" model=colours to=int8`) {
		t.Errorf("the start after it runs the original:\n%s", log)
	}
}

// TestConvertRequired: who relies on the speed hears at the start that there is
// none, and why.
func TestConvertRequired(t *testing.T) {
	dir := t.TempDir()
	if err := smallmodel.WriteBundle(filepath.Join(dir, "small", "1"), smallmodel.Options{Type: smallmodel.UInt8}); err != nil {
		t.Fatal(err)
	}
	yaml := strings.Replace(offline, "ROOT/models/"+classifier, filepath.Join(dir, "small"), 1)
	if yaml == offline {
		t.Fatal("the configuration names its model otherwise")
	}
	for inference, reason := range map[string]string{
		"{delegate: cpu, threads: 1, convert: require}":                    "inference.delegate has it run on cpu",
		"{delegate: auto, threads: 1, convert: require, max_memory: 1MiB}": "MiB of memory, and at most 1 are allowed",
	} {
		d := run(t, newConfig(t, yaml+"inference: "+inference+"\n"))
		if code := d.wait(); code == 0 {
			t.Errorf("%s: exit code 0", inference)
		}
		if log := d.log.String(); !strings.Contains(log, "does not run converted, and inference.convert is require: ") || !strings.Contains(log, reason) {
			t.Errorf("%s: the reason %q is not said:\n%s", inference, reason, log)
		}
	}
}
