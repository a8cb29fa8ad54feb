package servinggrpc

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/egret-edge/egret/agent/api/serving/tfproto"
)

// fakeStream is what its function says.
type fakeStream struct {
	grpc.ServerStream
	ctx     context.Context
	receive func(*received) error
}

func (f *fakeStream) Context() context.Context { return f.ctx }
func (f *fakeStream) RecvMsg(m any) error      { return f.receive(m.(*received)) }

// TestSlowMessagesLoseTheirPlace has as many messages as are read at a time
// that never come: one that does come is read when their time is over.
func TestSlowMessagesLoseTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1000)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		slow := &fakeStream{ctx: ctx, receive: func(*received) error { <-ctx.Done(); return ctx.Err() }}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				held, err := m.receive(slow, &tfproto.PredictRequest{})
				if status.Code(err) != codes.DeadlineExceeded || held != 1000 {
					t.Errorf("a message that does not come gave %v and holds %d, want DeadlineExceeded and 1000", err, held)
				}
				m.messages.Release(held)
			})
		}
		synctest.Wait()
		begin := time.Now()
		quick := &fakeStream{ctx: ctx, receive: func(r *received) error { r.size = 10; return nil }}
		if held, err := m.receive(quick, &tfproto.PredictRequest{}); err != nil || held != 10 {
			t.Errorf("a message gave %v and holds %d, want 10 bytes", err, held)
		}
		if waited := time.Since(begin); waited != readTime {
			t.Errorf("it waited %v, want %v", waited, readTime)
		}
		all.Wait()
	})
}

// TestWaitingForMemoryEndsWithTheCall holds all of it.
func TestWaitingForMemoryEndsWithTheCall(t *testing.T) {
	m := newMemory(10)
	if !m.messages.TryAcquire(40) {
		t.Fatal("there is less memory than four messages")
	}
	free, err := m.tensor(t.Context(), 1000) // more than there is: taken as all of it
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.receive(&fakeStream{ctx: ctx}, nil); status.Code(err) != codes.Canceled {
		t.Errorf("receive gave %v, want Canceled", err)
	}
	if _, err := m.tensor(ctx, 1); status.Code(err) != codes.Canceled {
		t.Errorf("tensor gave %v, want Canceled", err)
	}
	free()
	if _, err := m.tensor(t.Context(), 40); err != nil {
		t.Errorf("memory that was given back is not there: %v", err)
	}
}
