// Package servinggrpc answers TensorFlow Serving's gRPC interface from the
// models that the agent has loaded: PredictionService's Predict, Classify and
// GetModelMetadata, and ModelService's GetModelStatus, with gRPC's own health
// and reflection services beside them.
//
// What a client may cost is bounded: connections, calls at a time, bytes of a
// message, what it unpacks to, examples, and pictures that are decoded at a
// time. A caller without the token is refused before a byte of its message is
// read.
//
// # Caveats
//
// Messages are not compressed: a call that asks for gzip is answered with
// UNIMPLEMENTED.
package servinggrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/tfproto"
)

const (
	maxHeader = 16 << 10 // bytes; an honest call has some hundred
	// handshakeTime is for TLS and HTTP/2's first frames: a connection that
	// says nothing does not keep its place for long.
	handshakeTime = 10 * time.Second
	// idleTime closes a connection without calls; a client opens it again by
	// itself.
	idleTime = 5 * time.Minute
	// silentTime is when a connection is asked whether it still lives, so that
	// a client that lost its power does not keep its place.
	silentTime = time.Minute
	// pingTime is the least between a client's pings. Ten seconds are what
	// clients are commonly set to.
	pingTime = 10 * time.Second
	// stopTime is for calls that are under way when Run ends.
	stopTime = 2 * time.Second
	// window is what one call may send before it is read: a tensor of 224×224
	// in one go, and little for calls that wait.
	window = 256 << 10
)

// Options configure a Server. Only Models is required.
type Options struct {
	Models serving.Models
	// Auth tells whether a bearer token is right, in constant time; it must
	// not block. Nil lets everybody call.
	Auth func(token string) bool
	TLS  *tls.Config // nil: plain text
	// MaxMessage is the size of a request, in bytes; 0 is 16 MiB. Memory for
	// requests that are under way is bounded by a small multiple of it.
	MaxMessage int
	// MaxStreams are the calls at a time on one connection; 0 is 64.
	MaxStreams int
	// MaxConnections are open at a time, 0 is 256. One more takes the place of
	// one without a call under way, or waits when there is none.
	MaxConnections int
	// MaxCalls are under way at a time on all connections, more are refused;
	// 0 is 128.
	MaxCalls int
	// MaxExamples of one request; 0 is 64.
	MaxExamples int
	// Decoder decodes pictures; nil is one of its own, for one at a time.
	Decoder *serving.Decoder
	Log     *slog.Logger // nil discards
}

// Server answers the calls. Use it once: New, Run.
type Server struct {
	opts    Options
	grpc    *grpc.Server
	gate    *gate
	memory  *memory
	health  *health
	decoder *serving.Decoder
}

// New checks the options and starts nothing.
func New(opts Options) (*Server, error) {
	if opts.Models == nil {
		return nil, errors.New("gRPC server: there are no models to serve")
	}
	for _, o := range []struct {
		value *int
		def   int
	}{
		{&opts.MaxMessage, 16 << 20}, {&opts.MaxStreams, 64}, {&opts.MaxConnections, 256},
		{&opts.MaxCalls, 128}, {&opts.MaxExamples, 64},
	} {
		if *o.value < 0 {
			return nil, fmt.Errorf("gRPC server: a limit is %d: give 0 for the default or more", *o.value)
		} else if *o.value == 0 {
			*o.value = o.def
		}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		opts:    opts,
		gate:    &gate{auth: opts.Auth, maxCalls: int64(opts.MaxCalls), log: opts.Log},
		memory:  newMemory(opts.MaxMessage),
		health:  newHealth(opts.Models),
		decoder: opts.Decoder,
	}
	if s.decoder == nil {
		s.decoder = serving.NewDecoder(1)
	}
	s.grpc = grpc.NewServer(s.options()...)
	s.register()
	return s, nil
}

func (s *Server) options() []grpc.ServerOption {
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(s.opts.MaxMessage),
		grpc.MaxConcurrentStreams(uint32(s.opts.MaxStreams)),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(4 * window),
		grpc.ForceServerCodecV2(newCodec(s.opts.MaxMessage)),
		grpc.InTapHandle(s.gate.enter),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTime, Time: silentTime}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingTime, PermitWithoutStream: true}),
	}
	if s.opts.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(s.opts.TLS)))
	}
	return opts
}

func (s *Server) register() {
	s.grpc.RegisterService(s.bounded(&tfproto.PredictionService_ServiceDesc), &predictionService{Server: s})
	s.grpc.RegisterService(s.bounded(&tfproto.ModelService_ServiceDesc), &modelService{models: s.opts.Models})
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
}

// Run answers calls on ln, which it closes, until ctx is done; calls that are
// under way then have two seconds. It returns nil when ctx ended it.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	served := make(chan error, 1)
	conns := newConnections(ln, s.opts.MaxConnections)
	s.gate.conns.Store(conns)
	go func() { served <- s.grpc.Serve(conns) }()
	select {
	case err := <-served:
		s.grpc.Stop()
		return fmt.Errorf("gRPC server on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	close(s.health.over)
	hurry := time.AfterFunc(stopTime, s.grpc.Stop)
	defer hurry.Stop()
	s.grpc.GracefulStop()
	<-served
	return nil
}
