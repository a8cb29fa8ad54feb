package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
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
