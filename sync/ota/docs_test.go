package ota

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/UPDATES.md lists every attack, and no test that is not there.
func TestAttacksAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/UPDATES.md")
	must(t, err)
	_, text, ok := strings.Cut(string(data), "## On the device: what the client refuses")
	if !ok {
		t.Fatal("the section is gone")
	}
	if want := fmt.Sprintf("are %d attacks in `TestAttacks`", len(attacks())); !strings.Contains(text, want) {
		t.Errorf("it does not say %q", want)
	}
	var code strings.Builder
	files, _ := filepath.Glob("*_test.go")
	for _, name := range files {
		data, err := os.ReadFile(name)
		must(t, err)
		code.Write(data)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[3], "`") {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1) {
			name, sub, _ := strings.Cut(m[1], "/")
			listed[name] = true
			_, isAttack := attacks()[name]
			switch {
			case isAttack:
			case !strings.Contains(code.String(), "func "+name+"("):
				t.Errorf("%s: there is no such test", m[1])
			case sub != "" && !strings.Contains(code.String(), fmt.Sprintf("%q:", sub)):
				t.Errorf("%s: there is no such case", m[1])
			}
		}
	}
	for name := range attacks() {
		if !listed[name] {
			t.Errorf("the attack %q is not listed", name)
		}
	}
}
