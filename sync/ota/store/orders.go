package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/egret-edge/egret/internal/wholefile"
	"github.com/egret-edge/egret/sync/release"
)

// Orders are what a person on the device asked for with egret model. The
// command writes them, the agent reads them.
type Orders struct {
	// Number grows with each order.
	Number uint64 `json:"number"`
	// Last is what the latest order asks for; nil when it only changed Pins or
	// Canaries.
	Last *Order `json:"last,omitempty"`
	// Earlier are those before Last, oldest first and one for each model, that
	// the agent may not have seen yet.
	Earlier []Order `json:"earlier,omitempty"`
	// Pins are versions by model: they serve, and nothing replaces them.
	Pins map[string]int `json:"pins,omitempty"`
	// Canaries are the versions with the label canary, by model.
	Canaries map[string]int `json:"canaries,omitempty"`
}

// Order asks for a version once; later releases may replace it.
type Order struct {
	// Number is the one of Orders when it was given.
	Number uint64        `json:"number"`
	Model  release.Model `json:"model"`
	// Factory asks for the factory model instead of a version.
	Factory bool `json:"factory,omitempty"`
	// Back: it served before, so it need not prove itself again.
	Back bool `json:"back,omitempty"`
}

const (
	ordersFile = "orders.json"
	maxOrders  = 256 << 10
)

// Orders reads the orders; there may be none.
func (s Store) Orders() (Orders, error) {
	var o Orders
	path := filepath.Join(s.Updates(), ordersFile)
	data, err := readLimited(path, maxOrders)
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	switch {
	case err == nil:
		return o, nil
	case errors.Is(err, fs.ErrNotExist):
		return Orders{}, nil
	case errors.Is(err, fs.ErrPermission):
		return Orders{}, fmt.Errorf("read the orders: %w", err)
	}
	return Orders{}, fmt.Errorf("read the orders in %s: %w: remove that file, and give the orders in it again", path, err)
}

// maxEarlier bounds the orders that wait: more models than one device has.
const maxEarlier = 32

// keep sees to it that a new order replaces none of another model, which may
// not have been obeyed yet.
func (o *Orders) keep(last *Order) {
	if last != nil {
		o.Earlier = append(o.Earlier, *last)
	}
	if o.Last != nil {
		o.Last.Number = o.Number
	}
	newer := map[string]bool{}
	var kept []Order
	for _, e := range slices.Backward(o.Earlier) {
		if !newer[e.Model.Name] && (o.Last == nil || o.Last.Model.Name != e.Model.Name) && len(kept) < maxEarlier {
			kept = append(kept, e)
		}
		newer[e.Model.Name] = true
	}
	slices.Reverse(kept)
	o.Earlier = kept
}

// Waiting lists the orders that were not carried out when the last one that was
// has the number obeyed, oldest first. Numbers that went down are those of a new
// file: somebody removed the one before.
func (o Orders) Waiting(obeyed uint64) []Order {
	if obeyed > o.Number {
		obeyed = 0
	}
	all := slices.Clone(o.Earlier)
	if o.Last != nil {
		all = append(all, *o.Last)
	}
	return slices.DeleteFunc(all, func(x Order) bool { return x.Number <= obeyed })
}

// Command changes the orders. Two commands at once are carried out one after
// the other.
func (s Store) Command(change func(*Orders) error) error {
	if err := os.MkdirAll(s.Updates(), 0o750); err != nil {
		return fmt.Errorf("give an order: %w", err)
	}
	handOver(s.Updates(), s.state)
	locked := filepath.Join(s.Updates(), ordersFile+".lock")
	unlock, err := lock(locked)
	if err != nil {
		return fmt.Errorf("give an order: %w", err)
	}
	defer unlock()
	handOver(locked, s.state)
	o, err := s.Orders()
	if err != nil {
		return err
	}
	if o.Pins == nil {
		o.Pins = map[string]int{}
	}
	if o.Canaries == nil {
		o.Canaries = map[string]int{}
	}
	o.Number++
	last := o.Last
	o.Last = nil
	if err := change(&o); err != nil {
		return err
	}
	o.keep(last)
	data, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		return fmt.Errorf("give an order: %w", err)
	}
	if len(data) > maxOrders { // nobody could read them again
		return fmt.Errorf("give an order: the orders have more than %d KiB: take pins and canaries away", maxOrders>>10)
	}
	// It is the agent's before it has its name: the agent may look at any moment.
	ready := ordersFile + ".given"
	if err := s.write(ready, data); err != nil {
		return err
	}
	handOver(filepath.Join(s.Updates(), ready), s.state)
	if err := os.Rename(filepath.Join(s.Updates(), ready), filepath.Join(s.Updates(), ordersFile)); err != nil {
		return fmt.Errorf("give an order: %w", err)
	}
	if err := wholefile.SyncDir(s.Updates()); err != nil {
		return fmt.Errorf("give an order: %w", err)
	}
	return nil
}
