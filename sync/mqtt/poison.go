package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
)

// MQTT 3.1.1 gives a broker no way to refuse a publish but to close the
// connection, so a record that it will not take (too large, forbidden) would
// be sent again for ever and hold up the queue. It must be told from a link
// that flaps and a broker that restarts, which may not cost a healthy record:
//
//   - Only a connection that the broker itself ended counts, by closing or
//     resetting it after it had acknowledged the status. A link that dies is
//     silent, and a broker that is down takes no connection.
//   - The same message must be the oldest in flight twice in a row. Then its
//     records are sent alone, one record and one message at a time (careful).
//   - A record must have been alone in flight each of the next five times.
//     What ends connections at random would have to hit the one round trip of
//     the same record seven times running, with a growing back-off between;
//     one acknowledgement of it, or any other end with it in flight, and the
//     count begins anew.
//   - Each record refused since the last acknowledgement doubles the five: a
//     broker that closes on every prediction refuses the device, not the
//     record, and the queue shall not be emptied over that.
//
// When all records of a suspicious message pass alone, it was too large as a
// whole: messages are halved then, and doubled again after many that passed.
const (
	suspectAfter = 2
	refuseAfter  = 5
	maxDoubling  = 5 // 160 tries
	growAfter    = 1000
)

// poison is what is remembered over connections. It belongs to the goroutine
// of Run; the zero value works.
type poison struct {
	head     uint64 // first record of the message that was oldest in flight
	times    int    // in a row
	careful  int    // how many records are still to be sent alone
	suspect  uint64 // the record that was alone in flight
	tries    int    // of it, in a row
	refusals int    // since the last acknowledgement
	whole    int    // bytes of the message whose records are sent alone; 0: nobody asks
	bytes    int    // at most this many per message; 0: no such limit
	passed   int    // messages since bytes was set
}

// limits are how many records and bytes a message may have, and how many
// messages may be in flight.
func (p *poison) limits(records, bytes, window int) (int, int, int) {
	if p.isCareful() {
		return 1, bytes, 1
	}
	if p.bytes > 0 {
		bytes = min(bytes, p.bytes)
	}
	return records, bytes, window
}

// isCareful tells whether records are sent alone.
func (p *poison) isCareful() bool { return p.careful > 0 }

// acknowledged notes that a message arrived that began with the record.
func (p *poison) acknowledged(first uint64) {
	p.refusals = 0
	if p.careful > 0 {
		if p.careful--; p.careful == 0 && p.whole > 0 {
			p.bytes, p.passed = p.whole/2, 0
		}
	} else if p.passed++; p.passed%growAfter == 0 && p.bytes < maxPayload {
		p.bytes *= 2
	}
	if first == p.head {
		p.head, p.times = 0, 0
	}
	if first == p.suspect {
		p.suspect, p.tries = 0, 0
	}
}

// closed notes that the broker closed the connection while a message of so
// many records and bytes was the oldest in flight. true means that the message,
// which is one record then, shall be refused.
func (p *poison) closed(first uint64, records, bytes int) bool {
	if p.careful == 0 {
		if first != p.head {
			p.head, p.times = first, 0
		}
		if p.times++; p.times >= suspectAfter {
			// All of the message: the record that the broker dislikes need not
			// be its first.
			p.careful, p.whole = records, 0
			if records > 1 {
				p.whole = bytes
			}
			p.head, p.times = 0, 0
		}
		return false
	}
	p.whole = 0
	if first != p.suspect {
		p.suspect, p.tries = first, 0
	}
	p.tries++
	return p.tries >= refuseAfter<<min(p.refusals, maxDoubling)
}

// refused notes that the suspect is out of the queue.
func (p *poison) refused() {
	p.refusals++
	p.careful = max(p.careful-1, 0)
	p.suspect, p.tries = 0, 0
}

// other notes that the connection ended in another way with messages in
// flight: nothing that happened before is in a row with what comes.
func (p *poison) other() {
	p.head, p.times = 0, 0
	p.suspect, p.tries = 0, 0
}

// blame looks, when a connection has ended, for who did it. It comes before
// release; a record that is refused is no longer in flight then.
func (s *session) blame(ctx context.Context, cause error) {
	if ctx.Err() != nil {
		return // we are shutting down
	}
	s.reap()
	if s.strike() { // it need not have been a prediction
		s.c.poison.other()
		return
	}
	if len(s.inflight) == 0 || !s.inflight[0].sent() {
		return // nothing was sent
	}
	p, f := &s.c.poison, s.inflight[0]
	ended := s.wire.endedBy()
	if ended == nil || errors.Is(cause, errAckTimeout) {
		p.other()
		return
	}
	if !p.closed(f.batch.First(), f.batch.Len(), f.batch.Bytes()) {
		return
	}
	seq, size := f.batch.First(), f.batch.Bytes()
	reason := fmt.Sprintf("the broker closed the connection %d times when it was sent: %v", p.tries, ended)
	if err := s.c.queue.Refuse(f.batch, reason); err != nil {
		return // closed: release says nothing either
	}
	s.c.opts.Logger.Warn("a prediction is refused and kept as a dead letter, see egret outbox ls --dead: "+reason,
		"seq", seq, "bytes", size, "broker", redacted(s.c.broker))
	p.refused()
	s.inflight = s.inflight[1:]
}

// reap acknowledges what the broker had acknowledged before it closed: the
// oldest that is left is then the one that it did not take.
func (s *session) reap() {
	for len(s.inflight) > 0 && s.inflight[0].sent() {
		select {
		case <-s.inflight[0].token.Done():
		default:
			return
		}
		if s.acknowledge() != nil {
			return
		}
	}
}

// wire is a connection that remembers whether the other side ended it. Paho
// does not tell that from its own time-outs.
type wire struct {
	net.Conn
	mu     sync.Mutex // guards all following fields
	closed bool       // by us
	ended  error      // by the other side
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.note(err)
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.note(err)
	return n, err
}

func (w *wire) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	return w.Conn.Close()
}

func (w *wire) note(err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && w.ended == nil && byPeer(err) {
		w.ended = err
	}
}

// endedBy is the error with which the other side ended the connection, or nil
// when it did not.
func (w *wire) endedBy() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// byPeer tells the other side's doing from the network's: no time-out, no
// route that is gone. What is neither is the end as TLS or WebSocket say it.
func byPeer(err error) bool {
	var network net.Error
	var errno syscall.Errno
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return true
	case errors.Is(err, net.ErrClosed), errors.As(err, &network) && network.Timeout(), errors.As(err, &errno):
		return false
	}
	return true
}
