package mqtt

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/payload"
)

// maxLogs bounds the messages of the log that wait: a quarter of a megabyte.
const maxLogs = 64

// LogQueue holds messages of the device's log until the broker has them. It
// outlives the clients that empty it, one at a time. When it is full the oldest
// goes: the device's own journal has it, and what is new tells how things are.
// Make it with NewLogQueue; any goroutine may use it, and none ever waits.
type LogQueue struct {
	news chan struct{}

	mu      sync.Mutex // guards all following fields
	waiting []payload.Log
	seq     uint64 // of the last message, taken or not
	told    uint64 // up to here the broker was told of what is missing
}

// NewLogQueue makes an empty one.
func NewLogQueue() *LogQueue { return &LogQueue{news: make(chan struct{}, 1)} }

// Put takes a message; its number, and whose it is, are filled in later.
func (q *LogQueue) Put(m payload.Log) {
	q.mu.Lock()
	defer q.stir()
	defer q.mu.Unlock()
	q.seq++
	m.Seq = q.seq
	if len(q.waiting) == maxLogs {
		q.waiting = append(q.waiting[:0], q.waiting[1:]...)
	}
	q.waiting = append(q.waiting, m)
}

// Skip counts a message that is not to be sent.
func (q *LogQueue) Skip() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seq++
}

// Clear forgets what waits, as after a decision not to send any of it; it counts
// as skipped.
func (q *LogQueue) Clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = nil
}

// next is the oldest message, which stays until it is done.
func (q *LogQueue) next() (payload.Log, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return payload.Log{}, false
	}
	m := q.waiting[0]
	m.Suppressed = m.Seq - q.told - 1
	return m, true
}

// done takes out the message of that number: the broker has it.
func (q *LogQueue) done(seq uint64) {
	q.mu.Lock()
	defer q.stir()
	defer q.mu.Unlock()
	q.told = max(q.told, seq)
	if len(q.waiting) > 0 && q.waiting[0].Seq == seq { // else it made room for others
		q.waiting = append(q.waiting[:0], q.waiting[1:]...)
	}
}

func (q *LogQueue) stir() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// logStrikes is how many connections in a row the broker may end on a message of
// the log before the client publishes no more: some brokers answer a topic that
// they forbid in that way, and predictions must not suffer for it.
const logStrikes = 5

// logSent is a message of the log that the broker has not acknowledged; one at a
// time keeps their order and costs a flood its speed.
type logSent struct {
	token paho.Token
	seq   uint64
}

// logNews tells that there is something to publish; nil while one is under way,
// or when none is to be published.
func (s *session) logNews() <-chan struct{} {
	if s.c.opts.Logs == nil || s.log.token != nil || s.c.strikes >= logStrikes {
		return nil
	}
	return s.c.opts.Logs.news
}

// logDone tells that the one under way was acknowledged; nil when there is none.
func (s *session) logDone() <-chan struct{} {
	if s.log.token == nil {
		return nil
	}
	return s.log.token.Done()
}

// logsLeft tells whether there is still something to be published.
func (s *session) logsLeft() bool {
	if s.c.opts.Logs == nil || s.c.strikes >= logStrikes {
		return false
	}
	_, left := s.c.opts.Logs.next()
	return left
}

func (s *session) publishLog(life context.Context) error {
	m, ok := s.c.opts.Logs.next()
	if !ok {
		return nil
	}
	m.Device, m.Boot = s.c.opts.Topics.Device, s.c.opts.Boot
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode a message of the log: %w", err)
	}
	token, err := s.publish(life, s.c.opts.Topics.Log(), 1, false, body)
	if err == nil {
		s.log = logSent{token, m.Seq}
	}
	return err
}

func (s *session) acknowledgedLog() error {
	sent := s.log
	s.log = logSent{}
	if err := sent.token.Error(); err != nil {
		s.log.token = sent.token // so that strike sees it
		return s.cause(fmt.Errorf("publish a message of the log: %w", err))
	}
	s.c.strikes = 0
	s.c.opts.Logs.done(sent.seq)
	return nil
}

// strike notes that the broker ended the connection while a message of the log
// was under way, and tells whether it was so.
func (s *session) strike() bool {
	if s.log.token == nil || s.wire.endedBy() == nil {
		return false
	}
	select {
	case <-s.log.token.Done():
		if s.log.token.Error() == nil { // it was acknowledged before
			s.c.opts.Logs.done(s.log.seq)
			return false
		}
	default:
	}
	if s.c.strikes++; s.c.strikes == logStrikes {
		s.c.opts.LocalLogger.Warn("the broker closes the connection on messages of the log, publishing none until the next restart: does it allow the topic?",
			"topic", s.c.opts.Topics.Log(), "times", logStrikes)
	}
	return true
}
