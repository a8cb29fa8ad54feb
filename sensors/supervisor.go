package sensors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/egret-edge/egret/internal/backoff"
)

// ErrEnd is what Source.Run returns when the input came to its regular end.
var ErrEnd = errors.New("end of input")

// The values of Stats.State.
const (
	Running = "running" // the source is delivering, or starting
	Waiting = "waiting" // it failed and is started again soon
	Ended   = "ended"
)

// Stats is a supervisor's state at one moment.
type Stats struct {
	State     string
	Frames    uint64
	Restarts  uint64
	LastError string    // empty once frames came again
	LastFrame time.Time // zero before the first
}

// Supervisor keeps one source running. Source is required; every other field's
// zero value is usable. Stats may be called from any goroutine.
type Supervisor struct {
	Source Source
	// Camera is the name in the log.
	Camera string
	// StallTimeout is how long the source may be silent. Zero means 10 s.
	StallTimeout time.Duration
	// Backoff is the delay between attempts. Zero means 1 s up to 30 s: a
	// camera is local, and nobody else suffers when it is tried often.
	Backoff backoff.Backoff
	// Logger gets failures; nil discards them.
	Logger *slog.Logger

	mu       sync.Mutex // guards all following fields
	restart  chan struct{}
	stats    Stats
	failures int
	logged   time.Time
}

// logEvery is how often a failure that goes on is said again.
const logEvery = 5 * time.Minute

// errStalled ends an attempt that has been silent for StallTimeout.
type errStalled struct{ silent time.Duration }

func (e errStalled) Error() string { return fmt.Sprintf("no frame for %v", e.silent) }

// stopBound is how long a source may take to return after its context ended: a
// command gets two seconds to end by itself before it is killed.
const stopBound = 5 * time.Second

// errHung is a source that ignored its context for stopBound.
type errHung struct{ source string }

func (e errHung) Error() string {
	return fmt.Sprintf("%s did not stop within %v", e.source, stopBound)
}

// errRestarted ends an attempt because Restart asked for it.
var errRestarted = errors.New("restarted on command")

// Restart ends the present attempt and begins a new one at once, as soon as the
// source has returned. Any goroutine may call it; it does not wait.
func (s *Supervisor) Restart() {
	select {
	case s.restarts() <- struct{}{}:
	default: // asked for already
	}
}

// Restarted waits, after Run has ended, until Restart is called; false when ctx
// is done before that.
func (s *Supervisor) Restarted(ctx context.Context) bool {
	select {
	case <-s.restarts():
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Supervisor) restarts() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.restart == nil {
		s.restart = make(chan struct{}, 1)
	}
	return s.restart
}

// Run runs the source, and again after each failure, until ctx is done (nil) or
// the source ends (ErrEnd). emit is never called after Run has returned, nor by
// an attempt that was given up.
//
// A silent source that does not return when it is told to is not replaced: two
// at once would fight over the device. Run goes on waiting for it, reports it
// as failed, and starts it anew when it has returned. When ctx ends meanwhile,
// Run returns an error after five seconds and leaves the goroutine behind.
func (s *Supervisor) Run(ctx context.Context, emit func(*Frame)) error {
	retry := s.Backoff
	if retry.Max == 0 {
		retry.Max = 30 * time.Second
	}
	defer s.set(func(st *Stats) { st.State = Ended })
	for {
		s.set(func(st *Stats) { st.State = Running })
		start := time.Now()
		err := s.attempt(ctx, emit)
		var hung errHung
		switch {
		case errors.As(err, &hung) && ctx.Err() != nil:
			return err
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrEnd):
			return ErrEnd
		case err == nil:
			err = errors.New("source stopped without a reason")
		}
		if !errors.Is(err, errRestarted) {
			s.failed(err)
			retry.Lasted(time.Since(start))
			if !s.pause(ctx, retry.Next()) {
				return nil
			}
		}
		s.set(func(st *Stats) { st.Restarts++ })
	}
}

// pause waits for d, or until Restart is called; false when ctx is done.
func (s *Supervisor) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.restarts():
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt is one Run of the source under watch.
func (s *Supervisor) attempt(parent context.Context, emit func(*Frame)) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	stall := s.stall()
	select {
	case <-s.restarts(): // this is the restart
	default:
	}
	g := &gate{emit: emit}
	defer g.close()
	frames := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() {
		done <- runGuarded(ctx, s.Source, func(f *Frame) {
			if g.pass(f) {
				s.seen(f.Time)
				select {
				case frames <- struct{}{}:
				default:
				}
			}
		})
	}()
	silence := time.NewTimer(stall)
	defer silence.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-s.restarts():
			g.close()
			cancel()
			return s.stalled(parent, done, errRestarted)
		case <-frames:
			silence.Reset(stall)
		case <-parent.Done():
			return s.stopped(done)
		case <-silence.C:
			g.close()
			cancel()
			return s.stalled(parent, done, errStalled{stall})
		}
	}
}

// stalled waits for an attempt that was told to end.
func (s *Supervisor) stalled(parent context.Context, done <-chan error, cause error) error {
	t := time.NewTimer(stopBound)
	defer t.Stop()
	for {
		select {
		case <-done:
			return cause
		case <-parent.Done():
			return s.stopped(done)
		case <-t.C:
			s.failed(fmt.Errorf("%w, and it does not stop", cause))
		}
	}
}

// stopped gives the attempt stopBound to return after the supervisor's own
// context ended.
func (s *Supervisor) stopped(done <-chan error) error {
	t := time.NewTimer(stopBound)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		return errHung{s.Source.String()}
	}
}

func (s *Supervisor) stall() time.Duration {
	if s.StallTimeout > 0 {
		return s.StallTimeout
	}
	return 10 * time.Second
}

// runGuarded turns a panic of the source, whose libraries read what devices
// and strangers send, into a failure that is retried.
func runGuarded(ctx context.Context, src Source, emit func(*Frame)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("source panicked: %v at %s", p, panicSite(debug.Stack()))
		}
	}()
	return src.Run(ctx, emit)
}

// panicSite is the file and line of the frame that panicked, from a stack.
func panicSite(stack []byte) string {
	_, after, _ := strings.Cut(string(stack), "panic(")
	lines := strings.Split(after, "\n")
	if len(lines) < 4 {
		return "unknown"
	}
	return strings.TrimSpace(lines[3])
}

// gate lets frames through until it is closed; closing waits for the one that
// is passing.
type gate struct {
	mu     sync.Mutex // guards closed and is held while emit runs
	closed bool
	emit   func(*Frame)
}

func (g *gate) pass(f *Frame) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.emit(f)
	}
	return !g.closed
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// Stats is the state at this moment.
func (s *Supervisor) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Supervisor) set(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

func (s *Supervisor) seen(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Frames++
	s.stats.LastFrame = at
	if s.failures == 0 {
		return
	}
	s.logger().Info("camera is back", "camera", s.Camera, "failures", s.failures)
	s.failures, s.stats.LastError = 0, ""
}

// failed counts a failure; the first is said at once, repeats are summed up.
func (s *Supervisor) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	s.stats.State, s.stats.LastError = Waiting, err.Error()
	now := time.Now()
	switch {
	case s.failures == 1:
		s.logger().Warn("camera failed, trying again", "camera", s.Camera, "error", err)
	case now.Sub(s.logged) >= logEvery:
		s.logger().Warn("camera still fails", "camera", s.Camera, "failures", s.failures, "last", err)
	default:
		return
	}
	s.logged = now
}

func (s *Supervisor) logger() *slog.Logger { return Options{Logger: s.Logger}.logger() }
