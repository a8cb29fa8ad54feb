package servinggrpc

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// maxOthers are the calls of health and reflection at a time. Their messages
// are read without the bound of memory that ours have, so they are few.
const maxOthers = 8

// gate decides on a call by its headers, before its message is read.
type gate struct {
	auth     func(token string) bool
	maxCalls int64
	log      *slog.Logger

	wrong atomic.Int64 // calls without the right token that were not said
	said  atomic.Int64 // when some were, in Unix seconds

	calls, others atomic.Int64 // under way

	conns atomic.Pointer[connections] // nil before Run
}

// enter is called on a connection's own goroutine and so never waits.
func (g *gate) enter(ctx context.Context, call *tap.Info) (context.Context, error) {
	if g.auth != nil && !g.auth(bearer(call.Header)) {
		g.refused(ctx)
		return ctx, status.Error(codes.Unauthenticated, "the token is missing or wrong: send metadata authorization: Bearer <token>")
	}
	count, limit := &g.others, int64(maxOthers)
	if strings.HasPrefix(call.FullMethodName, "/tensorflow.") {
		count, limit = &g.calls, g.maxCalls
	}
	if count.Add(1) > limit {
		count.Add(-1)
		return ctx, status.Errorf(codes.ResourceExhausted, "%d calls are under way, which is the limit: try again later", limit)
	}
	end := func() {}
	if from, ok := peer.FromContext(ctx); ok && count == &g.calls {
		if conns := g.conns.Load(); conns != nil {
			end = conns.begin(from.Addr)
		}
	}
	// The context is the call's: it ends with it, whatever way it ends.
	context.AfterFunc(ctx, func() { count.Add(-1); end() })
	return ctx, nil
}

// sayEvery is how often refused calls are said, in seconds.
const sayEvery = 60

// refused counts a call without the right token; the log has them once a
// minute, for who looks for strangers.
func (g *gate) refused(ctx context.Context) {
	g.wrong.Add(1)
	now, last := time.Now().Unix(), g.said.Load()
	if now-last < sayEvery || !g.said.CompareAndSwap(last, now) {
		return
	}
	remote := ""
	if from, ok := peer.FromContext(ctx); ok {
		remote = from.Addr.String()
	}
	g.log.Warn("calls without the right token", "times", g.wrong.Swap(0), "last", remote)
}

// bearer is the token of a call; empty without exactly one.
func bearer(header metadata.MD) string {
	values := header.Get("authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return token
}
