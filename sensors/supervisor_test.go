package sensors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/internal/backoff"
)

// fakeSource is a Source made of functions.
type fakeSource struct {
	run func(ctx context.Context, emit func(*Frame)) error
}

func (f *fakeSource) Run(ctx context.Context, emit func(*Frame)) error { return f.run(ctx, emit) }
func (f *fakeSource) String() string                                   { return "fake:" }

func one(emit func(*Frame)) { emit(&Frame{Seq: 1, Time: time.Now()}) }

func TestSupervisorRestartsAndCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		runs := 0
		s := &Supervisor{Camera: "front", Logger: slog.New(slog.NewTextHandler(&log, nil)), Source: &fakeSource{
			func(ctx context.Context, emit func(*Frame)) error {
				if runs++; runs <= 60 {
					return fmt.Errorf("no device (%d)", runs)
				}
				one(emit)
				return ErrEnd
			}}}
		got := 0
		if err := s.Run(t.Context(), func(*Frame) { got++ }); !errors.Is(err, ErrEnd) {
			t.Fatalf("Run = %v, want ErrEnd", err)
		}
		st := s.Stats()
		if got != 1 || st.Frames != 1 || st.Restarts != 60 || st.State != Ended || st.LastError != "" || st.LastFrame.IsZero() {
			t.Errorf("%d frames, stats %+v", got, st)
		}
		text := log.String()
		if strings.Count(text, "no device (1)") != 1 || strings.Count(text, "\n") > 10 || !strings.Contains(text, "camera still fails") || !strings.Contains(text, "failures=60") {
			t.Errorf("the log is\n%s", text)
		}
	})
}

func TestSupervisorEndsASilentSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		s := &Supervisor{StallTimeout: 3 * time.Second, Source: &fakeSource{
			func(ctx context.Context, emit func(*Frame)) error {
				runs++
				for range 5 { // slow, but never silent for 3 s
					time.Sleep(2 * time.Second)
					one(emit)
				}
				if runs == 2 {
					return ErrEnd
				}
				<-ctx.Done()
				one(emit) // too late: must not get through
				return ctx.Err()
			}}}
		got := 0
		var during atomic.Pointer[Stats]
		err := s.Run(t.Context(), func(*Frame) {
			if got++; got == 5 {
				time.AfterFunc(3100*time.Millisecond, func() {
					st := s.Stats()
					during.Store(&st)
				})
			}
		})
		if !errors.Is(err, ErrEnd) || got != 10 || s.Stats().Restarts != 1 {
			t.Errorf("Run = %v after %d frames, %+v; want ErrEnd, 10, one restart", err, got, s.Stats())
		}
		if st := during.Load(); st == nil || st.State != Waiting || st.LastError != "no frame for 3s" {
			t.Errorf("after the stall: %+v", st)
		}
	})
}

func TestSupervisorNeverRunsTwoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var running, runs atomic.Int32
		s := &Supervisor{StallTimeout: time.Second, Source: &fakeSource{
			func(context.Context, func(*Frame)) error {
				if runs.Add(1) == 2 {
					return ErrEnd
				}
				if running.Add(1) > 1 {
					t.Error("two runs at once")
				}
				<-release // deaf to its context
				running.Add(-1)
				return nil
			}}}
		time.AfterFunc(time.Hour, func() {
			if st := s.Stats(); st.State != Waiting || runs.Load() != 1 || !strings.Contains(st.LastError, "does not stop") {
				t.Errorf("after an hour: %+v, %d runs", st, runs.Load())
			}
			close(release)
		})
		if err := s.Run(t.Context(), func(*Frame) {}); !errors.Is(err, ErrEnd) {
			t.Errorf("Run = %v, want ErrEnd once the first run let go", err)
		}
	})
}

func TestSupervisorLeavesADeafSourceBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		s := &Supervisor{Source: &fakeSource{func(context.Context, func(*Frame)) error { <-release; return nil }}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Run(ctx, func(*Frame) {}); err == nil || !strings.Contains(err.Error(), "did not stop within 5s") {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestSupervisorStopsCleanly(t *testing.T) {
	for name, run := range map[string]func(context.Context, func(*Frame)) error{
		"while running": func(ctx context.Context, emit func(*Frame)) error { one(emit); <-ctx.Done(); return ctx.Err() },
		"while waiting": func(context.Context, func(*Frame)) error { return errors.New("broken") },
		"while panicking": func(context.Context, func(*Frame)) error {
			var p []int
			return fmt.Errorf("%d", p[1])
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				s := &Supervisor{Source: &fakeSource{run}}
				if err := s.Run(ctx, func(*Frame) {}); err != nil {
					t.Errorf("Run = %v, want nil", err)
				}
				st := s.Stats()
				if name == "while panicking" && (!strings.Contains(st.LastError, "index out of range") || !strings.Contains(st.LastError, "_test.go")) {
					t.Errorf("the panic became %q", st.LastError)
				}
			})
		})
	}
}

// TestSupervisorRestartsOnCommand: in the middle of an attempt, in the pause
// after a failure, and after the input's end; it counts as no failure.
func TestSupervisorRestartsOnCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		runs := 0
		s := &Supervisor{Logger: slog.New(slog.NewTextHandler(&log, nil)), Backoff: backoff.Backoff{Min: time.Hour, Max: time.Hour, Floor: time.Hour}}
		s.Source = &fakeSource{func(ctx context.Context, emit func(*Frame)) error {
			switch runs++; runs {
			case 1:
				one(emit)
				s.Restart()
				s.Restart() // twice is once
				<-ctx.Done()
				one(emit) // too late: must not get through
				return ctx.Err()
			case 2:
				time.AfterFunc(time.Minute, s.Restart)
				return errors.New("no device")
			}
			one(emit)
			return ErrEnd
		}}
		got, start := 0, time.Now()
		if err := s.Run(t.Context(), func(*Frame) { got++ }); !errors.Is(err, ErrEnd) {
			t.Fatalf("Run = %v, want ErrEnd", err)
		}
		if runs != 3 || got != 2 || s.Stats().Restarts != 2 || time.Since(start) != time.Minute {
			t.Errorf("%d runs, %d frames, %d restarts in %v", runs, got, s.Stats().Restarts, time.Since(start))
		}
		if n := strings.Count(log.String(), "camera failed"); n != 1 {
			t.Errorf("%d failures in the log\n%s", n, log.String())
		}
		ctx, cancel := context.WithCancel(t.Context())
		s.Restart()
		if !s.Restarted(ctx) {
			t.Error("a restart after the end was not seen")
		}
		cancel()
		if s.Restarted(ctx) {
			t.Error("restarted by the end of the context")
		}
	})
}
