package agent

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/configs"
)

// brokenListener fails as a kernel without memory for another socket does.
type brokenListener struct{ net.Listener }

func (brokenListener) Accept() (net.Conn, error) { return nil, errors.New("no buffer space") }

// TestDoorsOpenAgain: after a failure that ended the server, the next opening
// answers.
func TestDoorsOpenAgain(t *testing.T) {
	a := &Agent{log: quiet, decoder: serving.NewDecoder(1)}
	a.servables.view, a.servables.deadline = a.view, func() time.Duration { return time.Second }
	cfg := configs.Default().API
	cfg.Enabled, cfg.GRPC.Enabled = false, true
	doors, err := a.openDoors(cfg)
	if err != nil || len(doors) != 1 {
		t.Fatalf("%d doors, error %v", len(doors), err)
	}
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	if err := doors[0].serve(t.Context(), brokenListener{listen()}); err == nil {
		t.Fatal("it ended without an error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ln, ended := listen(), make(chan error, 1)
	go func() { ended <- doors[0].serve(ctx, ln) }()
	c, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	soon, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if _, err := healthpb.NewHealthClient(c).Check(soon, &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("nobody answers: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
