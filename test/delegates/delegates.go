// Package delegates compiles an external delegate that does to an agent what
// accelerators do: works, refuses, crashes, hangs, or vanishes.
package delegates

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Build compiles the delegate with the C compiler that cgo uses, against the
// headers that it is given in CGO_CFLAGS, and returns the library's path.
func Build(t testing.TB) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	lib := filepath.Join(t.TempDir(), "libtest_delegate.so")
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	args := append(strings.Fields(os.Getenv("CGO_CFLAGS")), "-shared", "-fPIC", "-o", lib, filepath.Join(filepath.Dir(here), "testdata", "delegate.c"))
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("compile the test delegate: %v\n%s", err, out)
	}
	return lib
}

// Spec is the delegate's specification for a mode; lost may be the path of a
// file that makes the device vanish while it exists.
func Spec(lib, mode, lost string) string {
	v := url.Values{"mode": {mode}}
	if lost != "" {
		v.Set("lost", lost)
	}
	return "external:" + lib + "?" + v.Encode()
}
