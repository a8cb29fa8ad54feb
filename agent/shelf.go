package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/internal/spelling"
	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/ota/update"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
	"github.com/egret-edge/egret/tflite"
)

// Shelf is the models on this device, as a person at the device sees them and
// gives orders about them. It needs no running agent and no network. It is for
// one goroutine, and grows stale: open another one to see what became of an
// order.
type Shelf struct {
	cfg    configs.Config
	store  store.Store
	rec    store.Record
	orders store.Orders
	all    []*Stock
}

// Stock is what there is of a configured model.
type Stock struct {
	Name string `json:"name"` // of its bundle
	// Models are the configured models that it is for.
	Models   []string       `json:"models"`
	Versions []StockVersion `json:"versions"`
	// Update is the new version under way, or how the last one ended.
	Update *StockUpdate `json:"update,omitempty"`

	base  string // the configured path
	fixed bool   // the configuration says which versions serve
	keep  []int  // versions that the configuration names
	known store.Model
}

// StockVersion is one version on this device.
type StockVersion struct {
	Version int      `json:"version"`
	Where   string   `json:"where"` // InFactory or InStore
	Path    string   `json:"path"`
	State   []string `json:"state"` // of the words below
	Release string   `json:"release,omitempty"`
	Failed  string   `json:"failed,omitempty"` // why it was refused
}

// StockUpdate is a new version's way.
type StockUpdate struct {
	Version int                  `json:"version"`
	State   payload.ReleaseState `json:"state"`
	Reason  string               `json:"reason,omitempty"`
	Since   time.Time            `json:"since"`
}

// Where a version is.
const (
	InFactory = "factory" // the configured folder or file
	InStore   = "store"   // <state_dir>/models
)

// The states of a version; it may have several.
const (
	StateServing    = "serving"
	StateStable     = "stable" // what <name>@stable gets: it serves
	StateTrial      = "on trial"
	StateUnderWay   = "under way" // it has yet to prove itself
	StatePrevious   = "previous"  // what is gone back to
	StatePinned     = "pinned"
	StateCanary     = "canary"
	StateConfigured = "configured" // the configuration names it
)

// OpenShelf reads what is on the device; it changes nothing.
func OpenShelf(cfg configs.Config) (*Shelf, error) {
	s := &Shelf{cfg: cfg, store: store.New(cfg.StateDir)}
	var err error
	if s.rec, err = s.store.Peek(); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: start the agent anew, it sets a damaged record aside", err)
	}
	if err == nil {
		s.orders, err = s.store.Orders()
	}
	if err != nil {
		return nil, shelfHint(err)
	}
	for _, m := range cfg.Models {
		if err := s.add(m); err != nil {
			return nil, shelfHint(err)
		}
	}
	for _, st := range s.all {
		if err := s.fill(st); err != nil {
			return nil, shelfHint(err)
		}
	}
	return s, nil
}

// shelfHint adds what to try to what the file system says.
func shelfHint(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: try sudo, or as the agent's user", err)
	}
	return err
}

// All lists the configured models.
func (s *Shelf) All() []*Stock { return s.all }

// Find is the stock of a model by its bundle's name, or by its name in the
// configuration.
func (s *Shelf) Find(name string) (*Stock, error) {
	for _, st := range s.all {
		if st.Name == name {
			return st, nil
		}
	}
	var names []string
	for _, st := range s.all {
		if slices.Contains(st.Models, name) {
			return st, nil
		}
		names = append(append(names, st.Name), st.Models...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return nil, fmt.Errorf("no configured model is called %q: %s", name, spelling.Hint(name, names))
}

// add takes a configured model into the list.
func (s *Shelf) add(m configs.Model) error {
	name, err := tflite.BundleName(m.Path)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(s.all, func(st *Stock) bool { return st.Name == name })
	if i < 0 {
		i, s.all = len(s.all), append(s.all, &Stock{Name: name, base: m.Path, keep: named(s.cfg, name)})
	}
	st := s.all[i]
	if st.base != m.Path { // as the agent says when it starts
		return fmt.Errorf("models: %s and %s are both called %s: give one another folder name", st.base, m.Path, name)
	}
	st.Models = append(st.Models, m.Name)
	st.fixed = st.fixed || m.Versions.List() != nil
	return nil
}

// named lists the versions of a bundle that the configuration names: in a
// model's policy, or in what a camera runs.
func named(cfg configs.Config, bundle string) (all []int) {
	for _, m := range cfg.Models {
		if name, err := tflite.BundleName(m.Path); err != nil || name != bundle {
			continue
		}
		all = append(all, m.Versions.List()...)
		for _, c := range cfg.Cameras {
			model, label, _ := strings.Cut(c.Model, "@")
			if v, err := strconv.Atoi(label); model == m.Name && err == nil {
				all = append(all, v)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// fill lists the versions of a model with what is known of them.
func (s *Shelf) fill(st *Stock) error {
	st.known = s.rec.Models[st.Name]
	if st.known.Base != st.base { // what the agent makes of it when it starts
		st.known = update.Fresh(st.base)
		s.rec.Models[st.Name] = st.known
		if a := s.rec.Attempt; a != nil && a.Model.Name == st.Name {
			s.rec.Attempt = nil
		}
	}
	if _, err := os.ReadDir(filepath.Join(s.store.Models(), st.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	folder := store.Versions(st.base)
	for _, v := range folder {
		st.Versions = append(st.Versions, StockVersion{Version: v, Where: InFactory, Path: filepath.Join(st.base, strconv.Itoa(v))})
	}
	if len(folder) == 0 { // one version, or a bare file
		v, _ := strconv.Atoi(filepath.Base(st.base))
		st.Versions = append(st.Versions, StockVersion{Version: v, Where: InFactory, Path: st.base})
	}
	for _, v := range s.store.Versions(st.Name) {
		st.Versions = append(st.Versions, StockVersion{Version: v, Where: InStore, Path: s.store.Dir(release.Model{Name: st.Name, Version: v})})
	}
	if a := s.rec.Attempt; a != nil && a.Model.Name == st.Name {
		st.Update = &StockUpdate{a.Model.Version, a.State, a.Reason, a.Since}
	}
	for i := range st.Versions {
		s.describe(st, &st.Versions[i])
	}
	return nil
}

// describe fills in what is known of a version.
func (s *Shelf) describe(st *Stock, v *StockVersion) {
	v.State = []string{}
	say := func(word string, is bool) {
		if is {
			v.State = append(v.State, word)
		}
	}
	serves, a := v.Path == s.serving(st).Dir, s.rec.Attempt
	newer := a != nil && a.Model.Name == st.Name && a.New.Dir == v.Path && !a.State.Ended()
	say(StateServing, serves)
	say(StateStable, serves)
	say(StateTrial, newer && a.State == payload.Trial)
	say(StateUnderWay, newer && a.State != payload.Trial)
	say(StatePrevious, !serves && !st.fixed && s.goesBackTo(st) == v.Path)
	label := func(labels map[string]int) bool {
		n, ok := labels[st.Name]
		return ok && n == v.Version
	}
	say(StatePinned, label(s.orders.Pins))
	say(StateCanary, label(s.orders.Canaries))
	say(StateConfigured, slices.Contains(st.keep, v.Version))
	for _, k := range []*store.Version{st.known.Current, st.known.Previous} {
		if k != nil && k.Dir == v.Path {
			v.Release = k.Release
		}
	}
	if a != nil && a.Model.Name == st.Name && a.New.Dir == v.Path {
		v.Release = a.New.Release
	}
	if !serves {
		v.Failed = s.failure(st, v)
	}
}

// failure tells why a version was refused; empty when it was not, or when that
// is forgotten.
func (s *Shelf) failure(st *Stock, v *StockVersion) string {
	if a := s.rec.Attempt; a != nil && a.Model.Name == st.Name && a.New.Dir == v.Path && (a.State == payload.Rejected || a.State == payload.RolledBack) {
		return a.Reason
	}
	for _, f := range slices.Backward(s.rec.Failed) {
		if v.Where == InFactory && strings.HasPrefix(f.Key, update.FolderKey(st.Name, v.Version)) ||
			f.Key == update.PinnedKey(st.Name, v.Version) || v.Release != "" && strings.HasPrefix(f.Key, v.Release+"@") {
			return f.Reason
		}
	}
	return ""
}

// serving is what answers for a model now; its Dir is the configured path when
// that is a version itself.
func (s *Shelf) serving(st *Stock) store.Version {
	if st.fixed {
		return s.fixedVersion(st)
	}
	if v := s.rec.Serving(st.Name); v != nil {
		return *v
	}
	return s.factory(st)
}

// fixedVersion is what the configuration has serve.
func (s *Shelf) fixedVersion(st *Stock) store.Version {
	for _, m := range s.cfg.Models {
		list := m.Versions.List()
		if m.Name != st.Models[0] || len(list) == 0 {
			continue
		}
		v := list[len(list)-1]
		if dir, err := (versions{store: s.store}).path(st.Name, st.base, v); err == nil {
			return store.Version{Version: v, Dir: dir}
		}
	}
	return s.factory(st)
}

// factory is what the configured path says by itself.
func (s *Shelf) factory(st *Stock) store.Version {
	if v := update.Factory(&s.rec, st.Name); v != nil {
		return *v
	}
	v, _ := strconv.Atoi(filepath.Base(st.base))
	return store.Version{Version: v, Dir: st.base}
}

// current is what serves when no version is on trial.
func (s *Shelf) current(st *Stock) store.Version {
	if c := st.known.Current; c != nil {
		return *c
	}
	return s.factory(st)
}

// goesBackTo is the folder of what serves when what does now is gone back from.
func (s *Shelf) goesBackTo(st *Stock) string {
	switch a := s.rec.Attempt; {
	case a != nil && a.State == payload.Trial && a.Model.Name == st.Name:
		return s.current(st).Dir
	case st.known.Previous != nil:
		return st.known.Previous.Dir
	}
	return s.factory(st).Dir
}

// underWay is the attempt of a version of the model; nil without.
func (s *Shelf) underWay(st *Stock) *store.Attempt {
	if a := s.rec.Attempt; a != nil && !a.State.Ended() && a.Model.Name == st.Name {
		return a
	}
	return nil
}

// version is a version on this device.
func (s *Shelf) version(st *Stock, v int) (StockVersion, error) {
	var there []string
	for _, x := range slices.Backward(st.Versions) { // the store first, as the agent
		if x.Version == v && x.Path != st.base {
			return x, nil
		}
		if word := strconv.Itoa(x.Version); x.Path != st.base && !slices.Contains(there, word) {
			there = append(there, word)
		}
	}
	if len(there) == 0 {
		return StockVersion{}, fmt.Errorf("there is no version %d of %s on this device, nor any besides the factory model", v, st.Name)
	}
	slices.Reverse(there)
	return StockVersion{}, fmt.Errorf("there is no version %d of %s on this device: there are %s", v, st.Name, strings.Join(there, ", "))
}

// Running tells whether an agent uses this state folder. One that cannot be
// told counts as running.
func (s *Shelf) Running() bool {
	_, err := outbox.Inspect(filepath.Join(s.cfg.StateDir, OutboxFile))
	return errors.Is(err, outbox.ErrLocked) || errors.Is(err, fs.ErrPermission)
}
