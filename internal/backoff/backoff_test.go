package backoff

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestNextGrowsToTheCap(t *testing.T) {
	b := Backoff{Min: time.Second, Max: 8 * time.Second, Floor: 100 * time.Millisecond}
	for i, bound := range []time.Duration{1, 2, 4, 8, 8, 8} {
		d := b.Next()
		if d < 100*time.Millisecond || d > bound*time.Second {
			t.Errorf("attempt %d: delay %v, want between 100ms and %ds", i, d, bound)
		}
	}
}

func TestLastedResetsOnlyAfterStableSuccess(t *testing.T) {
	b := Backoff{Min: time.Second, Max: time.Minute, Stable: 10 * time.Second}
	for range 5 {
		b.Next()
	}
	b.Lasted(9 * time.Second)
	if b.Attempts() != 5 {
		t.Errorf("a short success reset the growth: attempts = %d, want 5", b.Attempts())
	}
	b.Lasted(10 * time.Second)
	if b.Attempts() != 0 {
		t.Errorf("a stable success did not reset the growth: attempts = %d", b.Attempts())
	}
}

func TestNextNeverOverflows(t *testing.T) {
	var b Backoff
	for range 200 {
		if d := b.Next(); d <= 0 || d > 120*time.Second {
			t.Fatalf("delay %v out of range after %d attempts", d, b.Attempts())
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		b := Backoff{Min: time.Hour, Max: time.Hour, Floor: time.Minute}
		if err := b.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait = %v, want the context's error", err)
		}
	})
}
