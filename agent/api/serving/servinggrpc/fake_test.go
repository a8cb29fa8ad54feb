package servinggrpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"net"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/agent/api/serving/servinggrpc"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/tflite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeModels and fakeModel are what their functions say.
type fakeModels struct {
	versions func(string) []serving.Version
	find     func(serving.Selector) (serving.Model, error)
}

func (f *fakeModels) Versions(name string) []serving.Version { return f.versions(name) }

func (f *fakeModels) Find(s serving.Selector) (serving.Model, error) { return f.find(s) }

type fakeModel struct {
	info    tflite.Info
	target  pixel.Target
	predict func(context.Context, [][]byte, []serving.Answer) error
}

func (f *fakeModel) Info() tflite.Info    { return f.info }
func (f *fakeModel) Target() pixel.Target { return f.target }
func (f *fakeModel) Labels() []string     { return []string{"zero", "one"} }

func (f *fakeModel) Predict(ctx context.Context, examples [][]byte, answers []serving.Answer) error {
	return f.predict(ctx, examples, answers)
}

// newModel is one of 2×2 pixels. Its output "scores" are the first three bytes
// of its input, "echo" is the first two values as floats.
func newModel(kind string) *fakeModel {
	m := &fakeModel{
		info: tflite.Info{Name: kind, Version: 3, Task: tflite.Classify,
			Inputs: []tflite.TensorInfo{{Name: "input", Type: kind, Shape: []int{1, 2, 2, 3}}},
			Outputs: []tflite.TensorInfo{
				{Name: "scores", Type: "uint8", Shape: []int{1, 3}},
				{Name: "echo", Type: "float32", Shape: []int{1, 2}},
			}},
		target: pixel.Target{Width: 2, Height: 2},
	}
	switch kind {
	case "float32":
		table := new([3][256]float32)
		for c := range table {
			for v := range table[c] {
				table[c][v] = float32(v)
			}
		}
		m.target.Encoding.Floats = table
	case "int8":
		m.target.Encoding.Flip = 0x80
		m.info.Outputs[0].Type = "int8"
	}
	m.predict = func(_ context.Context, examples [][]byte, answers []serving.Answer) error {
		for i, e := range examples {
			if len(e) != m.target.Bytes() {
				return fmt.Errorf("example %d has %d bytes", i, len(e))
			}
			answers[i] = serving.Answer{
				Outputs: [][]byte{slices.Clone(e[:3]), m.echo(e)},
				Results: []tflite.Result{{Label: fmt.Sprintf("class %d", e[0]), Score: 0.75}, {Label: "other", Score: 0.25}},
			}
		}
		return nil
	}
	return m
}

func (f *fakeModel) echo(e []byte) []byte {
	if f.target.Encoding.Floats != nil {
		return slices.Clone(e[:8])
	}
	var b []byte
	for _, v := range e[:2] {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
	}
	return b
}

// newModels has uint8, int8 and float32 in version 3, which is stable, and a
// version 2 that is being loaded; detector is one of a detection; broken,
// full, late, gone and missing fail as they are called.
func newModels() *fakeModels {
	models := map[string]serving.Model{}
	for _, kind := range []string{"uint8", "int8", "float32"} {
		models[kind] = newModel(kind)
	}
	for name, err := range map[string]error{
		"broken": fmt.Errorf("operator 7 failed"), "full": serving.ErrFull, "late": serving.ErrDeadline, "gone": serving.ErrGone,
	} {
		m := newModel("uint8")
		m.predict = func(context.Context, [][]byte, []serving.Answer) error { return err }
		models[name] = m
	}
	detector := newModel("uint8")
	detector.info.Task = tflite.Detect
	models["detector"] = detector
	panics := newModel("uint8")
	panics.predict = func(context.Context, [][]byte, []serving.Answer) error { panic("a bug") }
	models["panics"] = panics
	return &fakeModels{
		versions: func(name string) []serving.Version {
			if models[name] == nil {
				return nil
			}
			if name == "late" {
				return []serving.Version{{Number: 1, State: "LOADING"}}
			}
			return []serving.Version{{Number: 3, State: "AVAILABLE", Labels: []string{"stable"}}, {Number: 2, State: "LOADING"}}
		},
		find: func(s serving.Selector) (serving.Model, error) {
			m := models[s.Model]
			if m == nil || s.Version != nil && *s.Version != 3 || s.Label != "" && s.Label != "stable" {
				return nil, fmt.Errorf("find %s: %w", s.Model, serving.ErrNotFound)
			}
			return m, nil
		},
	}
}

// start runs a server on loopback until the test ends, and connects to it.
func start(t testing.TB, opts servinggrpc.Options, dial ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	return connect(t, listen(t, opts), dial...)
}

func connect(t testing.TB, addr string, dial ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, dial...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func listen(t testing.TB, opts servinggrpc.Options) (addr string) {
	t.Helper()
	if opts.Models == nil {
		opts.Models = newModels()
	}
	s, err := servinggrpc.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return ln.Addr().String()
}

// picture is a PNG of 2×2 pixels of one colour.
func picture(t testing.TB, r, g, b uint8) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 2, 2))
	for i := range 4 {
		img.Set(i%2, i/2, color.RGBA{r, g, b, 255})
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
