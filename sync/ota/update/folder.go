package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// takeFolder takes what is in a folder that nobody looks at but at the start.
func (m *Machine) takeFolder(known store.Model) store.Model {
	all := store.Versions(known.Base)
	if m.o.Poll < 0 && len(all) > 0 && all[len(all)-1] > known.Looked {
		known.Looked = all[len(all)-1]
		known.Current, known.Previous = &store.Version{Version: known.Looked, Dir: inBase(known.Base, known.Looked)}, known.Current
	}
	return known
}

// base is what the configured path says by itself. The caller holds mu.
func (m *Machine) base(name string) *store.Version { return Factory(&m.rec, name) }

// Factory is the version of a configured folder that serves when none is
// recorded: the highest one, but for those that were just put there and those
// that failed. It is nil when the configured path is a version itself.
func Factory(rec *store.Record, name string) *store.Version {
	known := rec.Models[name]
	all := slices.DeleteFunc(store.Versions(known.Base), func(v int) bool {
		prefix := FolderKey(name, v)
		return v > known.Looked || slices.ContainsFunc(rec.Failed, func(f store.Failure) bool { return strings.HasPrefix(f.Key, prefix) })
	})
	if len(all) == 0 {
		return nil
	}
	v := all[len(all)-1]
	return &store.Version{Version: v, Dir: inBase(known.Base, v)}
}

// Fresh is what is known of a model of which nothing is recorded: what is in
// its folder at first was installed on purpose.
func Fresh(base string) store.Model {
	fresh := store.Model{Base: base}
	if all := store.Versions(base); len(all) > 0 {
		fresh.Looked = all[len(all)-1]
		fresh.Current = &store.Version{Version: fresh.Looked, Dir: inBase(base, fresh.Looked)}
	}
	return fresh
}

// Canary is the version with the label canary; false without.
func (m *Machine) Canary(name string) (dir string, ok bool) {
	m.mu.Lock()
	v, ok := m.orders.Canaries[name]
	m.mu.Unlock()
	if !ok {
		return "", false
	}
	return m.find(release.Model{Name: name, Version: v})
}

// version is what is known of a version in dir, for an attempt that fetches
// nothing: where it came from must not be lost. The caller holds mu.
func (m *Machine) version(v release.Model, dir string) store.Version {
	known := m.rec.Models[v.Name]
	for _, k := range []*store.Version{known.Current, known.Previous} {
		if k != nil && k.Dir == dir {
			return *k
		}
	}
	if a := m.rec.Attempt; a != nil && a.State == payload.RolledBack && a.New.Dir == dir {
		return a.New
	}
	return store.Version{Version: v.Version, Dir: dir}
}

// find is the folder of a version: in the store, or in the configured folder.
func (m *Machine) find(v release.Model) (dir string, ok bool) {
	if slices.Contains(m.o.Store.Versions(v.Name), v.Version) {
		return m.o.Store.Dir(v), true
	}
	if c, ok := m.configured(v.Name); ok && slices.Contains(store.Versions(c.Base), v.Version) {
		return inBase(c.Base, v.Version), true
	}
	return "", false
}

// scan looks for versions that somebody put into the folder of a configured
// model. One counts when its files have not changed since the look before: a
// copy may be under way.
func (m *Machine) scan(context.Context) (bool, error) {
	if m.o.Poll < 0 {
		return false, nil
	}
	for _, c := range m.o.Models {
		m.mu.Lock()
		known, pinned := m.rec.Models[c.Name], m.orders.Pins[c.Name] != 0
		m.mu.Unlock()
		all := store.Versions(c.Base)
		if c.Fixed || pinned || len(all) == 0 || all[len(all)-1] <= known.Looked {
			continue
		}
		wish := release.Model{Name: c.Name, Version: all[len(all)-1]}
		dir := inBase(c.Base, wish.Version)
		print, err := fingerprint(dir)
		if err != nil {
			continue
		}
		steady := m.steady(dir, print)
		key := folderKey(wish.Name, wish.Version, print)
		m.mu.Lock()
		_, failed := m.rec.HasFailed(key)
		m.mu.Unlock()
		if !steady || failed {
			continue
		}
		return true, m.save("begin", func() {
			m.rec.Attempt = &store.Attempt{By: store.ByFolder, Key: key, Model: wish, New: store.Version{Version: wish.Version, Dir: dir}}
			m.enter(payload.Verifying, "")
		})
	}
	return false, nil
}

// looked is a version's folder as it was found first so.
type looked struct {
	print string
	at    time.Time
}

// steady tells whether dir has been the same for as long as looks are apart: a
// document or an order may have Run look twice within a moment.
func (m *Machine) steady(dir, print string) bool {
	if before, ok := m.folders[dir]; ok && before.print == print {
		return time.Since(before.at) >= m.poll()
	}
	m.folders[dir] = looked{print, time.Now()}
	return false
}

func folderKey(name string, version int, print string) string {
	return FolderKey(name, version) + print
}

// FolderKey begins the failures of a version in a configured folder.
func FolderKey(name string, version int) string {
	return fmt.Sprintf("%s%d:", folderOf(name), version)
}

func folderOf(name string) string { return "folder " + name + "/" }

// fingerprint tells whether the files in dir are still the same, without
// reading them.
func fingerprint(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintf(h, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	return hex.EncodeToString(h.Sum(nil)[:8]), err
}

// collect removes the versions that nothing needs any more.
func (m *Machine) collect() {
	m.look() // an order may just have asked for one
	m.mu.Lock()
	if m.blind != "" || m.closed { // what is pinned is not known, or what is needed
		m.mu.Unlock()
		return
	}
	needed := map[string]bool{}
	for name, known := range m.rec.Models {
		for _, v := range []*store.Version{known.Current, known.Previous} {
			if v != nil {
				needed[v.Dir] = true
			}
		}
		for _, labelled := range []map[string]int{m.orders.Pins, m.orders.Canaries} {
			if v, ok := labelled[name]; ok {
				needed[m.o.Store.Dir(release.Model{Name: name, Version: v})] = true
			}
		}
	}
	if a := m.rec.Attempt; a != nil && !a.State.Ended() {
		needed[a.New.Dir] = true
	}
	for _, o := range m.orders.Waiting(m.rec.Obeyed) {
		needed[m.o.Store.Dir(o.Model)] = true
	}
	m.mu.Unlock()
	removed, err := m.o.Store.Collect(func(v release.Model) bool {
		c, _ := m.configured(v.Name)
		return needed[m.o.Store.Dir(v)] || c.KeepAll || slices.Contains(c.Keep, v.Version)
	})
	for _, v := range removed {
		m.o.Log.Info("removed a model that nothing needs any more", "model", v.Name, "version", v.Version)
	}
	if err == nil {
		err = os.RemoveAll(m.o.Store.Downloads())
	}
	if err != nil {
		m.o.Log.Warn("old models could not be removed", "error", err)
	}
}

func inBase(base string, version int) string { return filepath.Join(base, strconv.Itoa(version)) }
