package rooms

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// quoted is text in backquotes.
var quoted = regexp.MustCompile("`([^`]+)`")

// TestQuotes: what docs/TROUBLESHOOTING.md quotes of the log, in the first
// column of its tables, is what the program says: each part between two
// ellipses stands in a file of ours.
func TestQuotes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "docs/TROUBLESHOOTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	source := program(t)
	found := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		first, _, _ := strings.Cut(strings.ReplaceAll(line[2:], `\|`, "¦"), "|")
		for _, m := range quoted.FindAllStringSubmatch(first, -1) {
			for part := range strings.SplitSeq(m[1], "…") {
				if part = strings.TrimSpace(part); len(part) < 4 || outside[part] {
					continue
				}
				found++
				if !strings.Contains(source, part) {
					t.Errorf("nothing in the program says %q", part)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d quotes: are the tables written otherwise now?", found)
	}
}

// outside are quotes of other programs: the kernel, the loader, systemd.
var outside = map[string]bool{"address already in use": true, "GLIBC_2.34": true, "oom-kill": true}

// program is the text of all Go files that are compiled into egret, tests left
// out; a formatting verb between two words of a quote is cut out of both.
func program(t *testing.T) string {
	t.Helper()
	verb := regexp.MustCompile(`%[-+.0-9]*[a-z]'?s? ?`)
	var all strings.Builder
	for _, room := range []string{"agent", "cmd", "configs", "sensors", "sync", "tflite"} {
		err := filepath.WalkDir(filepath.Join(root(t), room), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "checkup") {
				return err
			}
			b, err := os.ReadFile(path)
			all.WriteString(verb.ReplaceAllString(string(b), ""))
			all.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
