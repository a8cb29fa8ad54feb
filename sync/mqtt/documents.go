package mqtt

import (
	"bytes"
	"maps"
	"slices"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// maxDocument bounds what is kept of a document; who parses it sees that it is
// too long.
const maxDocument = 64 << 10

// Documents holds what came last on each of a few topics, which others write
// and the broker retains. It outlives the clients that fill it, one at a time.
// Make it with NewDocuments; any goroutine may use it.
type Documents struct {
	topics []string
	news   chan struct{}

	mu     sync.Mutex // guards all following fields
	latest map[string][]byte
	fresh  map[string][]byte // of latest, what nobody took yet
}

// NewDocuments makes one for those topics; wildcards are not for it.
func NewDocuments(topics ...string) *Documents {
	return &Documents{topics: topics, news: make(chan struct{}, 1), latest: map[string][]byte{}, fresh: map[string][]byte{}}
}

// Topics are those that it was made for.
func (d *Documents) Topics() []string { return slices.Clone(d.topics) }

// Again has Take give everything once more, for a new reader.
func (d *Documents) Again() {
	d.mu.Lock()
	maps.Copy(d.fresh, d.latest)
	d.mu.Unlock()
	d.stir()
}

func (d *Documents) stir() {
	select {
	case d.news <- struct{}{}:
	default:
	}
}

// News tells that something came.
func (d *Documents) News() <-chan struct{} { return d.news }

// Take gives what came since the last call, by topic; an empty one was cleared.
// What came in between on the same topic is not kept.
func (d *Documents) Take() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.fresh
	d.fresh = map[string][]byte{}
	return out
}

// receive is paho's handler: whatever it waited for would stall the client.
func (d *Documents) receive(_ paho.Client, m paho.Message) {
	body := m.Payload()
	body = bytes.Clone(body[:min(len(body), maxDocument+1)])
	d.mu.Lock()
	d.latest[m.Topic()], d.fresh[m.Topic()] = body, body
	d.mu.Unlock()
	d.stir()
}

// Report gives the device's retained report: it is published at once and after
// each connect, as it is then. It copies and never waits.
func (c *Client) Report(msg []byte) {
	c.mu.Lock()
	c.report, c.reportFresh = bytes.Clone(msg), true
	c.mu.Unlock()
	c.stirReport()
}

func (c *Client) stirReport() {
	select {
	case c.reports <- struct{}{}:
	default:
	}
}

func (c *Client) takeReport() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reportFresh {
		return nil
	}
	c.reportFresh = false
	return c.report
}

// reports tells that there is a report to publish; nil while enough is under
// way.
func (s *session) reports() <-chan struct{} {
	if len(s.sent) >= maxSent {
		return nil
	}
	return s.c.reports
}
