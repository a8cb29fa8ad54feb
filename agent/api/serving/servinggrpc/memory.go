package servinggrpc

import (
	"context"
	"runtime/debug"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readTime is how long a message may take to arrive. It holds memory meanwhile
// that others wait for.
const readTime = 10 * time.Second

// memory bounds what calls hold, in bytes. A call takes of messages first and of
// tensors second, and gives back in the other order, so no two wait for each
// other.
type memory struct {
	maxMessage int64
	// messages are requests as they came. What they unpack to is at most
	// expansion times as much.
	messages *semaphore.Weighted
	// tensors are what is made of them where they cannot be used as they are.
	tensors     *semaphore.Weighted
	tensorTotal int64
}

// newMemory lets four of the largest messages be read at a time: small ones
// hold what they are, so that hundreds of them fit.
func newMemory(maxMessage int) *memory {
	total := 4 * int64(maxMessage)
	return &memory{
		maxMessage: int64(maxMessage), tensorTotal: total,
		messages: semaphore.NewWeighted(total), tensors: semaphore.NewWeighted(total),
	}
}

// tensor waits until n bytes may be allocated; the caller calls what it
// returns when they are not used any more.
func (m *memory) tensor(ctx context.Context, n int64) (func(), error) {
	n = min(n, m.tensorTotal) // a single example of a model larger than that
	if err := m.tensors.Acquire(ctx, n); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	return func() { m.tensors.Release(n) }, nil
}

// bounded turns a service's methods, which gRPC would read whole messages for
// as they come, into streams of one message each way: the same on the wire,
// but a message is read only when there is memory for it. What was not read
// stays with the client, since the window is small.
func (s *Server) bounded(desc *grpc.ServiceDesc) *grpc.ServiceDesc {
	out := *desc
	out.Methods, out.Streams = nil, nil
	for _, m := range desc.Methods {
		out.Streams = append(out.Streams, grpc.StreamDesc{StreamName: m.MethodName, Handler: s.handler(m)})
	}
	return &out
}

func (s *Server) handler(m grpc.MethodDesc) grpc.StreamHandler {
	return func(service any, stream grpc.ServerStream) (err error) {
		var held int64
		defer func() {
			s.memory.messages.Release(held)
			// gRPC, unlike net/http, lets a panic end the program.
			if p := recover(); p != nil {
				s.opts.Log.Error("gRPC call panicked", "method", m.MethodName, "panic", p, "stack", string(debug.Stack()))
				err = status.Error(codes.Internal, "the call failed inside of the server, which has written to its log why")
			}
		}()
		answer, err := m.Handler(service, stream.Context(), func(into any) error {
			var err error
			held, err = s.memory.receive(stream, into)
			return err
		}, nil)
		if err != nil {
			return err
		}
		return stream.SendMsg(answer)
	}
}

// receive reads a call's message, and returns what it holds of messages.
func (m *memory) receive(stream grpc.ServerStream, into any) (held int64, err error) {
	ctx := stream.Context()
	if err := m.messages.Acquire(ctx, m.maxMessage); err != nil {
		return 0, status.FromContextError(err).Err()
	}
	// Only the end of the call ends a read, so it is waited for beside it.
	r, got := &received{message: into}, make(chan error, 1)
	go func() { got <- stream.RecvMsg(r) }()
	late := time.NewTimer(readTime)
	defer late.Stop()
	select {
	case err = <-got:
	case <-late.C:
		err = status.Errorf(codes.DeadlineExceeded, "the request did not arrive within %v", readTime)
	}
	if err != nil {
		return m.maxMessage, err
	}
	held = min(int64(r.size), m.maxMessage)
	m.messages.Release(m.maxMessage - held)
	return held, nil
}
