package localapi

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocs runs the examples of docs/API.md as a reader does, beside the
// shipped demo.
func TestDocs(t *testing.T) {
	t.Parallel()
	d := demo(t).begin().answers()
	d.eventually("predictions of all cameras", func() bool {
		for _, c := range d.state().Cameras {
			if c.Latest == nil {
				return false
			}
		}
		return true
	})
	dir := t.TempDir() // for the files that examples write
	if err := os.Symlink(filepath.Join(root, "samples"), filepath.Join(dir, "samples")); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "API*.md"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, page := range pages {
		for _, e := range examples(t, page) {
			ran++
			t.Run(fmt.Sprintf("%s line %d", filepath.Base(page), e.line), func(t *testing.T) { e.run(t, d.url, dir) })
		}
	}
	if ran < 9 {
		t.Errorf("%d examples: this test looks at the wrong thing", ran)
	}
}

// demo is the shipped configuration on ports of the test's own.
func demo(t *testing.T) *device {
	t.Helper()
	return newDevice(t, strings.NewReplacer(
		"../var/demo", "DIR/state", "../", "ROOT/", "127.0.0.1:1883", freePort(t), "127.0.0.1:8080", "LISTEN",
	).Replace(string(file(t, "configs/demo.yaml")))+"\ninference: {delegate: cpu, threads: 1}\n")
}

// example is a block of shell in a page, and the JSON that the page shows as
// its answer.
type example struct {
	line   int
	script string
	answer string
}

// examples are the blocks of a page that are marked sh.
func examples(t *testing.T, page string) (all []example) {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	for i := 0; i < len(lines); i++ {
		kind, fence := strings.CutPrefix(lines[i], "```")
		if !fence {
			continue
		}
		begin := i + 1
		for i++; i < len(lines) && lines[i] != "```"; i++ {
		}
		text := strings.Join(lines[begin:min(i, len(lines))], "\n")
		switch n := len(all); {
		case kind == "sh":
			all = append(all, example{line: begin, script: text})
		case kind == "json" && n > 0 && strings.Join(lines[all[n-1].line+strings.Count(all[n-1].script, "\n")+2:begin-1], "") == "":
			all[n-1].answer = text
		}
	}
	return all
}

func (e example) run(t *testing.T, url, dir string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-eu", "-c", e.script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "EGRET="+url)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, errs.String(), e.script)
	}
	if strings.Contains(string(out), `"error":"`) || strings.Contains(string(out), `"error": "`) {
		t.Errorf("the answer is an error: %s", out)
	}
	if strings.Contains(e.script, "curl") && len(out) == 0 && !strings.Contains(e.script, " -o ") {
		t.Error("there is no answer")
	}
	if _, want, ok := strings.Cut(e.script, "   # "); ok && strings.TrimSpace(string(out)) != want {
		t.Errorf("the answer is %s, and the page says %s", out, want)
	}
	if e.answer == "" {
		return
	}
	var got, want any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if err := json.Unmarshal([]byte(e.answer), &want); err != nil {
		t.Fatalf("%v in the page's %s", err, e.answer)
	}
	fits(t, "answer", got, want)
}

// fits holds that got has all that the page shows, in the same types. Words are
// compared, numbers are not: times and scores differ.
func fits(t *testing.T, at string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		have, _ := got.(map[string]any)
		for k, v := range want {
			fits(t, at+"."+k, have[k], v)
		}
	case []any:
		have, _ := got.([]any)
		if len(have) < len(want) {
			t.Errorf("%s has %d elements, the page shows %d", at, len(have), len(want))
			return
		}
		for i, v := range want {
			fits(t, fmt.Sprintf("%s[%d]", at, i), have[i], v)
		}
	case float64:
		if _, ok := got.(float64); !ok {
			t.Errorf("%s is %v, the page shows a number", at, got)
		}
	default:
		if got != want {
			t.Errorf("%s is %v, the page shows %v", at, got, want)
		}
	}
}
