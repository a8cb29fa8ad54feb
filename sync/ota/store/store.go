// Package store keeps the models that came over the air, one folder for each
// version, and the record of which of them serves.
//
// It fetches, tries and runs nothing, and does not decide what serves.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/egret-edge/egret/internal/wholefile"
	"github.com/egret-edge/egret/sync/release"
)

// modelFile makes a folder a model's version.
const modelFile = "model.tflite"

// trash is the ending of what is being removed.
const trash = ".trash"

// Store is <state folder>/models and <state folder>/updates. Its methods may
// be called from several processes but for those that say otherwise.
type Store struct {
	state string
}

// New is the store in an agent's state folder; nothing is read or made.
func New(stateDir string) Store { return Store{stateDir} }

// Models is the folder of the models' folders.
func (s Store) Models() string { return filepath.Join(s.state, "models") }

// Updates is the folder for everything else about updates.
func (s Store) Updates() string { return filepath.Join(s.state, "updates") }

// Downloads is where bundles are fetched to.
func (s Store) Downloads() string { return filepath.Join(s.Updates(), "download") }

// Dir is the folder of a version, there or not.
func (s Store) Dir(m release.Model) string {
	return filepath.Join(s.Models(), m.Name, strconv.Itoa(m.Version))
}

// Versions lists the versions of a model in the store, ascending.
func (s Store) Versions(name string) []int { return Versions(filepath.Join(s.Models(), name)) }

// Versions lists the numbered folders in dir that hold a model, ascending. A
// folder that cannot be read has none.
func Versions(dir string) []int {
	entries, _ := os.ReadDir(dir)
	var all []int
	for _, e := range entries {
		v, err := strconv.Atoi(e.Name())
		if err != nil || v < 0 || strconv.Itoa(v) != e.Name() {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, e.Name(), modelFile)); err == nil && info.Mode().IsRegular() {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	return all
}

// All lists what the store holds, by name and version.
func (s Store) All() []release.Model {
	entries, _ := os.ReadDir(s.Models())
	var all []release.Model
	for _, e := range entries {
		for _, v := range s.Versions(e.Name()) {
			all = append(all, release.Model{Name: e.Name(), Version: v})
		}
	}
	return all
}

// Remove removes a version for good. A crash leaves all of it, or something
// that Collect removes.
func (s Store) Remove(m release.Model) error {
	dir := s.Dir(m)
	gone := dir + trash
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove model %s version %d: %w", m.Name, m.Version, err)
	}
	if err := os.Rename(dir, gone); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("remove model %s version %d: %w", m.Name, m.Version, err)
	}
	// The new name must be on disk before the first file is gone.
	if err := wholefile.SyncDir(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("remove model %s version %d: %w", m.Name, m.Version, err)
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove model %s version %d: %w", m.Name, m.Version, err)
	}
	return nil
}

// Collect removes the versions that keep is false for, and what crashes left.
// Only one process may call it at a time, and none may unpack meanwhile.
func (s Store) Collect(keep func(release.Model) bool) (removed []release.Model, err error) {
	for _, m := range s.All() {
		if keep(m) {
			continue
		}
		if e := s.Remove(m); e != nil {
			err = errors.Join(err, e)
			continue
		}
		removed = append(removed, m)
	}
	return removed, errors.Join(err, s.sweep())
}

// sweep removes what crashes left of versions on their way in or out.
func (s Store) sweep() (err error) {
	names, _ := os.ReadDir(s.Models())
	for _, name := range names {
		left, _ := os.ReadDir(filepath.Join(s.Models(), name.Name()))
		for _, e := range left {
			if strings.HasSuffix(e.Name(), trash) || strings.HasSuffix(e.Name(), ".new") {
				err = errors.Join(err, os.RemoveAll(filepath.Join(s.Models(), name.Name(), e.Name())))
			}
		}
	}
	return err
}
