package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// program is a built binary and what Go linked into it.
type program struct {
	version string // what the package is called: VERSION, or "devel"
	commit  string
	goVer   string // without "go"
	path    string // of the main module
	native  bool   // C is linked in
	sum     [sha256.Size]byte
	modules []linked
}

// linked is one module: the standard library is the first.
type linked struct {
	path, version string
	sum           string // as go.sum has it, h1:…; "" for the standard library
	licence       licence
}

func openProgram(binary string) (*program, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read %s's build information: %w", binary, err)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	cache, goroot, err := goFolders()
	if err != nil {
		return nil, err
	}
	p := &program{
		version: or(os.Getenv("VERSION"), "devel"),
		commit:  os.Getenv("COMMIT"),
		goVer:   strings.TrimPrefix(info.GoVersion, "go"),
		path:    info.Main.Path,
		native:  slices.Contains(info.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "1"}),
		sum:     sha256.Sum256(content),
	}
	std, err := findLicence(goroot)
	if err != nil {
		return nil, fmt.Errorf("the licence of Go itself: %w", err)
	}
	p.modules = append(p.modules, linked{path: "std", version: p.goVer, licence: std})
	for _, dep := range info.Deps {
		m, err := openModule(cache, dep)
		if err != nil {
			return nil, err
		}
		p.modules = append(p.modules, m)
	}
	return p, nil
}

func openModule(cache string, dep *debug.Module) (linked, error) {
	if dep.Replace != nil {
		dep = dep.Replace
	}
	path, err := module.EscapePath(dep.Path)
	if err != nil {
		return linked{}, err
	}
	version, err := module.EscapeVersion(dep.Version)
	if err != nil {
		return linked{}, err
	}
	found, err := findLicence(filepath.Join(cache, path+"@"+version))
	if err != nil {
		return linked{}, fmt.Errorf("licence of %s %s: %w", dep.Path, dep.Version, err)
	}
	return linked{path: dep.Path, version: dep.Version, sum: dep.Sum, licence: found}, nil
}

func goFolders() (cache, goroot string, err error) {
	out, err := exec.Command(or(os.Getenv("GO"), "go"), "env", "GOMODCACHE", "GOROOT").Output()
	lines := strings.Fields(string(out))
	if err != nil || len(lines) != 2 {
		return "", "", fmt.Errorf("go env GOMODCACHE GOROOT gave %q: %v", out, err)
	}
	return lines[0], lines[1], nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
