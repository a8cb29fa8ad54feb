package packages

import (
	"archive/zip"
	"debug/buildinfo"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// TestToolLicences: each archive of the operator's tool has the licences of what
// that very tool is linked from, which differs between systems.
func TestToolLicences(t *testing.T) {
	tools, err := filepath.Glob(filepath.Join(os.Getenv("EGRET_DIST"), "tool", "egret_*"))
	if err != nil || len(tools) == 0 {
		t.Fatalf("no tools: %v", err)
	}
	for _, tool := range tools {
		info, err := buildinfo.ReadFile(tool)
		if err != nil {
			t.Fatal(err)
		}
		text := licences(t, strings.TrimPrefix(filepath.Base(tool), "egret_"))
		for _, dep := range info.Deps {
			if !strings.Contains(text, "\n"+dep.Path+" "+dep.Version+" (") {
				t.Errorf("%s: its archive has no licence of %s %s", filepath.Base(tool), dep.Path, dep.Version)
			}
		}
		if strings.Contains(text, "libjpeg") {
			t.Errorf("%s: its archive names libjpeg, which is not in it", filepath.Base(tool))
		}
	}
}

// licences is the file of that name in the archive for a platform.
func licences(t *testing.T, platform string) string {
	t.Helper()
	const name = "third-party-licenses.txt"
	platform, windows := strings.CutSuffix(platform, ".exe")
	if !windows {
		return run(t, "tar", "-xzOf", one(t, "egret-tool_*_"+platform+".tar.gz"), "--wildcards", "*/"+name)
	}
	archive, err := zip.OpenReader(one(t, "egret-tool_*_"+platform+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	for _, f := range archive.File {
		if path.Base(f.Name) != name {
			continue
		}
		file, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		text, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	t.Fatalf("no %s for %s", name, platform)
	return ""
}
