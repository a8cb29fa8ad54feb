// Package install holds what build/install.sh puts where, and takes away.
package install

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRelocated: with another PREFIX and SYSCONFDIR no file names the usual
// paths, and what is taken away again is all but the configuration.
func TestRelocated(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	binary, dest := filepath.Join(dir, "egret"), filepath.Join(dir, "dest")
	if err := os.WriteFile(binary, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Of dist/share there are placeholders, in a copy of the tree's own folders.
	tree := filepath.Join(dir, "tree")
	for _, name := range []string{"build/install.sh", "configs", "systemd"} {
		to := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-R", filepath.Join(root, name), to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, name := range []string{"dist/share/egret.bash", "dist/share/_egret", "dist/share/egret.fish", "dist/share/egret.1.gz", "dist/share/egret.yaml.5.gz", "dist/share/copyright", "models/m/1/model.tflite"} {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := func(args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(tree, "build/install.sh"), args...)
		cmd.Env = append(os.Environ(), "DESTDIR="+dest, "PREFIX=/opt/e", "SYSCONFDIR=/opt/e/etc", "UNITDIR=/opt/e/units")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("install.sh %v: %v: %s", args, err, out)
		}
	}
	script("install", binary, binary)
	usual := regexp.MustCompile(`(^|[^\w/])(/usr/bin/egret|/usr/share/(doc/)?egret|/etc/egret)\b`)
	for _, name := range files(t, dest) {
		text, err := os.ReadFile(filepath.Join(dest, name))
		if err != nil {
			t.Fatal(err)
		}
		if found := usual.Find(text); found != nil {
			t.Errorf("%s names %s", name, found)
		}
	}
	unit, err := os.ReadFile(filepath.Join(dest, "opt/e/units/egret.service"))
	if err != nil || !strings.Contains(string(unit), "ExecStart=/opt/e/bin/egret run --config /opt/e/etc/egret/egret.yaml\n") {
		t.Errorf("the unit: %v:\n%s", err, unit)
	}
	script("uninstall")
	if left := files(t, dest); !slices.Equal(left, []string{"opt/e/etc/egret/egret.yaml"}) {
		t.Errorf("left behind: %v", left)
	}
}

// files are the paths of all files below dir.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
