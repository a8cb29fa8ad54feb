package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/egret-edge/egret/sync/ota/store"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
)

// Order is one that was given to the agent, which carries it out when it reads
// it.
type Order struct {
	number  uint64
	given   time.Time
	model   string
	version int // that is to serve; below 0: none in particular
	done    string
}

// give writes an order. done is what it says when it was obeyed, where no
// version is to serve.
func (s *Shelf) give(st *Stock, version int, done string, change func(*store.Orders)) (*Order, error) {
	if _, err := os.Stat(s.cfg.StateDir); errors.Is(err, fs.ErrNotExist) {
		// Made here, it would belong to whoever gives the order.
		return nil, fmt.Errorf("there is no state folder %s: has an agent ever run with this configuration?", s.cfg.StateDir)
	}
	o := &Order{given: time.Now(), model: st.Name, version: version, done: done}
	err := s.store.Command(func(all *store.Orders) error {
		// A file that somebody removed must not make a new order look obeyed.
		all.Number = max(all.Number, s.rec.Obeyed+1)
		change(all)
		o.number = all.Number
		return nil
	})
	return o, shelfHint(err)
}

// free refuses for a model whose versions the configuration fixes.
func (s *Shelf) free(st *Stock) error {
	if st.fixed {
		return fmt.Errorf("the configuration fixes the versions of %s (version_policy): change it there and reload the agent", st.Name)
	}
	return nil
}

// Pin has a version serve, and nothing replace it.
func (s *Shelf) Pin(st *Stock, version int) (*Order, error) {
	if err := s.free(st); err != nil {
		return nil, err
	}
	if _, err := s.version(st, version); err != nil {
		return nil, err
	}
	return s.give(st, version, "", func(o *store.Orders) { o.Pins[st.Name] = version })
}

// Unpin lets newer versions come again.
func (s *Shelf) Unpin(st *Stock) (*Order, error) {
	if _, ok := s.orders.Pins[st.Name]; !ok {
		return nil, fmt.Errorf("no version of %s is pinned", st.Name)
	}
	return s.give(st, -1, st.Name+" is not pinned any more: newer versions may come", func(o *store.Orders) { delete(o.Pins, st.Name) })
}

// Canary gives a version the label canary.
func (s *Shelf) Canary(st *Stock, version int) (*Order, error) {
	if _, err := s.version(st, version); err != nil {
		return nil, err
	}
	done := fmt.Sprintf("version %d of %s is the canary: cameras with model %s@canary run it", version, st.Name, st.Models[0])
	return s.give(st, -1, done, func(o *store.Orders) { o.Canaries[st.Name] = version })
}

// NoCanary takes the label away.
func (s *Shelf) NoCanary(st *Stock) (*Order, error) {
	if _, ok := s.orders.Canaries[st.Name]; !ok {
		return nil, fmt.Errorf("no version of %s has the label canary", st.Name)
	}
	done := fmt.Sprintf("%s has no canary any more: cameras with model %s@canary run what serves", st.Name, st.Models[0])
	return s.give(st, -1, done, func(o *store.Orders) { delete(o.Canaries, st.Name) })
}

// Promote has a version serve once it has proved itself; below 0, the canary's.
// The order is nil when it serves, or is on its way, already.
func (s *Shelf) Promote(st *Stock, version int) (*Order, string, error) {
	if err := s.free(st); err != nil {
		return nil, "", err
	}
	canary, labelled := s.orders.Canaries[st.Name]
	if version < 0 && !labelled {
		return nil, "", fmt.Errorf("no version of %s has the label canary: name a version", st.Name)
	}
	if version < 0 {
		version = canary
	}
	if pin, ok := s.orders.Pins[st.Name]; ok && pin != version {
		return nil, "", fmt.Errorf("%s is pinned to version %d: egret model pin %s %d pins it to the other one, or --off ends that", st.Name, pin, st.Name, version)
	}
	a := s.underWay(st)
	if a != nil && a.Model.Version == version {
		return nil, fmt.Sprintf("version %d of %s is on its way already: %s", version, st.Name, a.State), nil
	}
	found, err := s.version(st, version)
	if err != nil {
		return nil, "", err
	}
	serves := found.Path == s.current(st).Dir
	if serves && a == nil && (!labelled || canary != version) {
		return nil, fmt.Sprintf("version %d of %s serves already", version, st.Name), nil
	}
	order := &store.Order{Model: release.Model{Name: st.Name, Version: version}, Back: serves}
	o, err := s.give(st, version, "", func(o *store.Orders) {
		o.Last = order
		if o.Canaries[st.Name] == version {
			delete(o.Canaries, st.Name)
		}
	})
	return o, "", err
}

// Rollback goes back to the version before, or to the factory model, at once.
// What is under way ends; then what serves stays.
func (s *Shelf) Rollback(st *Stock, factory bool) (*Order, error) {
	if err := s.free(st); err != nil {
		return nil, err
	}
	current, base := s.current(st), s.factory(st)
	order := &store.Order{Model: release.Model{Name: st.Name}, Factory: true}
	target := base
	back := func(v store.Version) {
		order.Model.Version, order.Factory, order.Back, target = v.Version, false, true, v
	}
	underWay := s.underWay(st) != nil || s.toCome(st, current)
	atBase := current.Dir == base.Dir
	switch {
	case base.Dir == st.base && atBase && !underWay && st.known.Previous == nil:
		return nil, fmt.Errorf("nothing to go back to: %s has the factory model only: egret model promote takes another version", st.Name)
	case atBase && !underWay && (factory || st.known.Previous == nil):
		return nil, fmt.Errorf("nothing to go back to: version %d of %s is the factory model: egret model promote takes another version", current.Version, st.Name)
	case underWay && !factory && st.known.Current != nil, underWay && atBase && st.known.Current != nil:
		back(current)
	case underWay && !factory, factory, st.known.Previous == nil:
	default:
		if _, err := s.version(st, st.known.Previous.Version); err != nil {
			return nil, fmt.Errorf("%w: --factory goes back to the factory model", err)
		}
		back(*st.known.Previous)
	}
	return s.give(st, target.Version, "", func(o *store.Orders) {
		o.Last = order
		if pin, ok := o.Pins[st.Name]; ok && pin != target.Version {
			delete(o.Pins, st.Name) // it would come again
		}
	})
}

// toCome tells whether an order that was not obeyed yet asks for a version that
// has yet to prove itself.
func (s *Shelf) toCome(st *Stock, current store.Version) bool {
	if pin, ok := s.orders.Pins[st.Name]; ok && pin != current.Version && s.orders.Number != s.rec.Obeyed {
		return true
	}
	return slices.ContainsFunc(s.orders.Waiting(s.rec.Obeyed), func(o store.Order) bool {
		return o.Model.Name == st.Name && !o.Back && !o.Factory
	})
}

// Remove removes a version from the store.
func (s *Shelf) Remove(st *Stock, version int) error {
	v, err := s.version(st, version)
	if err != nil {
		return err
	}
	if v.Where == InFactory {
		return fmt.Errorf("version %d of %s is in the configured folder: remove %s yourself", version, st.Name, v.Path)
	}
	for word, instead := range map[string]string{
		StateServing: "egret model rollback goes back from it", StateTrial: "egret model rollback ends that",
		StateUnderWay: "egret model rollback ends that", StatePrevious: "it is what a rollback goes back to",
		StatePinned: "egret model pin --off ends that", StateCanary: "egret model pin --canary --off ends that",
		StateConfigured: "a camera or version_policy names it",
	} {
		if word = firstOf(v.State, word); word != "" {
			return fmt.Errorf("version %d of %s is %s: %s", version, st.Name, word, instead)
		}
	}
	if current := s.current(st); current.Dir == v.Path {
		return fmt.Errorf("version %d of %s is what serves when the one on trial fails", version, st.Name)
	}
	for _, o := range s.orders.Waiting(s.rec.Obeyed) {
		if o.Model == (release.Model{Name: st.Name, Version: version}) {
			return fmt.Errorf("version %d of %s is to serve by an order that was not obeyed yet", version, st.Name)
		}
	}
	return shelfHint(s.store.Remove(release.Model{Name: st.Name, Version: version}))
}

// firstOf is word when it is the first of the words that may stand in the way.
func firstOf(state []string, word string) string {
	state = slices.DeleteFunc(slices.Clone(state), func(w string) bool { return w == StateStable })
	if len(state) > 0 && state[0] == word {
		return word
	}
	return ""
}

// watchEvery is how often what became of an order is looked at; the file is
// small.
const watchEvery = 50 * time.Millisecond

// Await waits for as long as wait until the agent has obeyed an order, and says
// in one line what became of it. The error is of an order that was not carried
// out.
func (s *Shelf) Await(ctx context.Context, o *Order, wait time.Duration) (string, error) {
	if !s.Running() {
		return "the agent does not run: it will obey when it starts", nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		now, err := OpenShelf(s.cfg)
		if err != nil {
			return "", err
		}
		text, settled, err := now.fate(o)
		if settled || err != nil {
			return text, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return text, nil
		}
	}
}

// fate tells what became of an order, and whether that is all to be said for
// now.
func (s *Shelf) fate(o *Order) (text string, settled bool, err error) {
	st, err := s.Find(o.model)
	if err != nil {
		return "", false, err
	}
	a := s.rec.Attempt
	if s.rec.Obeyed < o.number {
		if a != nil && !a.State.Ended() {
			return fmt.Sprintf("the agent has not obeyed yet: it is busy with version %d of %s (%s)", a.Model.Version, a.Model.Name, a.State), false, nil
		}
		return "the agent has not obeyed yet: egret model ls shows what serves", false, nil
	}
	if o.version < 0 {
		return o.done, true, nil
	}
	mine := a != nil && a.Model == release.Model{Name: o.model, Version: o.version}
	switch serving := s.serving(st); {
	case mine && !a.State.Ended():
		return fmt.Sprintf("version %d of %s is on its way: %s", o.version, o.model, a.State), true, nil
	case serving.Version == o.version:
		return fmt.Sprintf("version %d of %s serves now", o.version, o.model), true, nil
	case mine && !a.Since.Before(o.given.Truncate(time.Millisecond)) && (a.State == payload.Rejected || a.State == payload.RolledBack):
		return "", true, fmt.Errorf("version %d of %s was refused: %s", o.version, o.model, a.Reason)
	case s.orders.Pins[o.model] == o.version: // the agent takes it up next
		return fmt.Sprintf("version %d of %s is pinned, and on its way", o.version, o.model), false, nil
	}
	return "", true, fmt.Errorf("the agent could not carry it out: its log says why")
}
