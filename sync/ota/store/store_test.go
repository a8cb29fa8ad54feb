package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/egret-edge/egret/sync/release"
)

// put makes dir a model's version.
func put(t testing.TB, dir string) {
	t.Helper()
	write(t, filepath.Join(dir, modelFile), "model")
}

func write(t testing.TB, path, data string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func cats(version int) release.Model { return release.Model{Name: "cats", Version: version} }

// odd is a state folder whose name has what patterns give a meaning to.
func odd(t testing.TB) Store {
	t.Helper()
	return New(filepath.Join(t.TempDir(), "st[a-b]te *"))
}

func TestVersions(t *testing.T) {
	s := odd(t)
	for _, v := range []string{"1", "12", "2", "007", "-1", "x", "3.new", "4.trash", "1.5", "+6", "99999999999999999999"} {
		put(t, filepath.Join(s.Models(), "cats", v))
	}
	if err := os.MkdirAll(filepath.Join(s.Models(), "cats", "8", modelFile), 0o755); err != nil { // a folder of that name
		t.Fatal(err)
	}
	write(t, filepath.Join(s.Models(), "cats", "9"), "a file")
	write(t, filepath.Join(s.Models(), "cats", "10", "labels.txt"), "no model")
	write(t, filepath.Join(s.Models(), "stray"), "a file")
	put(t, filepath.Join(s.Models(), "dogs", "5"))
	if got := s.Versions("cats"); !slices.Equal(got, []int{1, 2, 12}) {
		t.Errorf("versions %v", got)
	}
	if got := Versions(filepath.Join(s.Models(), "cows")); got != nil {
		t.Errorf("of a folder that is not there: %v", got)
	}
	want := []release.Model{cats(1), cats(2), cats(12), {Name: "dogs", Version: 5}}
	if got := s.All(); !slices.Equal(got, want) {
		t.Errorf("all: %v, want %v", got, want)
	}
	if got := New(filepath.Join(t.TempDir(), "none")).All(); got != nil {
		t.Errorf("of an empty store: %v", got)
	}
}

func TestRemove(t *testing.T) {
	s := odd(t)
	put(t, s.Dir(cats(1)))
	put(t, s.Dir(cats(2)))
	put(t, s.Dir(cats(1))+trash) // what a crash left
	for range 2 {                // the second time there is nothing
		if err := s.Remove(cats(1)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(s.Models(), "cats"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "2" {
		t.Errorf("left: %v, %v", entries, err)
	}
	if err := s.Remove(release.Model{Name: "cows", Version: 1}); err != nil {
		t.Errorf("a model that is not there: %v", err)
	}
}

func TestCollect(t *testing.T) {
	s := odd(t)
	for v := range 5 {
		put(t, s.Dir(cats(v)))
	}
	put(t, s.Dir(release.Model{Name: "cats.new", Version: 1})) // a name that looks like something begun
	put(t, s.Dir(cats(7))+".new")
	write(t, filepath.Join(s.Models(), "dogs", "3"+trash, "labels.txt"), "half removed")
	write(t, filepath.Join(s.Models(), "cats", "README"), "by hand")
	removed, err := s.Collect(func(m release.Model) bool { return m.Version%2 == 1 })
	if err != nil || !slices.Equal(removed, []release.Model{cats(0), cats(2), cats(4)}) {
		t.Errorf("removed %v, %v", removed, err)
	}
	for path, want := range map[string]bool{"cats/1": true, "cats/3": true, "cats/2": false, "cats.new/1": true, "cats/7.new": false, "dogs/3" + trash: false, "cats/README": true} {
		if _, err := os.Stat(filepath.Join(s.Models(), path)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", path, err == nil, want)
		}
	}
	if removed, err := New(t.TempDir()).Collect(nil); err != nil || removed != nil {
		t.Errorf("an empty store: %v, %v", removed, err)
	}
}

// TestCollectGoesOn: one that cannot be removed is not in the way of others.
func TestCollectGoesOn(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may remove anything")
	}
	s := odd(t)
	put(t, s.Dir(cats(1)))
	put(t, s.Dir(release.Model{Name: "dogs", Version: 1}))
	locked := filepath.Join(s.Models(), "cats")
	if err := os.Chmod(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(locked, 0o700)
	removed, err := s.Collect(func(release.Model) bool { return false })
	if err == nil || fmt.Sprint(removed) != "[{dogs 1}]" || !strings.Contains(err.Error(), "remove model cats version 1") {
		t.Errorf("removed %v, %v", removed, err)
	}
}
