package servinggrpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/tfproto"
)

type modelService struct {
	tfproto.UnimplementedModelServiceServer
	models serving.Models
}

// GetModelStatus lists a model's versions, highest first, or the one that is
// asked for.
func (s *modelService) GetModelStatus(_ context.Context, req *tfproto.GetModelStatusRequest) (*tfproto.GetModelStatusResponse, error) {
	spec := req.GetModelSpec()
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	versions := s.models.Versions(spec.GetName())
	if len(versions) == 0 {
		return nil, status.Errorf(codes.NotFound, "Could not find any versions of model %.200q", spec.GetName())
	}
	res := &tfproto.GetModelStatusResponse{}
	for _, v := range versions {
		if wants(spec, v) {
			res.ModelVersionStatus = append(res.ModelVersionStatus, &tfproto.ModelVersionStatus{
				Version: int64(v.Number),
				State:   tfproto.ModelVersionStatus_State(tfproto.ModelVersionStatus_State_value[v.State]),
				Status:  &tfproto.StatusProto{},
			})
		}
	}
	if len(res.ModelVersionStatus) == 0 {
		return nil, notFound(spec)
	}
	return res, nil
}

func wants(spec *tfproto.ModelSpec, v serving.Version) bool {
	switch choice := spec.GetVersionChoice().(type) {
	case *tfproto.ModelSpec_Version:
		return choice.Version.GetValue() == int64(v.Number)
	case *tfproto.ModelSpec_VersionLabel:
		return slices.Contains(v.Labels, choice.VersionLabel)
	}
	return true
}

func checkSpec(spec *tfproto.ModelSpec) error {
	switch {
	case spec == nil:
		return invalid("Missing ModelSpec")
	case spec.GetName() == "":
		return invalid("ModelSpec has no name specified.")
	}
	return nil
}

// find is the model that a call names.
func find(models serving.Models, spec *tfproto.ModelSpec) (serving.Model, error) {
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	selector := serving.Selector{Model: spec.GetName()}
	switch choice := spec.GetVersionChoice().(type) {
	case *tfproto.ModelSpec_Version:
		number := int(choice.Version.GetValue())
		if int64(number) != choice.Version.GetValue() { // int has 32 bits on a small Pi
			return nil, notFound(spec)
		}
		selector.Version = &number
	case *tfproto.ModelSpec_VersionLabel:
		selector.Label = choice.VersionLabel
	}
	model, err := models.Find(selector)
	if errors.Is(err, serving.ErrNotFound) {
		return nil, notFound(spec)
	}
	return model, statusOf(err)
}

// notFound is TensorFlow Serving's answer, word for word and code for code: a
// label that means nothing is an invalid argument there.
func notFound(spec *tfproto.ModelSpec) error {
	name := strconv.Quote(fmt.Sprintf("%.200s", spec.GetName()))
	name = name[1 : len(name)-1]
	switch choice := spec.GetVersionChoice().(type) {
	case *tfproto.ModelSpec_Version:
		return status.Errorf(codes.NotFound, "Servable not found for request: Specific(%s, %d)", name, choice.Version.GetValue())
	case *tfproto.ModelSpec_VersionLabel:
		return invalid("Unrecognized servable version label: %.200q", choice.VersionLabel)
	}
	return status.Errorf(codes.NotFound, "Servable not found for request: Latest(%s)", name)
}

// statusOf is the answer for an error of Models and Model; those that have a
// status already keep it.
func statusOf(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	switch {
	case errors.Is(err, serving.ErrNotFound):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, serving.ErrFull):
		return status.Errorf(codes.ResourceExhausted, "%v: try again in a second", err)
	case errors.Is(err, serving.ErrDeadline):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, serving.ErrGone):
		return status.Errorf(codes.Unavailable, "%v: try again in a second", err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	return status.Errorf(codes.Internal, "the model failed: %v", err)
}
