package mqtt

import (
	"context"
	"errors"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

// farewell is how long saying goodbye may take after draining.
const farewell = 500 * time.Millisecond

// latestEvery is how often a camera's latest result is published at most.
const latestEvery = time.Second

var errAckTimeout = errors.New("the broker did not acknowledge in time")

// session is one connection. It belongs to the goroutine of Run.
type session struct {
	c        *Client
	client   paho.Client
	lost     chan error // paho's handler sends without waiting
	wire     *wire
	pump     pump
	inflight []*flight // oldest first
	spare    [][]byte  // buffers for messages
	late     *time.Timer
	window   window
	sent     sent
	log      logSent
	turned   chan Request // commands that there was no room for
}

// run publishes until the connection breaks (its error says why) or ctx ends
// and the rest is sent. What was not acknowledged goes back to the queue.
func (s *session) run(ctx, life context.Context) error {
	s.late = time.NewTimer(0)
	s.pump.start(s.client, s.c.opts.Topics.Predictions())
	defer s.release()
	if err := s.subscribe(life); err != nil {
		return err
	}
	now := time.Now().UTC()
	if err := s.announce(life, payload.Online, "", &now, s.c.opts.AckTimeout); err != nil {
		return err
	}
	if err := s.introduce(life); err != nil {
		return err
	}
	if s.c.opts.Logs != nil {
		s.c.opts.Logs.stir() // what the connection before did not get rid of
	}
	if err := s.loop(ctx, life); err != nil {
		s.blame(ctx, err)
		return err
	}
	s.release()
	return s.announce(life, payload.Offline, "shutdown", nil, farewell)
}

func (s *session) loop(ctx, life context.Context) error {
	tick := time.NewTicker(latestEvery)
	defer tick.Stop()
	stop := ctx.Done()
	var drained <-chan time.Time
	for {
		s.fill()
		if stop == nil && len(s.inflight) == 0 && !s.logsLeft() {
			return nil
		}
		progress, late := s.oldest()
		var err error
		select {
		case <-stop:
			stop, drained = nil, time.After(s.c.opts.DrainTimeout)
		case <-drained:
			return nil
		case err = <-s.lost:
			err = lostError(err)
		case <-progress:
			err = s.proceed()
		case <-late:
			err = errAckTimeout
		case <-s.c.queue.Ready():
		case <-tick.C:
			err = s.publishLatest(life)
		case <-s.c.news:
			err = s.publishTelemetry(life)
		case <-s.reports():
			if msg := s.c.takeReport(); msg != nil {
				err = s.send(life, Message{Topic: s.c.opts.Topics.Reported(), Payload: msg, Retained: true})
			}
		case m := <-s.outgoing():
			err = s.send(life, m)
		case <-s.sent.oldest():
			err = s.sent.done()
		case r := <-s.turned:
			err = s.refuse(life, r)
		case <-s.logNews():
			err = s.publishLog(life)
		case <-s.logDone():
			err = s.acknowledgedLog()
		}
		if err != nil {
			return err
		}
	}
}

func lostError(err error) error {
	if closedByPeer(err) {
		return fmt.Errorf("the broker closed the connection: %w", err)
	}
	return fmt.Errorf("connection lost: %w", err)
}

// cause is why the connection broke. Paho lets what was in hand fail before it
// says so.
func (s *session) cause(err error) error {
	select {
	case lost := <-s.lost:
		return lostError(lost)
	case <-time.After(time.Second):
		return err
	}
}

// fill sends batches until the windows are full or the queue is empty: what is
// new first, and the backlog with what is left.
func (s *session) fill() {
	records, bytes, window := s.c.poison.limits(s.c.opts.BatchRecords, s.c.opts.BatchBytes, s.c.opts.MaxInFlight)
	for len(s.inflight) < window {
		var batch outbox.Batch
		ok, backlog := false, false
		if !s.c.poison.isCareful() { // else in the order in which it came to that
			batch, ok = s.c.queue.TakeLive(records, bytes)
		}
		if !ok && s.window.open() {
			backlog = true
			batch, ok = s.c.queue.Take(records, bytes)
		}
		if !ok {
			return
		}
		if backlog {
			s.window.sent()
		}
		s.fly(batch, backlog)
	}
}

// publish hands a message to paho. That may block for the whole write timeout
// on a link that takes nothing, so it is waited for only as long as the
// connection may live.
func (s *session) publish(life context.Context, topic string, qos byte, retained bool, msg []byte) (paho.Token, error) {
	if !s.client.IsConnectionOpen() {
		return nil, s.cause(lostError(paho.ErrNotConnected))
	}
	handed := make(chan paho.Token, 1)
	go func() { handed <- s.client.Publish(topic, qos, retained, msg) }()
	select {
	case token := <-handed:
		return token, nil
	case err := <-s.lost:
		return nil, lostError(err)
	case <-life.Done():
		return nil, errors.New("shut down while the link took nothing")
	}
}

// announce publishes the retained status and waits for its PUBACK.
func (s *session) announce(life context.Context, state, reason string, since *time.Time, wait time.Duration) error {
	msg, err := s.c.status(state, reason, since)
	if err != nil {
		return err
	}
	token, err := s.publish(life, s.c.opts.Topics.Status(), 1, true, msg)
	if err != nil {
		return err
	}
	if !token.WaitTimeout(wait) {
		return errAckTimeout
	}
	if err := token.Error(); err != nil {
		return s.cause(fmt.Errorf("publish status: %w", err))
	}
	return nil
}

func (s *session) publishLatest(life context.Context) error {
	for camera, msg := range s.c.takeLatest() {
		if _, err := s.publish(life, s.c.opts.Topics.Camera(camera), 0, true, s.c.opts.Rewrite(msg)); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) publishTelemetry(life context.Context) error {
	msg := s.c.takeTelemetry()
	if msg == nil {
		return nil
	}
	_, err := s.publish(life, s.c.opts.Topics.Telemetry(), 0, false, msg)
	return err
}
