package mqtt

import (
	"fmt"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/outbox"
)

// flight is a message of predictions on its way.
type flight struct {
	batch    outbox.Batch
	msg      []byte
	queued   time.Time
	backlog  bool
	deadline time.Time
	// handed is closed when paho has the message, or never gets it.
	handed chan struct{}
	token  paho.Token // to be read after handed; nil: paho never got it
}

// sent tells whether paho has the message.
func (f *flight) sent() bool {
	select {
	case <-f.handed:
		return f.token != nil
	default:
		return false
	}
}

// pump hands messages to paho in the background. Paho takes one only when it
// has written the one before, which may block for the whole write timeout on a
// link that takes nothing; the next ones are made ready meanwhile.
type pump struct {
	queue chan *flight // has room for all that may be in flight
	ended atomic.Bool
}

// start is called once. After stop at most the message that is being handed
// over still goes.
func (p *pump) start(client paho.Client, topic string) {
	p.queue = make(chan *flight, maxInFlight)
	go func() {
		for f := range p.queue {
			if !p.ended.Load() && client.IsConnectionOpen() {
				f.token = client.Publish(topic, 1, false, f.msg)
			}
			close(f.handed)
		}
	}()
}

func (p *pump) stop() {
	if !p.ended.Swap(true) && p.queue != nil { // else it was never started
		close(p.queue)
	}
}

// fly sends a batch as a message.
func (s *session) fly(batch outbox.Batch, backlog bool) {
	var buf []byte
	if n := len(s.spare); n > 0 {
		buf, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	now := time.Now()
	f := &flight{
		batch: batch, msg: joinArray(buf, batch, s.c.opts.Rewrite), backlog: backlog,
		queued: now, deadline: now.Add(s.c.opts.AckTimeout), handed: make(chan struct{}),
	}
	s.inflight = append(s.inflight, f)
	s.pump.queue <- f
}

// joinArray makes one JSON array of JSON objects, each rewritten, in buf when
// there is room.
func joinArray(buf []byte, b outbox.Batch, rewrite func([]byte) []byte) []byte {
	if n := b.Bytes() + b.Len() + 1; cap(buf) < n {
		buf = make([]byte, 0, n+n/8)
	}
	buf = buf[:0]
	for i := range b.Len() {
		if i == 0 {
			buf = append(buf, '[')
		} else {
			buf = append(buf, ',')
		}
		buf = append(buf, rewrite(b.Record(i))...)
	}
	return append(buf, ']')
}

// oldest gives the channels on which the oldest message in flight makes
// progress, or not. Only it is waited for: brokers acknowledge in order (MQTT
// 3.1.1, 4.6).
func (s *session) oldest() (progress <-chan struct{}, late <-chan time.Time) {
	if len(s.inflight) == 0 {
		return nil, nil
	}
	f := s.inflight[0]
	s.late.Reset(time.Until(f.deadline))
	if !f.sent() {
		return f.handed, s.late.C
	}
	return f.token.Done(), s.late.C
}

// proceed looks at the oldest message, which has made progress.
func (s *session) proceed() error {
	f := s.inflight[0]
	if !f.sent() {
		return s.cause(lostError(paho.ErrNotConnected))
	}
	select {
	case <-f.token.Done():
		return s.acknowledge()
	default:
		return nil // it was handed over, no more
	}
}

// acknowledge takes the oldest message out of the queue; its token is done.
func (s *session) acknowledge() error {
	f := s.inflight[0]
	if err := f.token.Error(); err != nil {
		return s.cause(fmt.Errorf("publish: %w", err))
	}
	if s.inflight = s.inflight[1:]; len(s.inflight) > 0 {
		// On a slow link a window takes longer than one message may.
		s.inflight[0].deadline = time.Now().Add(s.c.opts.AckTimeout)
	}
	if f.backlog {
		s.window.acknowledged(f.queued, time.Now())
	}
	s.spare = append(s.spare, f.msg) // paho is done with it
	s.c.poison.acknowledged(f.batch.First())
	if err := s.c.queue.Ack(f.batch); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

// release gives back what was not acknowledged.
func (s *session) release() {
	s.pump.stop()
	for _, f := range s.inflight {
		s.c.queue.Release(f.batch)
	}
	s.inflight = nil
}
