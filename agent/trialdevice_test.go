package agent

import (
	"context"
	"testing"

	"github.com/egret-edge/egret/configs"
)

// TestAskedTooLate: a step that was broken off has nothing to do any more with
// what the agent's goroutine is still looking up for it.
func TestAskedTooLate(t *testing.T) {
	a := &Agent{requests: make(chan request), cfg: configs.Default()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := <-a.requests
		cancel()
		r.done <- r.do(ctx)
	}()
	if _, _, err := (&trialDevice{agent: a}).configured(ctx, "cats"); err == nil {
		t.Error("no error")
	}
	<-done
}
