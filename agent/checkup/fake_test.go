package checkup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake is a device in a folder: files with their text, and links, whose text
// begins with an arrow.
func fake(t *testing.T, files map[string]string) Device {
	t.Helper()
	d := Device{Root: t.TempDir()}
	for name, text := range files {
		add(t, d, name, text)
	}
	return d
}

// add puts one more file or link there.
func add(t *testing.T, d Device, name, text string) {
	t.Helper()
	path := filepath.Join(d.Root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if to, link := strings.CutPrefix(text, "-> "); link {
		err = os.Symlink(to, path)
	} else {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// holds is a verdict's level and a part of its words.
func holds(t *testing.T, v Verdict, level Level, part string) {
	t.Helper()
	if v.Level != level || !strings.Contains(v.Detail, part) {
		t.Errorf("%s: %q, want %s with %q", v.Level, v.Detail, level, part)
	}
	if strings.Contains(v.Detail, "\n") {
		t.Errorf("more than one line: %q", v.Detail)
	}
}
