package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/sync/payload"
)

const (
	// eventRoom is how many events wait for a slow listener.
	eventRoom = 64
	// eventInterval is the shortest time between two predictions of a camera
	// that listeners are told of.
	eventInterval = 100 * time.Millisecond
	// stateInterval is how often they are told the state.
	stateInterval = time.Second
)

// events tells listeners what happens. Its zero value is ready; what nobody
// listens to costs one load. Any goroutine may use it.
type events struct {
	count atomic.Int32 // listeners

	mu        sync.Mutex // guards listeners
	listeners map[*listener]struct{}
}

type listener struct {
	events chan api.Event
	lost   atomic.Uint64
}

// prediction tells of a prediction, which is borrowed.
func (e *events) prediction(p *payload.Prediction) {
	if data, err := p.AppendJSON(nil); err == nil { // without one, the recorder has said so
		e.tell(api.Event{Type: api.EventPrediction, Data: data})
	}
}

// tell never waits: who is slow loses the event, counted.
func (e *events) tell(event api.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for l := range e.listeners {
		select {
		case l.events <- event:
		default:
			l.lost.Add(1)
		}
	}
}

func (e *events) join() *listener {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.listeners == nil {
		e.listeners = map[*listener]struct{}{}
	}
	l := &listener{events: make(chan api.Event, eventRoom)}
	e.listeners[l] = struct{}{}
	e.count.Add(1)
	return l
}

func (e *events) leave(l *listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.listeners, l)
	e.count.Add(-1)
}

// follow calls each with events, and with the state once a second, until ctx is
// done (nil) or each fails.
func (e *events) follow(ctx context.Context, state func() api.State, each func(api.Event) error) error {
	l := e.join()
	defer e.leave(l)
	tick := time.NewTicker(stateInterval)
	defer tick.Stop()
	if err := tellState(state(), each); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-l.events:
			if err := each(event); err != nil {
				return err
			}
		case <-tick.C:
			if n := l.lost.Swap(0); n > 0 {
				if err := each(api.Event{Type: api.EventLost, Data: fmt.Appendf(nil, `{"events":%d}`, n)}); err != nil {
					return err
				}
			}
			if err := tellState(state(), each); err != nil {
				return err
			}
		}
	}
}

func tellState(s api.State, each func(api.Event) error) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	return each(api.Event{Type: api.EventState, Data: data})
}
