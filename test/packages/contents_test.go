package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const golden = "testdata/files.txt"

// TestFilesModesAndOwners: both architectures hold exactly the files of the
// golden list, with its modes and owners, all of the commit's time.
func TestFilesModesAndOwners(t *testing.T) {
	for _, arch := range architectures {
		var got strings.Builder
		times := map[string]bool{}
		for line := range strings.Lines(run(t, "dpkg-deb", "-c", deb(t, arch))) {
			f := strings.Fields(line)
			if len(f) < 6 {
				t.Fatalf("%s: cannot read dpkg-deb's line %q", arch, line)
			}
			times[f[3]+" "+f[4]] = true
			fmt.Fprintln(&got, f[0], f[1], f[5])
		}
		if len(times) != 1 {
			t.Errorf("%s: files of %d different times: %v", arch, len(times), times)
		}
		if *update {
			if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s: the files are not those of %s (write it anew with -update):\n%s", arch, golden, difference(string(want), got.String()))
		}
	}
}

func difference(want, got string) string {
	var out strings.Builder
	for line := range strings.Lines(want) {
		if !strings.Contains(got, line) {
			out.WriteString("- " + line)
		}
	}
	for line := range strings.Lines(got) {
		if !strings.Contains(want, line) {
			out.WriteString("+ " + line)
		}
	}
	return out.String()
}

// TestConffiles: dpkg asks before it replaces the configuration, and nothing else.
func TestConffiles(t *testing.T) {
	for _, arch := range architectures {
		if got := run(t, "dpkg-deb", "-I", deb(t, arch), "conffiles"); got != "/etc/egret/egret.yaml\n" {
			t.Errorf("%s: conffiles %q", arch, got)
		}
	}
}

// TestScripts: the maintainer scripts in the package are the ones that
// shellcheck reads.
func TestScripts(t *testing.T) {
	for _, arch := range architectures {
		for _, name := range []string{"postinst", "prerm", "postrm"} {
			want, err := os.ReadFile(filepath.Join("../../build/debian", name))
			if err != nil {
				t.Fatal(err)
			}
			if got := run(t, "dpkg-deb", "-I", deb(t, arch), name); got != string(want) {
				t.Errorf("%s: %s is not build/debian/%[2]s", arch, name)
			}
		}
	}
}

// TestFilesAreTheTrees: what the package installs is what lies in the tree.
func TestFilesAreTheTrees(t *testing.T) {
	pairs := map[string]string{
		"usr/lib/systemd/system/egret.service": "systemd/egret.service",
		"usr/lib/sysusers.d/egret.conf":        "systemd/egret.sysusers",
		"usr/lib/tmpfiles.d/egret.conf":        "systemd/egret.tmpfiles",
		"etc/egret/egret.yaml":                 "configs/egret.yaml",
	}
	for _, arch := range architectures {
		root := unpack(t, arch)
		for installed, source := range pairs {
			got, err := os.ReadFile(filepath.Join(root, installed))
			if err != nil {
				t.Error(err)
				continue
			}
			want, err := os.ReadFile(filepath.Join("../..", source))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s: %s is not %s", arch, installed, source)
			}
		}
	}
}

// TestManualPages: each command has its page and each page its command, as the
// program's own help lists them.
func TestManualPages(t *testing.T) {
	root := unpack(t, "amd64")
	tool := filepath.Join(os.Getenv("EGRET_DIST"), "tool", "egret_linux_amd64")
	want := map[string]bool{}
	commands(t, tool, nil, func(path []string) {
		want["egret"+strings.Join(append([]string{""}, path...), "-")+".1.gz"] = true
	})
	if len(want) < 30 {
		t.Fatalf("found only %d commands: has the form of --help changed?", len(want))
	}
	pages, err := filepath.Glob(filepath.Join(root, "usr/share/man/man1/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if !want[filepath.Base(page)] {
			t.Errorf("%s is the page of no command", filepath.Base(page))
		}
		delete(want, filepath.Base(page))
	}
	for page := range want {
		t.Errorf("%s is missing", page)
	}
	if _, err := os.Stat(filepath.Join(root, "usr/share/man/man5/egret.yaml.5.gz")); err != nil {
		t.Error(err)
	}
}

// commands walks the tree of commands by their help.
func commands(t *testing.T, tool string, path []string, visit func([]string)) {
	t.Helper()
	visit(path)
	_, list, found := strings.Cut(run(t, tool, append(path, "--help")...), "Available Commands:\n")
	if !found {
		return
	}
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		name := strings.Fields(line)[0]
		if name == "help" { // cobra's own, which has no page
			continue
		}
		commands(t, tool, append(append([]string(nil), path...), name), visit)
	}
}
