// Package packages opens what `make dist` built, as its users get it, and holds
// it to what is promised. `make package-test` runs it; without EGRET_DIST, which
// names the folder, there is nothing to look into. It is not for how a package
// behaves when it is installed: test/rig does that.
package packages

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden list of files anew")

// TestMain ends at once where there is nothing to look into: the ordinary tests
// do not build packages.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("EGRET_DIST") == "" {
		os.Stdout.WriteString("packages: EGRET_DIST names no folder; `make package-test` builds one and looks into it\n")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var architectures = []string{"amd64", "arm64"}

// one is the only file in dist/ that fits the pattern.
func one(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.Getenv("EGRET_DIST"), pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %q, %v; want one file", pattern, found, err)
	}
	return found[0]
}

func deb(t *testing.T, arch string) string { return one(t, "egret_*_"+arch+".deb") }

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// unpack gives the package's files in a folder.
func unpack(t *testing.T, arch string) string {
	t.Helper()
	dir := t.TempDir()
	run(t, "dpkg-deb", "-x", deb(t, arch), dir)
	return dir
}

func field(t *testing.T, arch, name string) string {
	t.Helper()
	return strings.TrimSpace(run(t, "dpkg-deb", "-f", deb(t, arch), name))
}
