package servinggrpc

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/tfproto"
	"github.com/egret-edge/egret/tflite"
)

// signatureName is the one signature of every model.
const signatureName = "serving_default"

type predictionService struct {
	tfproto.UnimplementedPredictionServiceServer
	*Server
}

// Predict answers with the model's outputs as they are.
func (s *predictionService) Predict(ctx context.Context, req *tfproto.PredictRequest) (*tfproto.PredictResponse, error) {
	if name := req.GetModelSpec().GetSignatureName(); name != "" && name != signatureName {
		return nil, status.Errorf(codes.FailedPrecondition, "Serving signature key %q not found.", name)
	}
	var wanted []int
	model, answers, err := s.run(ctx, req.GetModelSpec(), func(m serving.Model, in *input) (batch, error) {
		var err error
		if wanted, err = filtered(m.Info(), req.GetOutputFilter()); err != nil {
			return batch{}, err
		}
		t, err := in.named(req.GetInputs())
		if err != nil {
			return batch{}, err
		}
		return s.batch(ctx, in, t)
	})
	if err != nil {
		return nil, err
	}
	// A client that does not read it has its answer all the same.
	_ = grpc.SetHeader(ctx, metadata.Pairs("server-timing", serving.Timing(answers)))
	info := model.Info()
	res := &tfproto.PredictResponse{
		ModelSpec: answered(req.GetModelSpec(), info, signatureName),
		Outputs:   make(map[string]*tfproto.TensorProto, len(wanted)),
	}
	for _, k := range wanted {
		if res.Outputs[info.Outputs[k].Name], err = output(info.Outputs[k], k, answers); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// Classify answers with labels and scores, best first, as the model's bundle
// bounds them.
func (s *predictionService) Classify(ctx context.Context, req *tfproto.ClassificationRequest) (*tfproto.ClassificationResponse, error) {
	if name := req.GetModelSpec().GetSignatureName(); name != "" && name != signatureName {
		return nil, invalid("No signature was found with the name: %s", name)
	}
	model, answers, err := s.run(ctx, req.GetModelSpec(), func(m serving.Model, in *input) (batch, error) {
		if task := m.Info().Task; task != tflite.Classify {
			return batch{}, invalid("Expected classification signature, and the model's task is %s: use Predict", task)
		}
		return s.features(ctx, in, req.GetInput())
	})
	if err != nil {
		return nil, err
	}
	result := &tfproto.ClassificationResult{}
	for _, a := range answers {
		classes := make([]*tfproto.Class, len(a.Results))
		for i, r := range a.Results {
			classes[i] = &tfproto.Class{Label: strings.ToValidUTF8(r.Label, "\uFFFD"), Score: r.Score}
		}
		result.Classifications = append(result.Classifications, &tfproto.Classifications{Classes: classes})
	}
	return &tfproto.ClassificationResponse{ModelSpec: answered(req.GetModelSpec(), model.Info(), signatureName), Result: result}, nil
}

// run finds the model, lets read make its examples and runs them. A model that
// is replaced meanwhile is looked for once more: the new one may take another
// shape.
func (s *Server) run(ctx context.Context, spec *tfproto.ModelSpec, read func(serving.Model, *input) (batch, error)) (serving.Model, []serving.Answer, error) {
	for again := false; ; again = true {
		model, err := find(s.opts.Models, spec)
		if err != nil {
			return nil, nil, err
		}
		answers, err := s.predict(ctx, model, read)
		if err == nil {
			return model, answers, nil
		}
		if again || !errors.Is(err, serving.ErrGone) {
			return nil, nil, statusOf(err)
		}
	}
}

func (s *Server) predict(ctx context.Context, model serving.Model, read func(serving.Model, *input) (batch, error)) ([]serving.Answer, error) {
	in, err := inputOf(model)
	if err != nil {
		return nil, err
	}
	b, err := read(model, &in)
	if err != nil {
		return nil, err
	}
	defer b.free()
	answers := make([]serving.Answer, len(b.examples))
	return answers, model.Predict(ctx, b.examples, answers)
}

// named is the tensor for the model's one input.
func (in *input) named(inputs map[string]*tfproto.TensorProto) (*tfproto.TensorProto, error) {
	t, found := inputs[in.Name]
	if !found || len(inputs) != 1 {
		sent := slices.Sorted(maps.Keys(inputs))
		if len(sent) > 4 {
			sent = append(sent[:4], "…")
		}
		return nil, invalid("input size does not match signature: %d inputs were sent (%.200q), want one called %q", len(inputs), strings.Join(sent, ","), in.Name)
	}
	return t, nil
}

// filtered are the outputs that are asked for, by their place in the model.
func filtered(info tflite.Info, filter []string) ([]int, error) {
	var wanted []int
	if len(filter) == 0 {
		for k := range info.Outputs {
			wanted = append(wanted, k)
		}
		return wanted, nil
	}
	for _, name := range filter {
		k := slices.IndexFunc(info.Outputs, func(t tflite.TensorInfo) bool { return t.Name == name })
		if k < 0 {
			return nil, invalid("output tensor alias not found in signature: %.200q Outputs expected to be in the set {%s}.", name, outputNames(info))
		}
		if slices.Contains(wanted, k) {
			return nil, invalid("duplicate output tensor alias: %.200q", name)
		}
		wanted = append(wanted, k)
	}
	return wanted, nil
}

func outputNames(info tflite.Info) string {
	var names []string
	for _, t := range info.Outputs {
		names = append(names, t.Name)
	}
	return strings.Join(names, ",")
}

// answered is the model that a call was answered by, under the name that it was
// asked for.
func answered(spec *tfproto.ModelSpec, info tflite.Info, signature string) *tfproto.ModelSpec {
	return &tfproto.ModelSpec{
		Name:          spec.GetName(),
		VersionChoice: &tfproto.ModelSpec_Version{Version: wrapperspb.Int64(int64(info.Version))},
		SignatureName: signature,
	}
}
