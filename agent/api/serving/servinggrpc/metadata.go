package servinggrpc

import (
	"context"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/egret-edge/egret/agent/api/serving/tfproto"
	"github.com/egret-edge/egret/tflite"
)

// signatureField is the one kind of metadata that there is.
const signatureField = "signature_def"

// GetModelMetadata tells a model's inputs and outputs.
func (s *predictionService) GetModelMetadata(_ context.Context, req *tfproto.GetModelMetadataRequest) (*tfproto.GetModelMetadataResponse, error) {
	if err := checkSpec(req.GetModelSpec()); err != nil {
		return nil, err
	}
	if len(req.GetMetadataField()) == 0 {
		return nil, invalid("GetModelMetadataRequest must specify at least one metadata_field")
	}
	for _, field := range req.GetMetadataField() {
		if field != signatureField {
			return nil, invalid("Metadata field %.200q is not supported: ask for %s", field, signatureField)
		}
	}
	model, err := find(s.opts.Models, req.GetModelSpec())
	if err != nil {
		return nil, err
	}
	info := model.Info()
	packed, err := anypb.New(&tfproto.SignatureDefMap{SignatureDef: map[string]*tfproto.SignatureDef{signatureName: {
		Inputs: tensorInfos(info.Inputs), Outputs: tensorInfos(info.Outputs), MethodName: "tensorflow/serving/predict",
	}}})
	if err != nil {
		return nil, statusOf(err)
	}
	return &tfproto.GetModelMetadataResponse{
		ModelSpec: answered(req.GetModelSpec(), info, ""),
		Metadata:  map[string]*anypb.Any{signatureField: packed},
	}, nil
}

// tensorInfos are tensors by name, for any number of examples.
func tensorInfos(tensors []tflite.TensorInfo) map[string]*tfproto.TensorInfo {
	infos := make(map[string]*tfproto.TensorInfo, len(tensors))
	for _, t := range tensors {
		infos[t.Name] = &tfproto.TensorInfo{
			Encoding:    &tfproto.TensorInfo_Name{Name: t.Name},
			Dtype:       dataTypes[t.Type],
			TensorShape: shape(t, -1),
		}
	}
	return infos
}
