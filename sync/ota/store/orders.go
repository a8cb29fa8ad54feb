package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

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
	// Pins are versions by model: they serve, and nothing replaces them.
	Pins map[string]int `json:"pins,omitempty"`
	// Canaries are the versions with the label canary, by model.
	Canaries map[string]int `json:"canaries,omitempty"`
}

// Order asks for a version once; later releases may replace it.
type Order struct {
	Model release.Model `json:"model"`
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
	data, err := readLimited(filepath.Join(s.Updates(), ordersFile), maxOrders)
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return Orders{}, fmt.Errorf("read the orders: %w", err)
	}
	return o, nil
}

// OrdersChanged is when the orders were written last; the zero time when there
// are none.
func (s Store) OrdersChanged() time.Time {
	info, err := os.Stat(filepath.Join(s.Updates(), ordersFile))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
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
		return fmt.Errorf("%w: remove the file, the orders in it are lost", err)
	}
	if o.Pins == nil {
		o.Pins = map[string]int{}
	}
	if o.Canaries == nil {
		o.Canaries = map[string]int{}
	}
	o.Number++
	o.Last = nil
	if err := change(&o); err != nil {
		return err
	}
	data, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		return fmt.Errorf("give an order: %w", err)
	}
	if len(data) > maxOrders { // nobody could read them again
		return fmt.Errorf("give an order: the orders have more than %d KiB: take pins and canaries away", maxOrders>>10)
	}
	if err := s.write(ordersFile, data); err != nil {
		return err
	}
	handOver(filepath.Join(s.Updates(), ordersFile), s.state)
	return nil
}
