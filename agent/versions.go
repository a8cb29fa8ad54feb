package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/ota/update"
	"github.com/egret-edge/egret/sync/release"
	"github.com/egret-edge/egret/tflite"
)

// modelError is why a model cannot be loaded, when its files are to blame or are
// not there.
type modelError struct {
	model string // as the configuration, or versions, names it
	err   error
}

func (e *modelError) Error() string { return e.err.Error() }
func (e *modelError) Unwrap() error { return e.err }

// versions picks what of each configured model is loaded.
type versions struct {
	machine *update.Machine
	store   store.Store
	log     *slog.Logger
}

// resolve replaces the models' paths by those of the versions that serve, and
// adds a model for each other version that a policy or a camera asks for; its
// name is <name>@<version>. skip are models that shall be left out: what serves
// takes their cameras.
func (v versions) resolve(cfg configs.Config, skip map[string]bool) (configs.Config, error) {
	out := cfg
	out.Models, out.Cameras = nil, slices.Clone(cfg.Cameras)
	var extra []configs.Model
	add := func(m configs.Model, label, path string) string {
		m.Name, m.Path = m.Name+"@"+label, path
		if !slices.Contains(extra, m) && !skip[m.Name] {
			extra = append(extra, m)
		}
		return m.Name
	}
	byName := map[string]configs.Model{}
	for _, m := range cfg.Models {
		byName[m.Name] = m
		name, err := tflite.BundleName(m.Path)
		if err != nil {
			return out, err
		}
		serves := m
		if list := m.Versions.List(); list != nil {
			there, err := v.those(m, name, list)
			if err != nil {
				return out, err
			}
			for _, version := range there[:len(there)-1] {
				path, _ := v.path(name, m.Path, version) // it is there
				add(m, strconv.Itoa(version), path)
			}
			serves.Path, _ = v.path(name, m.Path, there[len(there)-1])
		} else if now := v.machine.Serving(name); now != nil {
			serves.Path = now.Dir
		}
		out.Models = append(out.Models, serves)
		if m.Versions == configs.AllVersions {
			for _, version := range v.all(name, m.Path) {
				if path, err := v.path(name, m.Path, version); err == nil && path != serves.Path {
					add(m, strconv.Itoa(version), path)
				}
			}
		}
	}
	for i, c := range cfg.Cameras {
		model, label, selected := strings.Cut(c.Model, "@")
		if !selected {
			continue
		}
		out.Cameras[i].Model = model
		m := byName[model]
		name, err := tflite.BundleName(m.Path)
		if err != nil {
			return out, err
		}
		path, ok := "", false
		switch label {
		case configs.Stable:
		case configs.Canary:
			path, ok = v.machine.Canary(name)
		default:
			if skip[c.Model] {
				break
			}
			version, _ := strconv.Atoi(label) // checked by configs
			if path, err = v.path(name, m.Path, version); err != nil {
				return out, &modelError{c.Model, fmt.Errorf("camera %s: %w", c.Name, err)}
			}
			ok = true
		}
		if named := model + "@" + label; ok && !skip[named] {
			out.Cameras[i].Model = add(m, label, path)
		}
	}
	out.Models = append(out.Models, extra...)
	return out, nil
}

// those lists which of the versions that the configuration names are there. One
// that is not must not keep the others from serving.
func (v versions) those(m configs.Model, name string, list []int) (there []int, err error) {
	for _, version := range list {
		if _, e := v.path(name, m.Path, version); e != nil {
			err = fmt.Errorf("model %s: %w", m.Name, e)
			v.log.Error("a version that version_policy names is not there", "model", m.Name, "version", version)
			continue
		}
		there = append(there, version)
	}
	if len(there) > 0 {
		err = nil
	}
	return there, err
}

// path is the folder of a version: in the configured folder, or in the store.
func (v versions) path(name, base string, version int) (string, error) {
	for _, dir := range []string{filepath.Join(base, strconv.Itoa(version)), v.store.Dir(release.Model{Name: name, Version: version})} {
		if slices.Contains(store.Versions(filepath.Dir(dir)), version) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("there is no version %d of %s on this device: egret model ls shows those that are", version, name)
}

// all lists the versions on this device, ascending.
func (v versions) all(name, base string) []int {
	all := append(store.Versions(base), v.store.Versions(name)...)
	slices.Sort(all)
	return slices.Compact(all)
}

// damaged tells why the version that serves for a model is not to be loaded:
// its file is gone, or not the one that proved itself.
func damaged(v *store.Version) error {
	b, err := tflite.OpenBundle(v.Dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("the model's folder %s is gone", v.Dir)
	case err != nil:
		return err
	case v.Digest != "" && v.Digest != b.Digest:
		return fmt.Errorf("the model file in %s is damaged: its digest is %s, it was %s", v.Dir, b.Digest, v.Digest)
	}
	return nil
}
