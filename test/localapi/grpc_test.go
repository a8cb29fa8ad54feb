package localapi

import (
	"context"
	"crypto/tls"
	"fmt"
	"image"
	_ "image/png" // the sample is one
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bytes"
	"image/jpeg"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/egret-edge/egret/agent/api/serving/tfproto"
	"github.com/egret-edge/egret/sensors/pixel"
)

const token = "0123456789abcdef0123456789abcdef"

// TestGRPC asks a real agent by every call, as each kind of caller that may.
func TestGRPC(t *testing.T) {
	t.Parallel()
	ours, other := newAuthority(t), newAuthority(t)
	for _, c := range []struct {
		name   string
		token  bool
		secure bool // TLS
		certs  bool // of clients
	}{
		{name: "in the clear"}, {name: "token", token: true},
		{name: "TLS and token", token: true, secure: true}, {name: "mTLS", secure: true, certs: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			grpcAt := freePort(t)
			settings := fmt.Sprintf("grpc: {enabled: true, listen: %q}", grpcAt)
			if c.token {
				settings += ", token_file: DIR/token"
			}
			if c.certs {
				settings += ", tls: {cert_file: DIR/cert.pem, key_file: DIR/key.pem, client_ca_file: DIR/ca.pem}"
			} else if c.secure {
				settings += ", tls: {cert_file: DIR/cert.pem, key_file: DIR/key.pem}"
			}
			d := newDevice(t, fmt.Sprintf(peacocks, settings))
			put(t, d.dir, "token", []byte(token+"\n"))
			put(t, d.dir, "ca.pem", ours.pem)
			ours.issue(t, d.dir)
			d.begin()

			good := caller{at: grpcAt}
			if c.secure {
				good.tls = &tls.Config{RootCAs: ours.pool()}
			}
			if c.certs {
				good.tls.Certificates = []tls.Certificate{ours.client(t)}
			}
			if c.token {
				good.token = token
			}
			good.all(t)

			for what, bad := range strangers(good, c.certs, ours, other, t) {
				conn := bad.dial(t)
				_, err := tfproto.NewModelServiceClient(conn).GetModelStatus(bad.context(t), &tfproto.GetModelStatusRequest{ModelSpec: spec})
				if got := status.Code(err); got != codes.Unauthenticated && got != codes.Unavailable {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// strangers are callers that lack something of good.
func strangers(good caller, certs bool, ours, other *authority, t *testing.T) map[string]caller {
	all := map[string]caller{}
	if good.token != "" {
		bad := good
		bad.token = ""
		all["no token"] = bad
		bad.token = strings.Repeat("f", len(token))
		all["a wrong token"] = bad
	}
	if good.tls != nil {
		bad := good
		bad.tls = nil
		all["in the clear"] = bad
		bad.tls = &tls.Config{RootCAs: other.pool(), Certificates: good.tls.Certificates}
		all["who does not know the server"] = bad
	}
	if certs {
		bad := good
		bad.tls = &tls.Config{RootCAs: ours.pool()}
		all["no certificate"] = bad
		bad.tls = &tls.Config{RootCAs: ours.pool(), Certificates: []tls.Certificate{other.client(t)}}
		all["another authority's certificate"] = bad
	}
	return all
}

var spec = &tfproto.ModelSpec{Name: "m"}

// caller is how a client comes.
type caller struct {
	at, token string
	tls       *tls.Config
}

func (c caller) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if c.tls != nil {
		creds = credentials.NewTLS(c.tls)
	}
	conn, err := grpc.NewClient(c.at, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (c caller) context(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	if c.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	}
	return ctx
}

// all makes every call.
func (c caller) all(t *testing.T) {
	t.Helper()
	conn, ctx := c.dial(t), c.context(t)
	// The port opens after the start.
	if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatalf("health: %v", err)
	}
	if res, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: "m"}); err != nil || res.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health of m: %v %v", res, err)
	}
	states, err := tfproto.NewModelServiceClient(conn).GetModelStatus(ctx, &tfproto.GetModelStatusRequest{ModelSpec: spec})
	if err != nil || len(states.ModelVersionStatus) != 1 || states.ModelVersionStatus[0].State != tfproto.ModelVersionStatus_AVAILABLE || states.ModelVersionStatus[0].Version != 1 {
		t.Errorf("status: %v %v", states, err)
	}
	client := tfproto.NewPredictionServiceClient(conn)
	meta, err := client.GetModelMetadata(ctx, &tfproto.GetModelMetadataRequest{ModelSpec: spec, MetadataField: []string{"signature_def"}})
	if err != nil {
		t.Fatalf("metadata: %v", err)
	}
	var signatures tfproto.SignatureDefMap
	if err := meta.Metadata["signature_def"].UnmarshalTo(&signatures); err != nil {
		t.Fatal(err)
	}
	inputs := signatures.SignatureDef["serving_default"].Inputs
	if len(inputs) != 1 {
		t.Fatalf("inputs: %v", inputs)
	}
	for name := range inputs {
		c.predictions(t, ctx, client, name)
	}
}

// predictions asks what the peacock is, in each form.
func (c caller) predictions(t *testing.T, ctx context.Context, client tfproto.PredictionServiceClient, input string) {
	t.Helper()
	_, labels := describe(t, mobilenet)
	for what, tensor := range map[string]*tfproto.TensorProto{
		"tensor_content": {Dtype: tfproto.DataType_DT_UINT8, TensorShape: shape(1, 224, 224, 3), TensorContent: peacockTensor(t)},
		"a JPEG":         {Dtype: tfproto.DataType_DT_STRING, TensorShape: shape(1), StringVal: [][]byte{peacockJPEG(t)}},
	} {
		res, err := client.Predict(ctx, &tfproto.PredictRequest{ModelSpec: spec, Inputs: map[string]*tfproto.TensorProto{input: tensor}})
		if err != nil {
			t.Errorf("predict by %s: %v", what, err)
			continue
		}
		for name, out := range res.Outputs {
			if len(out.IntVal) != len(labels) || labels[slices.Index(out.IntVal, slices.Max(out.IntVal))] != "peacock" {
				t.Errorf("predict by %s: %s has %d values, the best is not the peacock's", what, name, len(out.IntVal))
			}
		}
		if len(res.Outputs) != 1 || res.ModelSpec.GetVersion().GetValue() != 1 {
			t.Errorf("predict by %s: %d outputs of %v", what, len(res.Outputs), res.ModelSpec)
		}
	}
	picture := &tfproto.Feature{Kind: &tfproto.Feature_BytesList{BytesList: &tfproto.BytesList{Value: [][]byte{file(t, "samples/classify/peacock.png")}}}}
	example := &tfproto.Example{Features: &tfproto.Features{Feature: map[string]*tfproto.Feature{input: picture}}}
	res, err := client.Classify(ctx, &tfproto.ClassificationRequest{ModelSpec: spec, Input: &tfproto.Input{
		Kind: &tfproto.Input_ExampleList{ExampleList: &tfproto.ExampleList{Examples: []*tfproto.Example{example, example}}},
	}})
	if err != nil || len(res.Result.Classifications) != 2 {
		t.Fatalf("classify: %v %v", res, err)
	}
	for _, r := range res.Result.Classifications {
		if len(r.Classes) == 0 || r.Classes[0].Label != "peacock" || r.Classes[0].Score < 0.5 {
			t.Errorf("classify: %v", r)
		}
	}
}

func shape(dims ...int64) *tfproto.TensorShapeProto {
	s := &tfproto.TensorShapeProto{}
	for _, n := range dims {
		s.Dim = append(s.Dim, &tfproto.TensorShapeProto_Dim{Size: n})
	}
	return s
}

// peacockTensor is the sample as the model takes it.
func peacockTensor(t *testing.T) []byte {
	t.Helper()
	target := pixel.Target{Width: 224, Height: 224}
	out := make([]byte, target.Bytes())
	var s pixel.Scaler
	defer s.Close()
	if _, err := s.Tensor(out, &target, pixel.Image{Format: pixel.PNG, Data: file(t, "samples/classify/peacock.png")}); err != nil {
		t.Fatal(err)
	}
	return out
}

func peacockJPEG(t *testing.T) []byte {
	t.Helper()
	img, _, err := image.Decode(bytes.NewReader(file(t, "samples/classify/peacock.png")))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func put(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}
