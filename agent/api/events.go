package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
)

// beat is the longest silence of an event stream: proxies close what is silent
// for a minute, some for less.
const beat = 15 * time.Second

// eventTypes are those that a client may choose from; that events were lost is
// always told.
var eventTypes = []string{EventPrediction, EventState, EventRelease}

// events sends what happens as server-sent events. They have no ids: what was
// missed is in the state, which comes every second, and in /api/predictions.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	v, err := parameters(r, "types", "camera")
	if err != nil {
		return err
	}
	types, camera := v.words("types", eventTypes...), v.id("camera")
	if v.err != nil {
		return v.err
	}
	ctx, cancel := streaming(r)
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	e := &eventWriter{out: newStreamWriter(w)}
	if err := e.write([]byte("retry: 2000\n\n")); err != nil {
		return err
	}
	var beats sync.WaitGroup
	beats.Go(func() { e.beat(ctx, cancel) })
	defer beats.Wait()
	defer cancel()
	return s.o.Device.Events(ctx, func(ev Event) error {
		if !wanted(ev, types, camera) {
			return nil
		}
		return e.send(ev)
	})
}

// wanted tells whether a client asked for an event. A camera's name selects
// among predictions; the other events are not one camera's.
func wanted(ev Event, types []string, camera string) bool {
	if types != nil && ev.Type != EventLost && !slices.Contains(types, ev.Type) {
		return false
	}
	if camera == "" || ev.Type != EventPrediction {
		return true
	}
	var of struct {
		Camera string `json:"camera"`
	}
	return json.Unmarshal(ev.Data, &of) == nil && of.Camera == camera
}

// eventWriter writes events and, when there are none, beats.
type eventWriter struct {
	mu   sync.Mutex // guards all following fields
	out  *streamWriter
	buf  []byte
	last time.Time
}

func (e *eventWriter) send(ev Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.buf = append(append(e.buf[:0], "event: "...), ev.Type...)
	e.buf = append(e.buf, "\ndata: "...)
	if bytes.ContainsAny(ev.Data, "\r\n") { // a line ends an event's data
		var line bytes.Buffer
		if err := json.Compact(&line, ev.Data); err != nil {
			return nil // no JSON: nothing that a client could read
		}
		ev.Data = line.Bytes()
	}
	e.buf = append(append(e.buf, ev.Data...), "\n\n"...)
	e.last = time.Now()
	return e.out.write(e.buf)
}

func (e *eventWriter) write(text []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = time.Now()
	return e.out.write(text)
}

// beat writes a comment after each silence until ctx is done, and ends the
// stream when that fails.
func (e *eventWriter) beat(ctx context.Context, end context.CancelFunc) {
	for {
		e.mu.Lock()
		silent := time.Since(e.last)
		e.mu.Unlock()
		if silent >= beat {
			if e.write([]byte(": still here\n\n")) != nil {
				end()
				return
			}
			silent = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(beat - silent):
		}
	}
}
