package servinggrpc

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/tfproto"
)

// watchEvery is how soon a watcher hears of a change. Models have no way to
// tell of one, and to look costs next to nothing.
const watchEvery = time.Second

// health answers for the server, by its empty name or a service's, and for each
// model by its name.
type health struct {
	healthpb.UnimplementedHealthServer
	models serving.Models
	over   chan struct{} // closed when the server ends, which ends watches
}

func newHealth(models serving.Models) *health {
	return &health{models: models, over: make(chan struct{})}
}

// of is SERVICE_UNKNOWN for a name that is neither.
func (h *health) of(name string) healthpb.HealthCheckResponse_ServingStatus {
	switch name {
	case "", tfproto.PredictionService_ServiceDesc.ServiceName, tfproto.ModelService_ServiceDesc.ServiceName:
		return healthpb.HealthCheckResponse_SERVING
	}
	versions := h.models.Versions(name)
	if len(versions) == 0 {
		return healthpb.HealthCheckResponse_SERVICE_UNKNOWN
	}
	if slices.ContainsFunc(versions, func(v serving.Version) bool { return v.State == "AVAILABLE" }) {
		return healthpb.HealthCheckResponse_SERVING
	}
	return healthpb.HealthCheckResponse_NOT_SERVING
}

func (h *health) Check(_ context.Context, req *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	s := h.of(req.GetService())
	if s == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, status.Errorf(codes.NotFound, "there is no model or service %.200q", req.GetService())
	}
	return &healthpb.HealthCheckResponse{Status: s}, nil
}

func (h *health) Watch(req *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	last := healthpb.HealthCheckResponse_UNKNOWN // never sent
	for {
		if s := h.of(req.GetService()); s != last {
			last = s
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: s}); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-h.over:
			return status.Error(codes.Unavailable, "the server ends")
		}
	}
}
