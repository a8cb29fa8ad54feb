package servinggrpc_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/servinggrpc"
)

func TestNewChecksOptions(t *testing.T) {
	if _, err := servinggrpc.New(servinggrpc.Options{}); err == nil {
		t.Error("a server without models was made")
	}
	if _, err := servinggrpc.New(servinggrpc.Options{Models: newModels(), MaxCalls: -1}); err == nil {
		t.Error("a limit below zero was taken")
	}
}

func TestRunTellsWhyItCannotListen(t *testing.T) {
	s, err := servinggrpc.New(servinggrpc.Options{Models: newModels()})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := s.Run(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run gave %v, want that the listener is closed", err)
	}
}

// TestModelThatIsReplaced is asked again, with the new one's shape.
func TestModelThatIsReplaced(t *testing.T) {
	old, fresh := newModel("uint8"), newModel("uint8")
	old.predict = func(context.Context, [][]byte, []serving.Answer) error { return serving.ErrGone }
	fresh.info.Version = 4
	models := newModels()
	models.find = func(serving.Selector) (serving.Model, error) {
		defer func() { old = nil }()
		if old != nil {
			return old, nil
		}
		return fresh, nil
	}
	conn := start(t, servinggrpc.Options{Models: models})
	answer, err := invoke(t.Context(), conn, predict, request("uint8", tensor(dtUint8, one)))
	if err != nil {
		t.Fatal(err)
	}
	if got := specOf(t, parse(t, answer).sub(t, 2)); got != "uint8 4 serving_default" {
		t.Errorf("answered by %s, want version 4", got)
	}
}

func TestToken(t *testing.T) {
	auth := func(token string) bool { return subtle.ConstantTimeCompare([]byte(token), []byte("secret")) == 1 }
	var log bytes.Buffer // written while nothing else runs: each call is waited for
	conn := start(t, servinggrpc.Options{Auth: auth, Log: slog.New(slog.NewTextHandler(&log, nil))})
	ok := request("uint8", tensor(dtUint8, one))
	for _, tt := range []struct {
		name   string
		header []string
		want   codes.Code
	}{
		{"right", []string{"authorization", "Bearer secret"}, codes.OK},
		{"right, in small letters", []string{"authorization", "bearer secret"}, codes.OK},
		{"none", nil, codes.Unauthenticated},
		{"empty", []string{"authorization", ""}, codes.Unauthenticated},
		{"wrong", []string{"authorization", "Bearer Secret"}, codes.Unauthenticated},
		{"longer", []string{"authorization", "Bearer secret "}, codes.Unauthenticated},
		{"another scheme", []string{"authorization", "Basic secret"}, codes.Unauthenticated},
		{"the right one among two", []string{"authorization", "Bearer x", "authorization", "Bearer secret"}, codes.Unauthenticated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := metadata.AppendToOutgoingContext(t.Context(), tt.header...)
			if _, err := invoke(ctx, conn, predict, ok); status.Code(err) != tt.want {
				t.Errorf("Predict gave %v, want %v", err, tt.want)
			}
			if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}); status.Code(err) != tt.want {
				t.Errorf("Check gave %v, want %v", err, tt.want)
			}
		})
	}
	if text := log.String(); strings.Count(text, "calls without the right token") != 1 || strings.Contains(strings.ToLower(text), "secret") {
		t.Errorf("the log has strangers once a minute, and not what they showed: %s", text)
	}
}

func TestHealth(t *testing.T) {
	client := healthpb.NewHealthClient(start(t, servinggrpc.Options{}))
	for name, want := range map[string]healthpb.HealthCheckResponse_ServingStatus{
		"": healthpb.HealthCheckResponse_SERVING, "uint8": healthpb.HealthCheckResponse_SERVING,
		"late": healthpb.HealthCheckResponse_NOT_SERVING, "tensorflow.serving.PredictionService": healthpb.HealthCheckResponse_SERVING,
	} {
		if got, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name}); err != nil || got.GetStatus() != want {
			t.Errorf("%q is %v (%v), want %v", name, got.GetStatus(), err, want)
		}
	}
	if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown name gave %v, want NotFound", err)
	}
}

// TestHealthWatch sees a model go, and ends with the server.
func TestHealthWatch(t *testing.T) {
	there := make(chan bool, 1)
	there <- true
	models := newModels()
	models.versions = func(string) []serving.Version {
		select {
		case <-there:
			return []serving.Version{{Number: 1, State: "AVAILABLE"}}
		default:
			return nil
		}
	}
	s, err := servinggrpc.New(servinggrpc.Options{Models: models})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ln) }()
	conn, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{Service: "m"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_SERVICE_UNKNOWN} {
		if got, err := watch.Recv(); err != nil || got.GetStatus() != want {
			t.Errorf("the model is %v (%v), want %v", got.GetStatus(), err, want)
		}
	}
	end()
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the watch ended with %v, want Unavailable", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestReflection asks as grpcurl does.
func TestReflection(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := reflectionpb.NewServerReflectionClient(start(t, servinggrpc.Options{})).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	var services []string
	for _, s := range ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
		services = append(services, s.GetName())
	}
	for _, want := range []string{"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService", "grpc.health.v1.Health"} {
		if !slices.Contains(services, want) {
			t.Errorf("the services are %q, and %s is not among them", services, want)
		}
	}
	files := ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{
		FileContainingSymbol: "tensorflow.serving.PredictionService.Predict"}}).GetFileDescriptorResponse().GetFileDescriptorProto()
	var names []string
	for _, b := range files {
		var f descriptorpb.FileDescriptorProto
		if err := proto.Unmarshal(b, &f); err != nil {
			t.Fatal(err)
		}
		names = append(names, f.GetName())
	}
	if !slices.Contains(names, "egret/serving.proto") {
		t.Errorf("Predict is described in %q, want egret/serving.proto", names)
	}
}

// TestTLS asks for certificates on both sides.
func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	pair := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	opts := servinggrpc.Options{TLS: &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}}
	known := start(t, opts, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}})))
	if _, err := invoke(t.Context(), known, state, spec(1, "uint8")); err != nil {
		t.Errorf("a client with a certificate was refused: %v", err)
	}
	stranger := start(t, opts, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool})))
	if _, err := invoke(t.Context(), stranger, state, spec(1, "uint8")); status.Code(err) != codes.Unavailable {
		t.Errorf("a client without a certificate was answered: %v", err)
	}
	plain := start(t, opts)
	if _, err := invoke(t.Context(), plain, state, spec(1, "uint8")); status.Code(err) != codes.Unavailable {
		t.Errorf("a client without TLS was answered: %v", err)
	}
}
