//go:build unix

package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestCommandByRoot: what root orders belongs to the agent's user, who could not
// read it otherwise.
func TestCommandByRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give files away")
	}
	const user, group = 54321, 54322 // nobody's
	dir := t.TempDir()
	if err := os.Chown(dir, user, group); err != nil {
		t.Fatal(err)
	}
	s := New(dir)
	for range 2 { // the second replaces the first
		if err := s.Command(func(o *Orders) error { o.Pins["cats"] = 2; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(s.Updates())
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v: want the orders and their lock", entries, err)
	}
	paths := []string{s.Updates()}
	for _, e := range entries {
		paths = append(paths, filepath.Join(s.Updates(), e.Name()))
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != user || st.Gid != group {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
	}
}
