package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/sync/outbox"
)

func TestTaskThatEndsByItselfIsAFailure(t *testing.T) {
	for name, err := range map[string]error{"with an error": errors.New("broke"), "without": nil} {
		t.Run(name, func(t *testing.T) {
			ts := newTasks(quiet)
			part := ts.start("part", time.Minute, func(context.Context) error { return err })
			got := <-ts.failed
			ts.end(part)
			if !strings.HasPrefix(got.Error(), "part: ") || err != nil && !errors.Is(got, err) {
				t.Errorf("failure %v", got)
			}
		})
	}
}

func TestEndWaitsAndNamesWhatHangs(t *testing.T) {
	var log bytes.Buffer
	ts := newTasks(slog.New(slog.NewTextHandler(&log, nil)))
	ended := false
	ts.end(ts.start("good", time.Minute, func(ctx context.Context) error { <-ctx.Done(); ended = true; return ctx.Err() }))
	if !ended || log.Len() > 0 {
		t.Errorf("ended %v, log %q", ended, &log)
	}
	release := make(chan struct{})
	hung := ts.start("bad", time.Millisecond, func(context.Context) error { <-release; return nil })
	ts.end(hung)
	if !strings.Contains(log.String(), "part=bad") {
		t.Errorf("a part that hangs is not named: %q", &log)
	}
	close(release)
	<-hung.done
}

// TestBoundsDoNotAddUp: parts that are ended together and all hang take as long
// as one.
func TestBoundsDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts, release := newTasks(quiet), make(chan struct{})
		var all []*task
		for range 5 {
			all = append(all, ts.start("bad", time.Second, func(context.Context) error { <-release; return nil }))
		}
		began := time.Now()
		ts.endAll(all)
		if took := time.Since(began); took > time.Second+10*time.Millisecond {
			t.Errorf("their end took %v", took)
		}
		close(release)
	})
}

// TestShutdownIsBounded: with every part hanging, the agent ends before systemd
// kills it.
func TestShutdownIsBounded(t *testing.T) {
	unit, err := os.ReadFile("../systemd/egret.service")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(unit), "\nTimeoutStopSec=")
	rest, _, _ = strings.Cut(rest, "\n")
	limit, err := strconv.Atoi(rest)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		box, err := outbox.Open(outbox.Options{Path: filepath.Join(t.TempDir(), "outbox.db")})
		if err != nil {
			t.Fatal(err)
		}
		ts, release := newTasks(quiet), make(chan struct{})
		hang := func(bound time.Duration) *task {
			return ts.start("part", bound, func(context.Context) error { <-release; return nil })
		}
		a := &Agent{
			log: quiet, tasks: ts, box: box, notify: &notifier{log: quiet},
			updates:    &updates{tasks: []*task{hang(updatesBound), hang(otherBound), hang(otherBound)}},
			pipeline:   &pipeline{tasks: ts},
			brokerTask: hang(otherBound), outboxTask: hang(outboxBound), clientTask: hang(clientBound), telemetryTask: hang(otherBound),
			governorTask: hang(otherBound), watchdogTask: hang(otherBound), streakTask: hang(otherBound), commandTask: hang(otherBound),
		}
		for range 3 {
			a.pipeline.cameras = append(a.pipeline.cameras, &runningCamera{camera: &camera{}, task: hang(cameraBound)})
			a.pipeline.workers = append(a.pipeline.workers, &runningWorker{task: hang(workerBound)})
		}
		began := time.Now()
		a.shutdown()
		if took := time.Since(began); took >= time.Duration(limit)*time.Second {
			t.Errorf("the shutdown took %v, systemd waits for %d s", took, limit)
		}
		close(release)
	})
}
