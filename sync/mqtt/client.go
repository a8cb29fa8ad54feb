// Package mqtt keeps a device's connection to its broker: it drains a queue of
// predictions as acknowledged messages, and shows the device's status, each
// camera's latest result and telemetry.
//
// It reconnects by itself and for ever. Paho's own reconnect, stores and
// resumption stay off: with them a publish may be reported as done that the
// broker never acknowledged. A record leaves the queue on its PUBACK only, so
// delivery is at least once. A backlog goes in the queue's order, and what is
// new beside it; what was in flight when a connection broke may come again. A
// record on which the broker closes the connection time after time is refused
// (see poison.go).
//
// It does not decide what is worth sending, nor where a queue is kept.
package mqtt

import (
	"bytes"
	"net/url"
	"sync"
	"time"

	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

// Queue is where predictions come from: JSON objects, leased until they are
// acknowledged or released. Its methods may be called from one goroutine while
// others append.
type Queue interface {
	// Take gives the oldest records, TakeLive the oldest of those that are
	// new.
	Take(maxRecords, maxBytes int) (outbox.Batch, bool)
	TakeLive(maxRecords, maxBytes int) (outbox.Batch, bool)
	Ack(outbox.Batch) error
	Release(outbox.Batch)
	// Refuse takes out what the broker will not have, for good.
	Refuse(b outbox.Batch, reason string) error
	Ready() <-chan struct{}
}

// State is what is known about the connection.
type State struct {
	Connected bool
	Since     time.Time // of the present state; zero before the first attempt
	LastError string    // why the last attempt or connection ended
	Attempts  uint64    // to connect, since the start
}

// Client publishes. Make it with New; its methods may be called from any
// goroutine, Run once.
type Client struct {
	opts   Options
	broker *url.URL
	queue  Queue
	poison poison // of Run's goroutine
	// strikes are connections in a row that the broker ended on a message of the
	// log; of Run's goroutine.
	strikes int
	// outgoing waits to be sent on the present connection.
	outgoing chan Message

	mu        sync.Mutex // guards all following fields
	state     State
	latest    map[string]*latest
	telemetry []byte
	news      chan struct{} // telemetry has come
	// report is the device's retained one; fresh when this connection has not
	// published it.
	report      []byte
	reportFresh bool
	reports     chan struct{}
}

type latest struct {
	payload []byte
	fresh   bool // not yet published on this connection
}

// New checks the options; it neither connects nor starts anything.
func New(opts Options, queue Queue) (*Client, error) {
	opts, broker, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Client{
		opts: opts, broker: broker, queue: queue,
		latest: map[string]*latest{}, news: make(chan struct{}, 1), reports: make(chan struct{}, 1),
		outgoing: make(chan Message, maxOutgoing),
	}, nil
}

// Latest gives a camera's newest result, to be published when it differs from
// the one before. It copies and never waits; a camera whose name cannot stand
// in a topic is ignored.
func (c *Client) Latest(camera string, result []byte) {
	if !payload.ValidID(camera) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.latest[camera]
	if l == nil {
		l = &latest{}
		c.latest[camera] = l
	}
	if !bytes.Equal(l.payload, result) {
		// Not in place: the old bytes may be on their way to the broker.
		l.payload, l.fresh = bytes.Clone(result), true
	}
}

// Telemetry gives the newest telemetry. It copies and never waits; what was
// not sent yet is replaced.
func (c *Client) Telemetry(t []byte) {
	c.mu.Lock()
	c.telemetry = bytes.Clone(t)
	c.mu.Unlock()
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// State is the connection's state now.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *Client) setConnected(now bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Connected != now || c.state.Since.IsZero() {
		c.state.Connected, c.state.Since = now, time.Now()
	}
	if err != nil {
		c.state.LastError = err.Error()
	}
	if now {
		for _, l := range c.latest {
			l.fresh = true // the broker may have forgotten
		}
		if c.report != nil {
			c.reportFresh = true
			c.stirReport()
		}
	}
}

func (c *Client) countAttempt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Attempts++
}

func (c *Client) takeTelemetry() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.telemetry
	c.telemetry = nil
	return t
}

// takeLatest gives what is to be published, by camera.
func (c *Client) takeLatest() map[string][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string][]byte{}
	for camera, l := range c.latest {
		if l.fresh {
			l.fresh = false
			out[camera] = l.payload
		}
	}
	return out
}
