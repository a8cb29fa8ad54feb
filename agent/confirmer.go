package agent

import (
	"bytes"
	"encoding/json"
	"sync"

	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

// confirmer is the queue as the broker's connection sees it, and tells when the
// broker has acknowledged a prediction of a certain model. Any goroutine may ask
// it.
type confirmer struct {
	mqtt.Queue

	mu   sync.Mutex // guards all following fields
	mark []byte     // what a prediction of that model has in it; nil: nobody asks
	seen bool
}

// expect asks for a prediction of m.
func (c *confirmer) expect(m payload.Model) {
	mark, err := json.Marshal(m)
	if err != nil {
		return // text and a number
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mark, c.seen = mark, false
}

func (c *confirmer) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mark = nil
}

func (c *confirmer) confirmed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// Ack implements mqtt.Queue.
func (c *confirmer) Ack(b outbox.Batch) error {
	found := c.in(b) // before: the memory is used again
	err := c.Queue.Ack(b)
	if err == nil && found {
		c.mu.Lock()
		c.seen = c.mark != nil
		c.mu.Unlock()
	}
	return err
}

func (c *confirmer) in(b outbox.Batch) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mark == nil || c.seen {
		return false
	}
	for i := range b.Len() {
		if bytes.Contains(b.Record(i), c.mark) {
			return true
		}
	}
	return false
}
